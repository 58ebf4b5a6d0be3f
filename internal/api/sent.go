package api

import (
	"net/http"
	"time"
)

// sentWriter knows whether an answer has begun, and whether its reader went
// away. What net/http would not hold back in its buffer is sent piece by
// piece, each with a deadline of its own: one for the whole would cut off large
// answers, none would let a reader that never reads hold the connection.
type sentWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time

	sent  int64
	begun bool
	gone  bool
	paced bool
}

// heldBack is how much of a body net/http keeps until the handler is done.
const heldBack = 2048

func (w *sentWriter) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *sentWriter) Write(b []byte) (n int, err error) {
	w.begun = true
	for {
		piece := b[n:min(len(b), n+pieceBytes)]
		if w.sent += int64(len(piece)); w.sent >= heldBack {
			w.pace()
		}
		m, err := w.ResponseWriter.Write(piece)
		n += m
		w.gone = w.gone || err != nil
		if err != nil || n == len(b) {
			return n, err
		}
	}
}

// pace gives the caller time to take the next piece. Recorders of tests have
// no deadline; a real connection always has.
func (w *sentWriter) pace() {
	w.paced = true
	_ = w.control.SetWriteDeadline(w.now().Add(stalled))
}

// end sends what is buffered, and lifts the deadline, which belongs to the
// connection and not to this answer. One that was broken keeps it, so that
// net/http does not wait for a dead reader.
func (w *sentWriter) end() {
	if !w.paced || w.gone {
		return
	}
	w.pace()
	if w.control.Flush() == nil {
		_ = w.control.SetWriteDeadline(time.Time{})
	}
}

// Unwrap is for http.ResponseController.
func (w *sentWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
