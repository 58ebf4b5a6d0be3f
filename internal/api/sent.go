package api

import (
	"net/http"
	"time"
)

// sentWriter knows whether an answer has begun, and whether its reader went
// away. It sends piece by piece, each with a deadline of its own: one for the
// whole would cut off large answers, none would let a reader that never reads
// hold the connection. net/http lifts the last one when the answer is sent.
type sentWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time

	begun bool
	gone  bool
}

func (w *sentWriter) WriteHeader(status int) {
	w.begin()
	w.ResponseWriter.WriteHeader(status)
}

func (w *sentWriter) Write(b []byte) (n int, err error) {
	for {
		w.begin()
		m, err := w.ResponseWriter.Write(b[n:min(len(b), n+pieceBytes)])
		n += m
		w.gone = w.gone || err != nil
		if err != nil || n == len(b) {
			return n, err
		}
	}
}

// begin gives the caller time to take the next piece. Recorders of tests have
// no deadline; a real connection always has.
func (w *sentWriter) begin() {
	w.begun = true
	_ = w.control.SetWriteDeadline(w.now().Add(untaken))
}

// Unwrap is for http.ResponseController.
func (w *sentWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
