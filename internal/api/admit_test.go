package api_test

import (
	"encoding/json/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/api"
	"github.com/capstan-ota/capstan/internal/auth"
)

// operation is a route as the description of the API has it.
type operation struct {
	method, path string
	actions      []string
}

func (o operation) String() string { return o.method + " " + o.path }

// target is a path that the operation takes.
func (o operation) target() string {
	return strings.NewReplacer("{app}", app, "{channel}", "production", "{version}", "1.0.1", "{digest}", zeros, "{device}", "x").Replace(o.path)
}

// operations reads the description that the server sends.
func operations(t *testing.T) []operation {
	t.Helper()
	b, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var described struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string `json:"security"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(b, &described); err != nil {
		t.Fatal(err)
	}
	var all []operation
	for path, methods := range described.Paths {
		for method, described := range methods {
			op := operation{method: strings.ToUpper(method), path: path}
			for _, s := range described.Security {
				op.actions = append(op.actions, s["token"]...)
			}
			all = append(all, op)
		}
	}
	if len(all) < 25 {
		t.Fatalf("found %d operations, expected at least 25", len(all))
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// call sends a request without a body, whose precondition never holds.
func call(h http.Handler, op operation, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(op.method, op.target(), nil)
	r.Header.Set("If-Match", `"999999"`)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// scopes are what a token can be allowed.
var scopes = []auth.Action{
	auth.ReadApp, auth.ManageApp, auth.UploadBundle, auth.DeleteBundle, auth.SetChannel, auth.MoveChannel, auth.RollBack, auth.ReadDevice, auth.CreateAppHere,
}

func TestEveryOperationDemandsTheActionThatItDeclares(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	handler := w.server.Config.Handler
	only, without := map[string]string{}, map[string]string{}
	for i, s := range scopes {
		only[string(s)] = w.newToken(capstan.Token{Scopes: []string{string(s)}})
		var rest []string
		for _, other := range slices.Delete(slices.Clone(scopes), i, i+1) {
			rest = append(rest, string(other))
		}
		without[string(s)] = w.newToken(capstan.Token{Scopes: rest})
	}
	anybody := w.newToken(capstan.Token{})
	before := w.number()
	for _, op := range operations(t) {
		if len(op.actions) != 1 {
			t.Errorf("%s declares the actions %q, want one", op, op.actions)
			continue
		}
		action := op.actions[0]
		if action == "token:own" {
			if got := call(handler, op, anybody); got.Code != http.StatusOK || op.path != "/v1/whoami" {
				t.Errorf("%s is for every token and answers %d", op, got.Code)
			}
			continue
		}
		if only[action] == "" {
			t.Errorf("%s demands %q, which no token can have", op, action)
			continue
		}
		if got := call(handler, op, without[action]); got.Code != http.StatusForbidden || !strings.Contains(got.Body.String(), action) {
			t.Errorf("%s without %s: %d %s", op, action, got.Code, got.Body)
		}
		// Whatever else is missing, it is not the right to do it.
		if got := call(handler, op, only[action]); got.Code == http.StatusForbidden || got.Code == http.StatusUnauthorized {
			t.Errorf("%s with nothing but %s: %d %s", op, action, got.Code, got.Body)
		}
	}
	if now := w.number(); now != before {
		t.Errorf("the number went from %d to %d", before, now)
	}
}

// Nothing of a body is read for a caller who may not send it.
func TestBodyIsNotReadBeforeTheCallerMaySendIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	reader := w.newToken(capstan.Token{Scopes: []string{string(auth.ReadApp)}})
	for _, tt := range []struct {
		method, path, token string
		length              int64
		status              int
	}{
		{"POST", "/v1/apps", "", 10, 401},
		{"POST", "/v1/apps", reader, 10, 403},
		{"POST", "/v1/apps", w.token, 1<<20 + 1, 413},
		{"POST", "/v1/apps/" + app + "/bundles", reader, 10, 403},
		{"POST", "/v1/apps/" + app + "/bundles", w.token, 16<<20 + 1, 413},
		{"POST", "/v1/apps/" + app + "/contents/missing", w.token, 8<<20 + 1, 413},
		{"POST", "/v1/apps/com.example.none/bundles", w.token, 10, 404},
		{"PUT", "/v1/apps/" + app + "/archives/" + zeros, reader, 10, 403},
		{"PUT", "/v1/apps/" + app + "/archives/" + zeros, w.token, 1 << 62, 413},
		{"PUT", "/v1/apps/" + app + "/contents/" + zeros + "?encoding=br&size=1&blob=" + zeros, w.token, 1 << 62, 413},
	} {
		body := &untouched{}
		r := httptest.NewRequest(tt.method, tt.path, body)
		r.ContentLength = tt.length
		if tt.token != "" {
			r.Header.Set("Authorization", "Bearer "+tt.token)
		}
		rec := httptest.NewRecorder()
		w.server.Config.Handler.ServeHTTP(rec, r)
		if rec.Code != tt.status || body.touched {
			t.Errorf("%s %s: %d, want %d; body read: %t; %s", tt.method, tt.path, rec.Code, tt.status, body.touched, rec.Body)
		}
	}
}

type untouched struct{ touched bool }

func (u *untouched) Read(p []byte) (int, error) {
	u.touched = true
	return len(p), nil
}
