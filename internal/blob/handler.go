package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/capstan-ota/capstan"
)

// PathPrefix is where [Handler] expects to be mounted; the digest follows.
const PathPrefix = "/blobs/"

// DefaultWriteTimeout is how long a device may take to accept up to 64 kB.
// It is longer than any pause that the plugins themselves sit out (20 s,
// device-clients.md §2.3).
const DefaultWriteTimeout = 30 * time.Second

// HandlerOptions are what a [Handler] is given from outside. The zero value of
// each field but Now is useful.
type HandlerOptions struct {
	// Now is the clock for write deadlines.
	Now func() time.Time
	// WriteTimeout is how long the reader may take for one piece of the body;
	// 0 means [DefaultWriteTimeout]. A whole download has no limit.
	WriteTimeout time.Duration
	// Archive reports whether a blob is a zip, which only changes the
	// Content-Type. It is called once per answer, and must not wait.
	Archive func(capstan.Digest) bool
	// Failed is told when the storage fails, with what the device did not get
	// to see. A device that goes away is not a failure.
	Failed func(r *http.Request, err error)
}

// Handler serves the blobs of s at [PathPrefix] to whoever asks: whoever knows
// a digest may have the bytes.
//
// What the clients need from it (device-clients.md §6.1, §12 rule 9):
//   - 206 with "Content-Range: bytes a-b/total" for one range, since Android
//     below 8.51.20 appends whatever a resumed download gets; 416 past the end;
//     several ranges at once get the whole blob
//   - the exact Content-Length, which Android compares
//   - never a Content-Encoding: a zip would be decoded under the range's feet,
//     and a brotli file would be decoded twice
//   - 404 for what is not there, which is final for Android, and 503 when the
//     storage fails, which it tries again: one is never given for the other
//   - addresses whose bytes never change, so that every cache may keep them for
//     ever and nothing on the way may transform them
//
// A reader that stops reading is cut off after WriteTimeout; a blob that cannot
// be read to its end closes the connection, so that the device sees a short
// body instead of a wrong one.
func Handler(s Store, opt HandlerOptions) http.Handler {
	if opt.WriteTimeout == 0 {
		opt.WriteTimeout = DefaultWriteTimeout
	}
	return &handler{store: s, opt: opt}
}

type handler struct {
	store Store
	opt   HandlerOptions
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "blobs are read with GET or HEAD")
		return
	}
	digest, ok := strings.CutPrefix(r.URL.Path, PathPrefix)
	if !ok {
		refuse(w, http.StatusNotFound, "there is no such blob")
		return
	}
	info, err := h.store.Stat(r.Context(), capstan.Digest(digest))
	if err != nil {
		h.unread(w, r, err)
		return
	}
	h.serve(w, r, info)
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request, info Info) {
	content := &seeker{ctx: r.Context(), store: h.store, info: info}
	defer content.Close()
	if r.Method == http.MethodGet && info.Size > 0 {
		// While the status can still say what is wrong.
		if err := content.open(); err != nil {
			h.unread(w, r, err)
			return
		}
	}
	header := w.Header()
	header.Set("Content-Type", h.contentType(info.Digest))
	header.Set("ETag", `"`+string(info.Digest)+`"`)
	header.Set("Cache-Control", "public, max-age=31536000, immutable, no-transform")
	if strings.Contains(r.Header.Get("Range"), ",") {
		// A multipart answer has no Content-Range of its own, and a hundred
		// overlapping ranges would be a hundred reads.
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	// No name and no modification time: the type is set, and the ETag is
	// stronger than any date.
	out := &paced{ResponseWriter: w, control: http.NewResponseController(w), now: h.opt.Now, timeout: h.opt.WriteTimeout}
	http.ServeContent(out, r, "", time.Time{}, content)
	h.finish(out, r, content)
}

// finish ends an answer so that the next request on the connection starts
// without a deadline. After a failure there is no next one: net/http closes a
// connection, or resets a stream, whose body is shorter than its
// Content-Length, so the device sees the difference.
func (h *handler) finish(out *paced, r *http.Request, content *seeker) {
	if content.err != nil && r.Context().Err() == nil {
		h.failed(r, content.err)
	}
	out.flush()
}

func (h *handler) contentType(digest capstan.Digest) string {
	if h.opt.Archive != nil && h.opt.Archive(digest) {
		return "application/zip"
	}
	return "application/octet-stream"
}

// unread answers that there are no bytes to send: because there is no such
// blob, which is final, or because the storage failed, which says nothing about
// whether there is.
func (h *handler) unread(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist), capstan.CodeOf(err) == capstan.CodeInvalid:
		refuse(w, http.StatusNotFound, "there is no such blob")
	case r.Context().Err() != nil: // nobody is there to be told
	default:
		h.failed(r, err)
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, "the server cannot read this blob now")
	}
}

