package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/store"
)

// refusal is a request that must change nothing.
type refusal struct {
	name, method, path string
	body               string
	header             map[string]string // "" takes a header away
	status             int
	code               capstan.Code
	field              string
	says               []string // each is somewhere in the body
}

// refused sends a request and compares the answer with what is wanted.
func (w *world) refused(tt refusal) answer {
	w.t.Helper()
	before := w.number()
	r := w.request(tt.method, tt.path, tt.body)
	for k, v := range tt.header {
		r.Header.Set(k, v)
		if v == "" {
			r.Header.Del(k)
		}
	}
	got := w.do(r)
	if got.StatusCode != tt.status || got.problem.Code != tt.code || got.problem.Field != tt.field {
		w.t.Errorf("%s: got %d %s on %q, want %d %s on %q\n%s",
			tt.name, got.StatusCode, got.problem.Code, got.problem.Field, tt.status, tt.code, tt.field, got.body)
	}
	p := got.problem
	if p.Status != got.StatusCode || p.Detail == "" || p.Title == "" || p.Request != got.Header.Get("X-Request-Id") ||
		!strings.HasSuffix(p.Type, "docs/errors.md#"+string(tt.code)) {
		w.t.Errorf("%s: the problem is not whole: %s", tt.name, got.body)
	}
	for _, want := range tt.says {
		if !strings.Contains(got.body, want) {
			w.t.Errorf("%s: the answer does not say %q: %s", tt.name, want, got.body)
		}
	}
	if now := w.number(); now != before {
		w.t.Errorf("%s: the refusal made changes: the number went from %d to %d", tt.name, before, now)
	}
	return got
}

func TestTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revoked := w.newToken(capstan.Token{Scopes: []string{capstan.ScopeAdmin}})
	id, _ := auth.ParseToken(revoked)
	w.write(func(tx *store.Tx) error { return tx.RevokeToken(id) })
	mistyped := w.token[:len(w.token)-1] + "?"
	for name, authorization := range map[string]string{
		"absent":         "",
		"expired":        "Bearer " + w.newToken(capstan.Token{Scopes: []string{capstan.ScopeAdmin}, ExpiresAt: time.Now().Add(-time.Minute)}),
		"revoked":        "Bearer " + revoked,
		"mistyped":       "Bearer " + mistyped,
		"empty":          "Bearer ",
		"another scheme": "Basic " + w.token,
		"no scheme":      w.token,
		"foreign":        "Bearer 0d6b2c54-6a3e-4d3b-8a10-2f3a5f4d9c11",
	} {
		got := w.refused(refusal{
			name: name, method: "POST", path: "/v1/apps", body: `{"id":"` + app + `"}`,
			header: map[string]string{"Authorization": authorization}, status: 401, code: capstan.CodeUnauthorized,
		})
		if h := got.Header.Get("WWW-Authenticate"); h != `Bearer realm="capstan"` {
			t.Errorf("%s: WWW-Authenticate is %q", name, h)
		}
		if text := strings.TrimPrefix(authorization, "Bearer "); len(text) > 10 && strings.Contains(got.body, text) {
			t.Errorf("%s: the answer repeats the token: %s", name, got.body)
		}
	}
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("what is the caller's fault was logged as the server's: %s", w.log)
	}
}

func TestSchemeOfATokenHasNoCase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.request("GET", "/v1/whoami", "")
	r.Header.Set("Authorization", "bearer  "+w.token)
	if got := w.do(r); got.StatusCode != 200 {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}

func TestScopeIsMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	reader := "Bearer " + w.newToken(capstan.Token{Scopes: []string{string(auth.ReadApp)}})
	for _, tt := range []refusal{
		{method: "POST", path: "/v1/apps", body: `{"id":"com.example.b"}`, says: []string{"app:create"}},
		{method: "DELETE", path: "/v1/apps/" + app, header: map[string]string{"If-Match": `"1"`}, says: []string{"app:manage"}},
		{method: "POST", path: "/v1/apps/" + app + "/channels", body: `{"name":"b"}`, says: []string{"channel:configure"}},
		{method: "POST", path: "/v1/apps/" + app + "/channels/production/rollback", says: []string{"channel:rollback"}},
		{method: "POST", path: "/v1/apps/" + app + "/contents/missing", body: `{"contents":[]}`, says: []string{"bundle:upload"}},
		{method: "GET", path: "/v1/apps/" + app + "/devices", says: []string{"device:read"}},
	} {
		tt.name, tt.status, tt.code = tt.method+" "+tt.path, 403, capstan.CodeForbidden
		tt.header = map[string]string{"Authorization": reader, "If-Match": `"1"`}
		w.refused(tt)
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	match := map[string]string{"If-Match": `"1"`}
	const any = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
	for _, in := range []struct {
		what, path string // what %s is: the app
		code       capstan.Code
		field      string
		rows       []refusal
	}{
		// An app of somebody else answers as one that does not exist.
		{"unknown app", "/v1/apps/com.example.none", capstan.CodeAppNotFound, "app", everything("com.example.none")},
		{"another's app", "/v1/apps/" + elsewhere, capstan.CodeAppNotFound, "app", everything(elsewhere)},
		{"unknown channel", "/v1/apps/" + app, capstan.CodeChannelNotFound, "channel", []refusal{
			{method: "GET", path: "/channels/none"},
			{method: "PATCH", path: "/channels/none", body: `{"prod":false}`, header: match},
			{method: "DELETE", path: "/channels/none", header: match},
			{method: "GET", path: "/channels/none/releases"},
			{method: "POST", path: "/channels/none/releases", body: `{"version":"1.0.1"}`, header: match},
			{method: "POST", path: "/channels/none/rollback"},
		}},
		{"unknown bundle", "/v1/apps/" + app, capstan.CodeBundleNotFound, "bundle", []refusal{
			{method: "GET", path: "/bundles/9.9.9"},
			{method: "DELETE", path: "/bundles/9.9.9", header: match},
			{method: "GET", path: "/bundles/9.9.9/files"},
			{method: "GET", path: "/bundles/9.9.9/archive"},
			{method: "GET", path: "/bundles/9.9.9/diff?from=1.0.1"},
			{method: "GET", path: "/bundles/1.0.1/diff?from=9.9.9"},
			{method: "POST", path: "/channels/production/releases", body: `{"version":"9.9.9"}`,
				header: map[string]string{"If-Match": fmt.Sprintf(`"%d"`, w.channel().Number)}},
		}},
		{"unknown release", "/v1/apps/" + app, capstan.CodeReleaseNotFound, "", []refusal{
			{method: "POST", path: "/channels/production/rollback", body: `{"to_release":99}`},
		}},
		{"unknown device", "/v1/apps/" + app, capstan.CodeDeviceNotFound, "device", []refusal{
			{method: "GET", path: "/devices/" + any},
			{method: "GET", path: "/devices/custom-id"},
			{method: "POST", path: "/why", body: `{"device":"` + any + `"}`},
		}},
	} {
		for _, tt := range in.rows {
			tt.name = in.what + ": " + tt.method + " " + tt.path
			tt.path, tt.status, tt.code, tt.field = in.path+tt.path, 404, in.code, in.field
			w.refused(tt)
		}
	}
}

// everything is a well-formed call of each operation below an app.
func everything(id string) []refusal {
	match := map[string]string{"If-Match": `"1"`}
	return []refusal{
		{method: "GET"}, {method: "DELETE", header: match},
		{method: "GET", path: "/channels"}, {method: "POST", path: "/channels", body: `{"name":"b"}`},
		{method: "GET", path: "/channels/production"}, {method: "DELETE", path: "/channels/production", header: match},
		{method: "PATCH", path: "/channels/production", body: `{"prod":false}`, header: match},
		{method: "GET", path: "/channels/production/releases"},
		{method: "POST", path: "/channels/production/releases", body: `{"version":"1.0.1"}`, header: match},
		{method: "POST", path: "/channels/production/rollback"},
		{method: "GET", path: "/bundles"}, {method: "GET", path: "/bundles/1.0.1"}, {method: "GET", path: "/bundles/1.0.1/files"},
		{method: "GET", path: "/bundles/1.0.1/archive"}, {method: "GET", path: "/bundles/1.0.1/diff?from=1.0.2"},
		{method: "DELETE", path: "/bundles/1.0.1", header: match},
		{method: "POST", path: "/bundles", body: `{"version":"1.0.3","files":[],"archive":"` + zeros + `"}`},
		{method: "POST", path: "/contents/missing", body: `{"contents":[]}`},
		{method: "PUT", path: "/contents/" + zeros + "?encoding=identity&blob=" + zeros + "&size=1", body: "x"},
		{method: "PUT", path: "/archives/" + zeros, body: "x"},
		{method: "GET", path: "/devices"}, {method: "GET", path: "/devices/x"},
		{method: "POST", path: "/why", body: `{"device":"x"}`}, {method: "POST", path: "/why", body: `{"query":{}}`},
		{method: "GET", path: "/changes"},
	}
}

