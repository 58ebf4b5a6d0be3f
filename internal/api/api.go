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
	"sync"
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
	// huma would make the description at the first request, without a lock.
	description := sync.OnceValues(OpenAPI)
	mux.HandleFunc("GET "+OpenAPIPath, func(w http.ResponseWriter, r *http.Request) {
		b, err := description()
		if err != nil {
			a.sendProblem(w, r, fmt.Errorf("describe the API: %w", err))
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(b) // a caller that went away needs no answer
	})
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) { a.notFound(mux, w, r) })
	return a.guard(mux)
}

func (a *api) config() huma.Config {
	c := huma.DefaultConfig("Capstan", "1")
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil // no $schema links in answers
	c.Info.Description = "Live updates for Capacitor and Electron apps. Every call needs `Authorization: Bearer capstan_…`. " +
		"Errors are problem+json with a code of docs/errors.md. Objects carry a number, their ETag; a change names it in If-Match."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	c.Security = []map[string][]string{{"token": {}}}
	c.Transformers = append(c.Transformers, asProblem)
	return c
}

// bodyBytes is how much JSON a route reads that does not say otherwise.
const bodyBytes = 1 << 20

// operation describes a route, and what a caller must be allowed to do. The
// deadlines of its body are those of arriving, not huma's.
func operation(id string, action auth.Action, method, path, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: "/v1" + path, Summary: summary, MaxBodyBytes: bodyBytes, BodyReadTimeout: -1,
		Metadata: map[string]any{actionKey: action}, Security: []map[string][]string{{"token": {string(action)}}},
	}
}

func (a *api) register(h huma.API) {
	h.UseMiddleware(a.admit)
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
		r = r.WithContext(context.WithValue(r.Context(), requestKey, id))
		arrives(w, r, a.Now)
		sent := &sentWriter{ResponseWriter: w, control: http.NewResponseController(w), now: a.Now}
		defer func() {
			if p := recover(); p != nil {
				a.panicked(sent, r, p)
			}
		}()
		if r.URL.Path != OpenAPIPath {
			p, err := a.authenticate(r)
			if err != nil {
				a.sendProblem(sent, r, err)
				return
			}
			r = r.WithContext(context.WithValue(r.Context(), principalKey, p))
		}
		next.ServeHTTP(sent, r)
	})
}

// authenticate reads the token of a request. The scheme has no case (RFC 9110
// §11.1).
func (a *api) authenticate(r *http.Request) (auth.Principal, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return auth.Principal{}, capstan.Errorf(capstan.CodeUnauthorized, "the request has no token").
			Hint("capstan login, or send the header Authorization: Bearer capstan_…")
	}
	return a.Auth.Authenticate(r.Context(), strings.TrimSpace(text))
}

// panicked answers after a panic. When an answer has begun, cutting the
// connection is the only way left to say that it is not whole.
func (a *api) panicked(w *sentWriter, r *http.Request, p any) {
	e, ok := p.(error)
	if ok && errors.Is(e, http.ErrAbortHandler) || w.gone { // huma panics when it cannot write
		panic(http.ErrAbortHandler)
	}
	id := requestID(r.Context())
	a.Log.ErrorContext(r.Context(), "panic", "request", id, "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	writeProblem(w, problemOf(fmt.Errorf("panic: %v", p), id))
}

// notFound answers what no route takes, and says so when another method would
// be taken.
func (a *api) notFound(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "/v1/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	err := capstan.Errorf(capstan.CodeNotFound, "there is nothing at %.200s", r.URL.Path).Hint("see " + OpenAPIPath)
	if methods := strings.Join(allowed, ", "); methods != "" {
		w.Header().Set("Allow", methods)
		err = capstan.Errorf(capstan.CodeMethod, "%.200s takes %s, not %s", r.URL.Path, methods, r.Method)
	}
	a.sendProblem(w, r, err)
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey).(string)
	return id
}

// fail turns an error into the answer, and logs what is the server's fault.
func (a *api) fail(ctx context.Context, err error) *problem {
	p := problemOf(err, requestID(ctx))
	if p.Status >= http.StatusInternalServerError && ctx.Err() == nil {
		a.Log.ErrorContext(ctx, "request failed", "request", p.Request, "code", p.Code, "error", err)
	} else {
		a.Log.InfoContext(ctx, "request refused", "request", p.Request, "code", p.Code)
	}
	return p
}

// sendProblem is fail for what does not go through huma.
func (a *api) sendProblem(w http.ResponseWriter, r *http.Request, err error) {
	writeProblem(w, a.fail(r.Context(), err))
}

// etag is the number of an object as a header.
func etag(number int64) string { return `"` + strconv.FormatInt(number, 10) + `"` }

// ifMatch reads the precondition of a change. Proxies that compress make an
// ETag weak on its way out, so a weak one is taken back.
func ifMatch(header string) (int64, error) {
	if header == "" {
		return 0, capstan.Errorf(capstan.CodeNoPrecondition, "this change needs an If-Match header").On("If-Match").
			Hint(`read the object and send its ETag: If-Match: "<number>"`)
	}
	text, open := strings.CutPrefix(strings.TrimPrefix(header, "W/"), `"`)
	text, closed := strings.CutSuffix(text, `"`)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || !open || !closed {
		return 0, capstan.Errorf(capstan.CodeInvalid, "If-Match %.40q is not a number in quotes", header).On("If-Match")
	}
	return n, nil
}

// Page is where a listing starts and how much it gives.
type Page struct {
	After string `query:"after" maxLength:"200" doc:"next of the page before"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

// cut takes the page out of a list that was read one longer, and says whether
// more follows.
func cut[T any](list []T, limit int) (page []T, more bool) {
	if len(list) > limit {
		return list[:limit], true
	}
	return list, false
}
