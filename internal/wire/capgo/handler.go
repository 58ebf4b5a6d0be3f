package capgo

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/ingest"
)

// Deps are what the protocol stands on, as plain functions.
type Deps struct {
	// App returns the snapshot of an app. known is false only when there is
	// certainly no such app; whatever keeps it from knowing is an error.
	App func(id string) (app *decide.App, known bool, err error)
	// Overlay returns what is known about one device.
	Overlay func(app string, id capstan.DeviceID) decide.Overlay
	// Seen records a check. It must not block.
	Seen func(ingest.Sighting)
	// Events returns once the events are durable.
	Events func(context.Context, []capstan.Event) error
	// NewID makes the id of an event; nil when Events gives it one.
	NewID func() string
	// SetSelfPin records the channel of a legacy plugin, "" removes it. It is
	// durable and visible to the next request when it returns.
	SetSelfPin func(ctx context.Context, app string, id capstan.DeviceID, channel string) error
	Now        func() time.Time
	Log        *slog.Logger
	PublicURL  string // origin of blob addresses, without a slash at its end
}

// Handler answers devices. It is safe for concurrent use.
type Handler struct {
	deps    Deps
	scratch sync.Pool // of *scratch

	droppedEvents atomic.Int64
	refusedEvents atomic.Int64
}

// NewHandler returns the handler of every device endpoint, at the root and
// under /plugin/. Whatever else it is asked is 404.
func NewHandler(d Deps) *Handler {
	h := &Handler{deps: d}
	h.scratch.New = func() any { return &scratch{} }
	return h
}

// Counts are what devices sent and was not kept, since the start.
type Counts struct {
	DroppedEvents int64 // beyond the first 500 of a request or its first MiB
	RefusedEvents int64 // that could not be understood, or of an unknown app
}

// Counts returns the counters.
func (h *Handler) Counts() Counts {
	return Counts{DroppedEvents: h.droppedEvents.Load(), RefusedEvents: h.refusedEvents.Load()}
}

// scratch is the memory of one request, used again by later ones. Strings that
// outlive the request are never cut from its buffers.
type scratch struct {
	in     []byte
	out    []byte
	fields fields
	q      question
}

// maxKept is the largest buffer that waits for another request.
const maxKept = 64 << 10

func (h *Handler) borrow() *scratch { return h.scratch.Get().(*scratch) }

func (h *Handler) giveBack(s *scratch) {
	if cap(s.in) > maxKept || cap(s.out) > maxKept {
		return
	}
	s.in, s.out, s.fields, s.q = s.in[:0], s.out[:0], fields{}, question{}
	h.scratch.Put(s)
}

// ServeHTTP implements http.Handler. Paths are compared here and not by a
// ServeMux, which would redirect a configured address with a stray slash:
// clients turn a redirected POST into a GET without body (device-clients.md
// §12 rule 16).
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if strings.HasPrefix(path, "/plugin/") {
		path = path[len("/plugin"):]
	}
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch strings.TrimSuffix(path, "/") {
	case "/updates":
		switch {
		case r.Method == http.MethodPost:
			h.updates(w, r)
		case get:
			h.ok(w)
		default:
			h.wrongMethod(w, "GET, POST")
		}
	case "/updates/manifest_size":
		if r.Method == http.MethodPost {
			h.manifestSize(w, r)
		} else {
			h.wrongMethod(w, "POST")
		}
	case "/stats":
		switch {
		case r.Method == http.MethodPost:
			h.stats(w, r)
		case get:
			h.ok(w)
		default:
			h.wrongMethod(w, "GET, POST")
		}
	case "/channel_self":
		switch {
		case r.Method == http.MethodPost, r.Method == http.MethodPut, r.Method == http.MethodDelete, get:
			h.channelSelf(w, r)
		default:
			h.wrongMethod(w, "DELETE, GET, POST, PUT")
		}
	case "/ok":
		if get || r.Method == http.MethodPost {
			h.ok(w)
		} else {
			h.wrongMethod(w, "GET, POST")
		}
	default:
		h.fault(w, &fault{status: http.StatusNotFound, code: "not_found", message: "Not found"})
	}
}

func (h *Handler) wrongMethod(w http.ResponseWriter, allow string) {
	w.Header()["Allow"] = []string{allow}
	h.fault(w, &fault{status: http.StatusMethodNotAllowed, code: "method_not_allowed", message: "Use one of " + allow})
}