func TestPreconditions(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	apps := "/v1/apps/" + app
	a, err := w.App(t.Context(), app)
	w.must(err)
	b, err := w.Bundle(t.Context(), app, "1.0.1")
	w.must(err)
	for _, change := range []struct {
		method, path, body string
		now                int64
	}{
		{"DELETE", apps, "", a.Number},
		{"PATCH", apps + "/channels/production", `{"prod":false}`, w.channel().Number},
		{"DELETE", apps + "/channels/production", "", w.channel().Number},
		{"DELETE", apps + "/bundles/1.0.1", "", b.Number},
		{"POST", apps + "/channels/production/releases", `{"version":"1.0.1"}`, w.channel().Number},
		{"POST", apps + "/channels/production/rollback", `{}`, w.channel().Number},
	} {
		name := change.method + " " + change.path
		if !strings.HasSuffix(change.path, "/rollback") {
			w.refused(refusal{name: name + " without", method: change.method, path: change.path, body: change.body,
				status: 428, code: capstan.CodeNoPrecondition, field: "If-Match", says: []string{"ETag"}})
		}
		for _, malformed := range []string{"5", `"5`, `5"`, `"five"`, `""`, `"0"`, `"-5"`, `*`, `"4", "5"`, `W/5`, `"99999999999999999999"`} {
			w.refused(refusal{name: name + " with " + malformed, method: change.method, path: change.path, body: change.body,
				header: map[string]string{"If-Match": malformed}, status: 422, code: capstan.CodeInvalid, field: "If-Match"})
		}
		for _, stale := range []int64{change.now - 1, change.now + 1} {
			for _, weak := range []string{"", "W/"} {
				got := w.refused(refusal{name: name + " stale", method: change.method, path: change.path, body: change.body,
					header: map[string]string{"If-Match": fmt.Sprintf(`%s"%d"`, weak, stale)}, status: 412, code: capstan.CodeStale})
				if got.problem.Number != change.now {
					t.Errorf("%s: a stale call is told the number %d, want %d", name, got.problem.Number, change.now)
				}
			}
		}
	}
}

func TestInputThatIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	apps, channel := "/v1/apps/"+app, "/v1/apps/"+app+"/channels/production"
	match := map[string]string{"If-Match": fmt.Sprintf(`"%d"`, w.channel().Number)}
	big := `{"id":"com.example.b","name":"` + strings.Repeat("x", 2<<20) + `"}`
	for _, tt := range []refusal{
		{name: "not JSON", method: "POST", path: "/v1/apps", body: `{"id":`, status: 400, code: capstan.CodeInvalid, field: "body"},
		{name: "wrong type", method: "POST", path: "/v1/apps", body: `{"id":5}`, status: 422, code: capstan.CodeInvalid, field: "id", says: []string{"string"}},
		{name: "no body", method: "POST", path: "/v1/apps", status: 400, code: capstan.CodeInvalid},
		{name: "missing field", method: "POST", path: "/v1/apps", body: `{}`, status: 422, code: capstan.CodeInvalid, field: "body", says: []string{"id"}},
		{name: "unknown field", method: "POST", path: "/v1/apps", body: `{"id":"com.example.b","nmae":"x"}`, status: 422, code: capstan.CodeInvalid, field: "nmae"},
		{name: "not JSON by its type", method: "POST", path: "/v1/apps", body: `id=5`,
			header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, status: 415, code: capstan.CodeInvalid, field: "body"},
		{name: "large body", method: "POST", path: "/v1/apps", body: big, status: 413, code: capstan.CodeTooLarge},
		{name: "app id", method: "POST", path: "/v1/apps", body: `{"id":"example"}`, status: 422, code: capstan.CodeInvalid, field: "app"},
		{name: "app exists", method: "POST", path: "/v1/apps", body: `{"id":"` + app + `"}`, status: 409, code: capstan.CodeAppExists, field: "app"},
		{name: "app exists elsewhere", method: "POST", path: "/v1/apps", body: `{"id":"` + elsewhere + `"}`, status: 409, code: capstan.CodeAppExists, field: "app"},
		{name: "channel exists", method: "POST", path: apps + "/channels", body: `{"name":"production"}`, status: 409, code: capstan.CodeChannelExists, field: "channel"},
		{name: "unknown platform", method: "POST", path: apps + "/channels", body: `{"name":"b","platforms":["ios","windows"]}`,
			status: 422, code: capstan.CodeInvalid, field: "platforms", says: []string{"windows", "electron"}},
		{name: "unknown default", method: "PATCH", path: channel, body: `{"default":["web"]}`, header: match, status: 422, code: capstan.CodeInvalid, field: "default"},
		{name: "unknown policy", method: "PATCH", path: channel, body: `{"policy":"some"}`, header: match, status: 422, code: capstan.CodeInvalid, field: "policy", says: []string{"metadata"}},
		{name: "default channel is deleted", method: "DELETE", path: channel, header: match, status: 409, code: capstan.CodeInUse},
		{name: "neither version nor built-in", method: "POST", path: channel + "/releases", body: `{}`, header: match, status: 422, code: capstan.CodeInvalid, field: "version"},
		{name: "both", method: "POST", path: channel + "/releases", body: `{"version":"1.0.1","builtin":true}`, header: match, status: 422, code: capstan.CodeInvalid, field: "version"},
		{name: "two targets", method: "POST", path: channel + "/rollback", body: `{"to_release":1,"to_builtin":true}`, status: 422, code: capstan.CodeInvalid, field: "to_release"},
		{name: "page too long", method: "GET", path: apps + "/bundles?limit=501", status: 422, code: capstan.CodeInvalid, field: "limit"},
		{name: "page of nothing", method: "GET", path: apps + "/bundles?limit=0", status: 422, code: capstan.CodeInvalid, field: "limit"},
		{name: "page of words", method: "GET", path: apps + "/bundles?limit=many", status: 422, code: capstan.CodeInvalid, field: "limit"},
		{name: "release page", method: "GET", path: channel + "/releases?after=x", status: 422, code: capstan.CodeInvalid, field: "after"},
		{name: "change page", method: "GET", path: apps + "/changes?after=-1", status: 422, code: capstan.CodeInvalid, field: "after"},
		{name: "device page", method: "GET", path: apps + "/devices?after=x", status: 422, code: capstan.CodeInvalid, field: "after"},
		{name: "why of nobody", method: "POST", path: apps + "/why", body: `{}`, status: 422, code: capstan.CodeInvalid, field: "device"},
		{name: "why of both", method: "POST", path: apps + "/why", body: `{"device":"x","query":{}}`, status: 422, code: capstan.CodeInvalid, field: "device"},
		{name: "why of a bad query", method: "POST", path: apps + "/why", body: `{"query":{"platform":"web"}}`, status: 422, code: capstan.CodeInvalid, field: "query"},
		{name: "why of another app", method: "POST", path: apps + "/why", body: `{"query":{"app_id":"com.example.b"}}`, status: 422, code: capstan.CodeInvalid, field: "query", says: []string{"com.example.b"}},
		{name: "diff from nowhere", method: "GET", path: apps + "/bundles/1.0.1/diff", status: 422, code: capstan.CodeInvalid, field: "from"},
		{name: "digest", method: "POST", path: apps + "/contents/missing", body: `{"contents":[{"digest":"abc","size":1}]}`, status: 422, code: capstan.CodeInvalid, says: []string{"hex"}},
		{name: "path of a digest", method: "PUT", path: apps + "/archives/..%2f..%2fetc", body: "x", status: 422, code: capstan.CodeInvalid, says: []string{"hex"}},
		{name: "unknown encoding", method: "PUT", path: apps + "/contents/" + zeros + "?encoding=gzip&blob=" + zeros + "&size=1", body: "x",
			status: 422, code: capstan.CodeInvalid, field: "encoding"},
		{name: "bundle in use", method: "DELETE", path: apps + "/bundles/1.0.2", header: map[string]string{"If-Match": w.etag("/bundles/1.0.2")},
			status: 409, code: capstan.CodeInUse, says: []string{"production"}},
		{name: "bundle version", method: "POST", path: apps + "/bundles", body: `{"version":"one","files":[{"path":"index.html","digest":"` + zeros + `","size":1}],"archive":"` + zeros + `"}`,
			status: 422, code: capstan.CodeInvalid, field: "version"},
		{name: "bundle without bytes", method: "POST", path: apps + "/bundles", body: `{"version":"2.0.0","files":[{"path":"index.html","digest":"` + zeros + `","size":1}],"archive":"` + zeros + `"}`,
			status: 409, code: capstan.CodeBlobMissing, field: "files", says: []string{"index.html"}},
		{name: "bundle without index", method: "POST", path: apps + "/bundles", body: `{"version":"2.0.0","files":[{"path":"a.html","digest":"` + zeros + `","size":1}],"archive":"` + zeros + `"}`,
			status: 422, code: capstan.CodeNoIndex, field: "files"},
		{name: "no such route", method: "GET", path: "/v1/nothing", status: 404, code: capstan.CodeNotFound, says: []string{"/v1/openapi.json"}},
		{name: "no such route below an app", method: "GET", path: apps + "/nothing", status: 404, code: capstan.CodeNotFound},
		{name: "the root", method: "GET", path: "/v1/", status: 404, code: capstan.CodeNotFound},
	} {
		got := w.refused(tt)
		if len(got.body) > 8<<10 {
			t.Errorf("%s: the answer has %d bytes", tt.name, len(got.body))
		}
	}
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("what is the caller's fault was logged as the server's: %s", w.log)
	}
}