func (h *handler) failed(r *http.Request, err error) {
	if h.opt.Failed != nil {
		h.opt.Failed(r, err)
	}
}

// refuse answers without a body that anything on the way could keep.
func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, message, status)
}

// paced gives every piece of a response its own deadline. A server-wide write
// timeout would cut off large downloads; none at all would let a reader that
// never reads hold a connection for ever.
type paced struct {
	http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time
	timeout time.Duration
	err     error // of a write
}

// WriteHeader keeps what belongs to the bytes of a blob off an answer that has
// none of them, whichever of those http.ServeContent gives.
func (p *paced) WriteHeader(status int) {
	if status >= 400 {
		p.Header().Del("ETag")
		p.Header().Set("Cache-Control", "no-store")
	}
	p.ResponseWriter.WriteHeader(status)
}

func (p *paced) Write(b []byte) (int, error) {
	if err := p.deadline(p.now().Add(p.timeout)); err != nil {
		return 0, err
	}
	n, err := p.ResponseWriter.Write(b)
	if err != nil {
		p.err = err
	}
	return n, err
}

// flush sends what is buffered under a deadline of its own, then lifts the
// deadline: it belongs to the connection, which outlives this request. One
// that stays after an error keeps net/http from waiting for a dead reader.
func (p *paced) flush() {
	if err := p.deadline(p.now().Add(p.timeout)); err != nil {
		return
	}
	if err := p.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return
	}
	_ = p.deadline(time.Time{})
}

func (p *paced) deadline(t time.Time) error {
	if err := p.control.SetWriteDeadline(t); err != nil && !errors.Is(err, http.ErrNotSupported) {
		p.err = err
		return err
	}
	return nil
}

// seeker turns a blob into what http.ServeContent reads. Seeking costs
// nothing: the storage is asked again only when reading goes on elsewhere.
type seeker struct {
	ctx   context.Context
	store Store
	info  Info
	off   int64         // where the next Read reads
	body  io.ReadCloser // nil until needed
	at    int64         // where body stands
	err   error         // of the storage
}

func (s *seeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.off
	case io.SeekEnd:
		offset += s.info.Size
	}
	if offset < 0 || offset > s.info.Size {
		return 0, capstan.Errorf(capstan.CodeInvalid, "seek to %d in blob %s of %d bytes", offset, s.info.Digest, s.info.Size)
	}
	s.off = offset
	return offset, nil
}

// open lets body stand where the next Read reads.
func (s *seeker) open() error {
	if s.body != nil && s.at == s.off {
		return nil
	}
	s.Close()
	body, err := s.store.Open(s.ctx, s.info.Digest, s.off, -1)
	if err != nil {
		s.err = err
		return err
	}
	s.body, s.at = body, s.off
	return nil
}

func (s *seeker) Read(b []byte) (int, error) {
	if s.off == s.info.Size {
		return 0, io.EOF
	}
	if err := s.open(); err != nil {
		return 0, err
	}
	n, err := s.body.Read(b)
	s.off += int64(n)
	s.at = s.off
	switch {
	case errors.Is(err, io.EOF) && s.off < s.info.Size:
		err = fmt.Errorf("blob %s ends after %d of %d bytes: %w", s.info.Digest, s.off, s.info.Size, io.ErrUnexpectedEOF)
		s.err = err
	case err != nil && !errors.Is(err, io.EOF):
		s.err = err
	}
	return n, err
}

// Close lets go of the storage. Nothing was written, so nothing can be lost.
func (s *seeker) Close() {
	if s.body != nil {
		_ = s.body.Close()
		s.body = nil
	}
}
