package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
)

// ownToken is the action of routes that tell callers about themselves: every
// token may do it.
const ownToken auth.Action = "token:own"

// actionKey is where an operation keeps the action that it declares.
const actionKey = "action"

// admit lets a request through to its route: when the caller may do what the
// route declares, and when the body, as announced, is not too large. Both are
// known before a byte of the body is read. The verbs of control authorise once
// more, since edges are not their only callers.
func (a *api) admit(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	op := ctx.Operation()
	err := a.authorize(r, op)
	if limit := op.MaxBodyBytes; err == nil && limit > 0 && r.ContentLength > limit {
		err = capstan.Errorf(capstan.CodeTooLarge, "the body has %d bytes, at most %d are read", r.ContentLength, limit)
	}
	if err != nil {
		a.sendProblem(w, r, err)
		return
	}
	next(ctx)
}

// authorize asks for the action of a route on the app that its path names, or
// on the caller's organisation.
func (a *api) authorize(r *http.Request, op *huma.Operation) error {
	action, _ := op.Metadata[actionKey].(auth.Action)
	p := principal(r.Context())
	if app := r.PathValue("app"); app != "" {
		_, err := a.Control.App(r.Context(), p, action, app)
		return err
	}
	if action == ownToken {
		return nil
	}
	return auth.Authorize(p, action, p.Org)
}

// How long a caller is waited for. A body has to keep arriving, and to arrive
// at a least rate over all; an answer has to be taken piece by piece. Taking
// has more time than sending, since net/http waits for the rest of a body that
// was refused before it sends the refusal.
const (
	stalled    = 30 * time.Second // to send the next bytes
	untaken    = time.Minute      // to take a piece
	grace      = time.Minute      // for a body of any size, and then
	slowest    = 50_000           // bytes a second
	pieceBytes = 64 << 10
	largest    = 1 << 31 // no body that is read is larger
)

// arriving is a request body that is read under deadlines. At its end net/http
// lifts them, so what is done with a body may take longer.
type arriving struct {
	io.ReadCloser
	control *http.ResponseController
	now     func() time.Time
	end     time.Time // of the whole body
	read    int64
	length  int64 // -1: not said
}

// arrives puts the body of r under deadlines, from now on: one that no handler
// reads is read by net/http after the answer, up to a limit.
func arrives(w http.ResponseWriter, r *http.Request, now func() time.Time) {
	if r.Body == http.NoBody {
		return
	}
	begin := now()
	b := &arriving{ReadCloser: r.Body, control: http.NewResponseController(w), now: now, length: r.ContentLength}
	b.end = begin.Add(grace + time.Duration(min(max(r.ContentLength, bodyBytes), largest)/slowest)*time.Second)
	b.deadline(begin.Add(stalled))
	r.Body = b
}

// deadline sets when reading ends. Recorders of tests have no deadline; a real
// connection always has.
func (b *arriving) deadline(t time.Time) { _ = b.control.SetReadDeadline(t) }

// Read implements io.Reader. Errors: too_slow, digest_mismatch for a body that
// ends early.
func (b *arriving) Read(p []byte) (int, error) {
	limit := b.now().Add(stalled)
	if limit.After(b.end) {
		limit = b.end
	}
	b.deadline(limit)
	n, err := b.ReadCloser.Read(p[:min(len(p), pieceBytes)])
	b.read += int64(n)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = b.failed(capstan.CodeTooSlow, err, "the body did not arrive in time: %d bytes of it did", b.read)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = b.failed(capstan.CodeDigestMismatch, err, "the body ended after %d of %d bytes", b.read, b.length)
	}
	return n, err
}

// failed says what became of the body. The cause has addresses in it, which
// are for the log.
func (b *arriving) failed(code capstan.Code, cause error, format string, args ...any) error {
	e := capstan.Errorf(code, format, args...).Hint("run the command again: what arrived whole is not sent twice")
	e.Err = cause
	return e
}
