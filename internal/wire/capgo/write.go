package capgo

import (
	"encoding/json/jsontext"
	"net/http"
	"strconv"
	"strings"

	"github.com/capstan-ota/capstan/internal/decide"
)

// Header values are shared between requests: net/http only reads them.
var (
	jsonType       = []string{"application/json; charset=utf-8"}
	gzipEncoding   = []string{"gzip"}
	acceptEncoding = []string{"Accept-Encoding"}
	noStore        = []string{"no-store"}
	retryAfter     = []string{retryAfterSeconds}
)

// retryAfterSeconds is never 0, since OkHttp repeats such a request at once
// (device-clients.md §12 rule 16).
const retryAfterSeconds = "5"

var okBody = []byte(`{"status":"ok"}`)

func (h *Handler) ok(w http.ResponseWriter) { h.send(w, http.StatusOK, okBody) }

// send writes a whole answer.
func (h *Handler) send(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	header["Content-Type"] = jsonType
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away is no trouble of ours
}

// sendPrepared writes an offer in the coding that the device can read.
func (h *Handler) sendPrepared(w http.ResponseWriter, r *http.Request, a *decide.Answer) {
	if a.Gzip == nil {
		h.send(w, http.StatusOK, a.Identity)
		return
	}
	header := w.Header()
	header["Vary"] = acceptEncoding
	if !acceptsGzip(r.Header["Accept-Encoding"]) {
		h.send(w, http.StatusOK, a.Identity)
		return
	}
	header["Content-Encoding"] = gzipEncoding
	h.send(w, http.StatusOK, a.Gzip)
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3): a coding is accepted
// when it is named, or covered by "*", with a weight above 0; its own name
// beats the star.
func acceptsGzip(values []string) bool {
	star := false
	for _, v := range values {
		for v != "" {
			var one string
			one, v, _ = strings.Cut(v, ",")
			coding, params, _ := strings.Cut(one, ";")
			switch coding = strings.TrimSpace(coding); {
			case strings.EqualFold(coding, "gzip"), strings.EqualFold(coding, "x-gzip"):
				return weighs(params)
			case coding == "*":
				star = weighs(params)
			}
		}
	}
	return star
}

// weighs reports whether the parameters give a weight above 0; one that cannot
// be read counts as 0, which is always right for a device.
func weighs(params string) bool {
	for params != "" {
		var one string
		one, params, _ = strings.Cut(params, ";")
		name, value, ok := strings.Cut(strings.TrimSpace(one), "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		return err == nil && q > 0 && q <= 1
	}
	return true
}

// fault is a request that cannot be read, in the words of the protocol
// (decisions.md §0): what is thrown is not 200 and nests its details.
type fault struct {
	status  int
	code    string
	message string
	info    string // JSON object; "" for an empty one
}

func (f *fault) Error() string { return f.code + ": " + f.message }

func (h *Handler) fault(w http.ResponseWriter, f *fault) {
	b := append([]byte(nil), `{"error":`...)
	b = appendString(b, f.code)
	b = append(b, `,"message":`...)
	b = appendString(b, f.message)
	b = append(b, `,"moreInfo":`...)
	if f.info == "" {
		b = append(b, "{}"...)
	} else {
		b = append(b, f.info...)
	}
	w.Header()["Cache-Control"] = noStore
	h.send(w, f.status, append(b, '}'))
}

// unavailable says that the server cannot answer now. It is never 429, which
// makes older plugins deaf until they restart, and never an unknown app.
func (h *Handler) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		h.deps.Log.Error("cannot answer a device", "path", r.URL.Path, "error", err)
	}
	w.Header()["Retry-After"] = retryAfter
	h.fault(w, &fault{status: http.StatusServiceUnavailable, code: "service_unavailable", message: "The server cannot do this now; try again later"})
}

func unknownApp(id string) string { return "This server has no app " + id }

// appendUnknownApp appends the answer to a device of an app that is not here.
func appendUnknownApp(b []byte, id string) []byte {
	b = append(b, `{"error":"app_not_found","message":`...)
	b = appendString(b, unknownApp(id))
	return append(b, `,"kind":"blocked"}`...)
}

// appendString appends s as a JSON string; what is not UTF-8 is replaced.
func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // invalid UTF-8 is replaced and then reported: nothing to do
	return b
}
