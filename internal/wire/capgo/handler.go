package capgo

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/ingest"
)

// Deps are what the endpoints need. They are plain functions, so that a
// benchmark or test wires just what it looks at.
type Deps struct {
	App        func(id string) (app *decide.App, known bool, err error)
	Overlay    func(app string, id capstan.DeviceID) decide.Overlay
	Seen       func(ingest.Sighting)
	Events     func(ctx context.Context, events []capstan.Event) error
	SetSelfPin func(ctx context.Context, app string, id capstan.DeviceID, channel string) error
	NewID      func() string // of an event
	Now        func() time.Time
	Log        *slog.Logger
	PublicURL  string // origin of the addresses in offers
}

type handler struct{ Deps }

// NewHandler answers devices at the root and, as Capgo's own server does,
// under /plugin.
func NewHandler(d Deps) http.Handler {
	h := &handler{d}
	mux := http.NewServeMux()
	for _, prefix := range []string{"", "/plugin"} {
		mux.HandleFunc("POST "+prefix+"/updates", h.updates)
		mux.HandleFunc("GET "+prefix+"/updates", ok)
		mux.HandleFunc("POST "+prefix+"/updates/manifest_size", h.manifestSize)
		mux.HandleFunc("POST "+prefix+"/stats", h.stats)
		mux.HandleFunc("GET "+prefix+"/stats", ok)
		mux.HandleFunc("POST "+prefix+"/channel_self", h.setChannel)
		mux.HandleFunc("PUT "+prefix+"/channel_self", h.getChannel)
		mux.HandleFunc("GET "+prefix+"/channel_self", h.listChannels)
		mux.HandleFunc("DELETE "+prefix+"/channel_self", h.unsetChannel)
		mux.HandleFunc("GET "+prefix+"/ok", ok)
		mux.HandleFunc("POST "+prefix+"/ok", ok)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusNotFound, []byte(`{"error":"not_found","message":"Not found"}`))
	})
	return mux
}

var okAnswer = []byte(`{"status":"ok"}`)

func ok(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, okAnswer) }

// Header values that are set on every answer; never changed.
var (
	jsonType     = []string{"application/json; charset=utf-8"}
	noStore      = []string{"no-store"}
	gzipEncoding = []string{"gzip"}
	varyEncoding = []string{"Accept-Encoding"}
)

// write sends a whole answer. The body is never empty: iOS takes an empty 200
// for a failure (device-clients.md §5.3).
func write(w http.ResponseWriter, status int, b []byte) {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"] = jsonType, noStore
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	w.WriteHeader(status)
	_, _ = w.Write(b) // a device that went away needs no answer
}

// writeAnswer sends a prepared offer in the smaller form that the device takes.
func writeAnswer(w http.ResponseWriter, r *http.Request, a decide.Answer) {
	w.Header()["Vary"] = varyEncoding
	if a.Gzip != nil && acceptsGzip(r.Header["Accept-Encoding"]) {
		w.Header()["Content-Encoding"] = gzipEncoding
		write(w, http.StatusOK, a.Gzip)
		return
	}
	write(w, http.StatusOK, a.Identity)
}

// acceptsGzip reads Accept-Encoding: "gzip" or "*" with a weight above 0.
func acceptsGzip(values []string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			name, weight, _ := strings.Cut(part, ";")
			name = strings.TrimSpace(name)
			if name != "*" && !strings.EqualFold(name, "gzip") {
				continue
			}
			weight = strings.ReplaceAll(strings.TrimSpace(weight), " ", "")
			q, given := strings.CutPrefix(strings.ToLower(weight), "q=")
			if n, err := strconv.ParseFloat(q, 64); !given || err == nil && n > 0 {
				return true
			}
		}
	}
	return false
}

// writeError sends a body that plugins read as a failure. The codes that they
// know go with HTTP 200 where they expect it, since plugins before 8.45.11
// throw the body of any other status away.
func writeError(w http.ResponseWriter, status int, code, message string) {
	b := append([]byte(nil), `{"error":"`...)
	b = append(b, code...)
	b = append(b, `","message":`...)
	b = appendString(b, message)
	b = append(b, `,"status":"error"}`...)
	write(w, status, b)
}

func writeRefused(w http.ResponseWriter, e *refusedBody) {
	b := append([]byte(nil), `{"error":"`...)
	b = append(b, e.code...)
	b = append(b, `","message":`...)
	b = appendString(b, e.message)
	b = append(b, `,"moreInfo":{`...)
	if e.field != "" {
		b = appendString(b, e.field)
		b = append(b, ':')
		b = appendString(b, e.value)
	}
	write(w, http.StatusBadRequest, append(b, "}}"...))
}

// unavailable says that the store failed. It is never an unknown app, and never
// a 429, which old plugins do not get over until they restart
// (device-clients.md §3.6).
func (h *handler) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	h.Log.ErrorContext(r.Context(), "cannot answer device", "path", r.URL.Path, "error", err)
	w.Header()["Retry-After"] = []string{"30"}
	write(w, http.StatusServiceUnavailable, []byte(`{"error":"service_unavailable","message":"Try again later","kind":"failed"}`))
}

// unknownApp names the id, so that a developer who reads it knows what to add.
func unknownApp(id string) []byte {
	b := append([]byte(nil), `{"error":"app_not_found","message":`...)
	b = appendString(b, "This server has no app "+clip(id, 128))
	return append(b, `,"kind":"blocked"}`...)
}

// buffers hold bodies while they are decoded.
var buffers = sync.Pool{New: func() any { b := make([]byte, maxBody+1); return &b }}

var errTooLarge = &refusedBody{code: "invalid_json_body", message: "The body is too large"}

// readBody reads a bounded body into a pooled buffer and hands it to use, which
// must not keep it.
func readBody(w http.ResponseWriter, r *http.Request, use func(b []byte)) {
	buf, _ := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	n, err := io.ReadFull(r.Body, *buf)
	switch {
	case err == nil:
		writeRefused(w, errTooLarge)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && (r.ContentLength < 0 || int64(n) == r.ContentLength):
		use((*buf)[:n])
	default:
		writeRefused(w, &refusedBody{code: "invalid_json_parse_body", message: "The body broke off"})
	}
}