// etag is the ETag of something of the app.
func (w *world) etag(path string) string {
	w.t.Helper()
	return w.do(w.request("GET", "/v1/apps/"+app+path, "")).Header.Get("ETag")
}

// An answer to a large request with many mistakes says some of them and
// repeats none of the values.
func TestMistakesAreNotEchoed(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	secret := strings.Repeat("secret", 2000)
	wrong := strings.Repeat(`{"digest":5,"size":"`+secret+`"},`, 200)
	got := w.refused(refusal{name: "many mistakes", method: "POST", path: "/v1/apps/" + app + "/contents/missing",
		body: `{"contents":[` + strings.TrimSuffix(wrong, ",") + `]}`, status: 422, code: capstan.CodeInvalid, field: "contents[0].digest"})
	if len(got.body) > 8<<10 || strings.Contains(got.body, "secret") || len(got.problem.Details) != 20 {
		t.Errorf("the answer has %d bytes and %d details: %.500s", len(got.body), len(got.problem.Details), got.body)
	}
}

func TestWrongMethodNamesTheRightOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	for _, tt := range []struct{ method, path, allow string }{
		{"PUT", "/v1/apps", "GET, HEAD, POST"},
		{"POST", "/v1/whoami", "GET, HEAD"},
		{"DELETE", "/v1/apps/" + app + "/channels/production/rollback", "POST"},
		{"GET", "/v1/apps/" + app + "/archives/" + zeros, "PUT"},
		{"OPTIONS", "/v1/apps/" + app + "/channels/production", "GET, HEAD, PATCH, DELETE"},
		{"POST", "/v1/openapi.json", "GET, HEAD"},
	} {
		header := map[string]string{}
		if strings.HasSuffix(tt.path, "openapi.json") {
			header["Authorization"] = "" // open to everybody
		}
		got := w.refused(refusal{name: tt.method + " " + tt.path, method: tt.method, path: tt.path, header: header, status: 405, code: capstan.CodeMethod})
		if a := got.Header.Get("Allow"); a != tt.allow {
			t.Errorf("%s %s: Allow is %q, want %q", tt.method, tt.path, a, tt.allow)
		}
	}
}

// A version that is taken by other content says which files differ.
func TestDuplicateVersionListsWhatDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	other := site("1.0.1")
	other["app.js"] += "// changed"
	delete(other, "assets/logo.svg")
	other["more.txt"] = "more"
	in, _ := w.send("1.0.1", w.source(other))
	before := w.number()
	_, err := w.RegisterBundle(t.Context(), app, in)
	e := w.wantCode("duplicate version", err, capstan.CodeVersionExists)
	if want := []string{"added: more.txt", "changed: app.js", "removed: assets/logo.svg"}; !slices.Equal(e.Details, want) {
		t.Errorf("differing files %q, want %q", e.Details, want)
	}
	if e.Field != "version" || len(e.Hints) == 0 || w.number() != before {
		t.Errorf("error %+v, number %d before and %d after", e, before, w.number())
	}

	same, sent := w.send("1.0.1", w.source(site("1.0.1")))
	r, err := w.RegisterBundle(t.Context(), app, same)
	if err != nil || !r.Existed || sent != 0 || w.number() != before {
		t.Errorf("the same content again: %+v, %v; %d contents were sent, number %d to %d", r, err, sent, before, w.number())
	}
	body := `{"version":"1.0.1","archive":"` + string(same.Archive) + `","files":` + filesJSON(same.Files) + `}`
	if got := w.do(w.request("POST", "/v1/apps/"+app+"/bundles", body)); got.StatusCode != http.StatusOK {
		t.Errorf("what existed was answered with %d", got.StatusCode)
	}
}

func filesJSON(files []capstan.File) string {
	var lines []string
	for _, f := range files {
		lines = append(lines, fmt.Sprintf(`{"path":%q,"digest":%q,"size":%d}`, f.Path, f.Digest, f.Size))
	}
	return "[" + strings.Join(lines, ",") + "]"
}
