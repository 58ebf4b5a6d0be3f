// Package api is the public API, /v1: shapes in, verbs of control out. It
// authenticates, translates between the shapes of package client and the
// domain, and turns every error into problem+json with code, hints and request
// id. OpenAPI 3.1 is generated from the types.
//
// It decides nothing and writes nothing itself. What may be done is control's
// word: each verb authorises its caller.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/blob"
	"github.com/capstan-ota/capstan/internal/catalog"
	"github.com/capstan-ota/capstan/internal/control"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/store"
)

// Deps are what the API needs. Every field must be set.
type Deps struct {
	Control *control.Control
	DB      *store.DB
	Blobs   blob.Store
	Catalog *catalog.Catalog
	Auth    auth.Authenticator
	Asker   Asker

	PublicURL    string // that devices use
	Version      string // of the server
	Log          *slog.Logger
	Now          func() time.Time
	NewRequestID func() string
}

// Asker reads a device's question and writes its answer in the protocol that
// the device speaks, which the API itself does not know.
type Asker struct {
	ByBody   func(body []byte, app string) (Asked, error)
	ByDevice func(d capstan.Device) (Asked, error)
}

// Asked is a question that a device could ask.
type Asked struct {
	Query  *decide.Query
	Answer func(decide.Decision) []byte
}

type api struct{ Deps }

// OpenAPIPath is where the description of the API is served.
const OpenAPIPath = "/v1/openapi.json"

// New returns the handler of everything below /v1/.
func New(d Deps) http.Handler {
	a := &api{d}
	mux := http.NewServeMux()
	a.register(humago.New(mux, a.config()))
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) { a.notFound(mux, w, r) })
	return a.guard(mux)
}

// OpenAPI returns the description of the API as JSON.
func OpenAPI() ([]byte, error) {
	a := &api{}
	h := humago.New(http.NewServeMux(), a.config())
	a.register(h)
	return h.OpenAPI().MarshalJSON()
}

func (a *api) config() huma.Config {
	c := huma.DefaultConfig("Capstan", "1")
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = strings.TrimSuffix(OpenAPIPath, ".json"), "", ""
	c.CreateHooks = nil // no $schema links in answers
	c.Info.Description = "Live updates for Capacitor and Electron apps. Every call needs `Authorization: Bearer capstan_…`. " +
		"Errors are problem+json with a code of docs/errors.md. Objects carry a number, their ETag; a change names it in If-Match."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	c.Security = []map[string][]string{{"token": {}}}
	c.Transformers = append(c.Transformers, asProblem)
	return c
}

// operation describes a route.
func operation(id, method, path, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: "/v1" + path, Summary: summary,
		MaxBodyBytes: 1 << 20, BodyReadTimeout: time.Minute, SkipValidateParams: false,
	}
}

func (a *api) register(h huma.API) {
	a.registerWhoami(h)
	a.registerApps(h)
	a.registerChannels(h)
	a.registerReleases(h)
	a.registerBundles(h)
	a.registerContents(h)
	a.registerDevices(h)
}

type contextKey int

const (
	principalKey contextKey = iota
	requestKey
)

func principal(ctx context.Context) auth.Principal {
	p, _ := ctx.Value(principalKey).(auth.Principal)
	return p
}

// guard gives every request an id, lets only callers with a token through, and
// turns a panic into an answer.
func (a *api) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := a.NewRequestID()
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("Cache-Control", "no-store")
		ctx := context.WithValue(r.Context(), requestKey, id)
		defer func() {
			if p := recover(); p != nil {
				if e, ok := p.(error); ok && errors.Is(e, http.ErrAbortHandler) {
					panic(p)
				}
				a.Log.Error("panic", "request", id, "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				writeProblem(w, problemOf(fmt.Errorf("panic: %v", p), id))
			}
		}()
		if r.URL.Path != OpenAPIPath {
			text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !ok {
				a.unauthorized(w, id, capstan.Errorf(capstan.CodeUnauthorized, "the request has no token").
					Hint("capstan login, or send the header Authorization: Bearer capstan_…"))
				return
			}
			p, err := a.Auth.Authenticate(ctx, strings.TrimSpace(text))
			if err != nil {
				a.unauthorized(w, id, err)
				return
			}
			ctx = context.WithValue(ctx, principalKey, p)
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (a *api) unauthorized(w http.ResponseWriter, id string, err error) {
	p := problemOf(err, id)
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="capstan"`)
	}
	if p.Code == capstan.CodeInternal {
		a.Log.Error("cannot authenticate", "request", id, "error", err)
	}
	writeProblem(w, p)
}

// notFound answers what no route takes, and says so when another method would
// be taken.
func (a *api) notFound(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "/v1/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	p := problemOf(capstan.Errorf(capstan.CodeNotFound, "there is nothing at %s", r.URL.Path).Hint("see "+OpenAPIPath), requestID(r.Context()))
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		p.Status, p.Detail = http.StatusMethodNotAllowed, fmt.Sprintf("%s takes %s, not %s", r.URL.Path, strings.Join(allowed, ", "), r.Method)
	}
	writeProblem(w, p)
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey).(string)
	return id
}

// fail turns an error into the answer, and logs what only the log may know.
func (a *api) fail(ctx context.Context, err error) error {
	p := problemOf(err, requestID(ctx))
	if p.Code == capstan.CodeInternal && ctx.Err() == nil {
		a.Log.ErrorContext(ctx, "request failed", "request", p.Request, "error", err)
	}
	return p
}

// etag is the number of an object as a header.
func etag(number int64) string { return `"` + strconv.FormatInt(number, 10) + `"` }

// ifMatch reads the precondition of a change.
func ifMatch(header string) (int64, error) {
	if header == "" {
		return 0, capstan.Errorf(capstan.CodeNoPrecondition, "this change needs an If-Match header").On("If-Match").
			Hint(`read the object and send its ETag: If-Match: "<number>"`)
	}
	n, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(header, "W/"), `"`), 10, 64)
	if err != nil || n <= 0 {
		return 0, capstan.Errorf(capstan.CodeInvalid, "If-Match %.40q is not a number in quotes", header).On("If-Match")
	}
	return n, nil
}

// Page is where a listing starts and how much it gives.
type Page struct {
	After string `query:"after" maxLength:"200" doc:"next of the page before"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
}
