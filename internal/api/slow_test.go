package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
)

// pipes is a network of one machine whose buffers hold nothing, so that a
// write waits for its reader.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p <- theirs
	return ours
}

// admin lets everybody who has the form of a token in.
func admin(text string) auth.Authenticator {
	return auth.Authenticator{Now: time.Now, Token: func(_ context.Context, id string) (capstan.Token, error) {
		return capstan.Token{ID: id, Org: capstan.DefaultOrg, Hash: auth.Hash(text), Scopes: []string{capstan.ScopeAdmin}}, nil
	}}
}

// slowly runs fn with a connection to a server, in time that passes at once.
func slowly(t *testing.T, handler func(*api) http.Handler, fn func(t *testing.T, conn net.Conn, token string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		token, _, err := auth.NewToken(strings.NewReader(strings.Repeat("seed", 20)), "admin")
		if err != nil {
			t.Fatal(err)
		}
		log := slog.New(slog.DiscardHandler)
		a := &api{Deps{Auth: admin(token), Log: log, Now: time.Now, NewRequestID: func() string { return "id" }}}
		network := make(pipes)
		server := &http.Server{Handler: handler(a), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
		done := make(chan error, 1)
		go func() { done <- server.Serve(network) }()
		conn := network.dial()
		fn(t, conn, token)
		conn.Close()
		close(network)
		server.Close()
		<-done
		<-time.After(time.Minute) // net/http lingers on connections that it closed
	})
}

func whole(a *api) http.Handler { return New(a.Deps) }

// send writes in the background, since a pipe holds nothing.
func send(conn net.Conn, pieces ...string) {
	go func() {
		for i, p := range pieces {
			if i > 0 {
				<-time.After(20 * time.Second)
			}
			if _, err := io.WriteString(conn, p); err != nil {
				return
			}
		}
	}()
}

func TestBodyThatStopsArrivingIsRefused(t *testing.T) {
	t.Parallel()
	trickle := make([]string, 100)
	for i := range trickle {
		trickle[i] = " "
	}
	for name, tt := range map[string]struct {
		length string
		pieces []string
		after  time.Duration
	}{
		"stalls at once": {"100", nil, stalled},
		"stalls later":   {"100", []string{`{"id":`}, stalled},
		"trickles":       {"1000", trickle, grace + bodyBytes/slowest*time.Second},
		// Go reads chunks until the buffer is full, so this is one piece.
		"trickles in a chunk": {"", trickle, stalled},
	} {
		slowly(t, whole, func(t *testing.T, conn net.Conn, token string) {
			begin := time.Now()
			head := "POST /v1/apps HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nAuthorization: Bearer " + token
			if tt.length != "" {
				head += "\r\nContent-Length: " + tt.length + "\r\n\r\n"
			} else {
				head += "\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n"
			}
			send(conn, append([]string{head + strings.Join(tt.pieces[:min(1, len(tt.pieces))], "")}, tt.pieces[min(1, len(tt.pieces)):]...)...)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			b, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(b), `"too_slow"`) || strings.Contains(string(b), "pipe") {
				t.Errorf("%s: %s %s", name, resp.Status, b)
			}
			if after := time.Since(begin); after != tt.after {
				t.Errorf("%s: refused after %v, want %v", name, after, tt.after)
			}
		})
	}
}

// A body that nobody reads holds no connection either: here of a caller who is
// not even known.
func TestBodyOfARefusedRequestIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	slowly(t, whole, func(t *testing.T, conn net.Conn, _ string) {
		begin := time.Now()
		send(conn, "POST /v1/apps HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			t.Fatalf("%v, %v", resp, err)
		}
		_, _ = io.Copy(io.Discard, conn)
		if after := time.Since(begin); after > stalled+time.Second {
			t.Errorf("the connection was held for %v", after)
		}
	})
}

// The deadlines of a body end with the body: what is done with it may take
// longer. It is net/http that lifts them.
func TestWorkMayTakeLongerThanABody(t *testing.T) {
	t.Parallel()
	works := func(a *api) http.Handler {
		return a.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				t.Error(err)
			}
			select {
			case <-r.Context().Done():
				t.Errorf("the request was ended: %v", context.Cause(r.Context()))
			case <-time.After(time.Hour):
			}
			w.WriteHeader(http.StatusNoContent)
		}))
	}
	slowly(t, works, func(t *testing.T, conn net.Conn, token string) {
		send(conn, "POST /v1/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+token+"\r\nContent-Length: 4\r\n\r\nbody")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusNoContent {
			t.Fatalf("%v, %v", resp, err)
		}
	})
}

func TestAnswerThatNobodyTakesIsGivenUp(t *testing.T) {
	t.Parallel()
	slowly(t, whole, func(t *testing.T, conn net.Conn, _ string) {
		send(conn, "GET /v1/openapi.json HTTP/1.1\r\nHost: h\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(untaken + time.Second)
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %v without reading, the answer ends with %v", untaken, err)
		}
	})
}

// Someone who reads slowly but goes on gets the whole answer, and the next one
// on the same connection after a pause, since net/http lifts the deadline.
func TestSlowReaderGetsEverything(t *testing.T) {
	t.Parallel()
	slowly(t, whole, func(t *testing.T, conn net.Conn, token string) {
		want, err := OpenAPI()
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		send(conn, "GET /v1/openapi.json HTTP/1.1\r\nHost: h\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		begin, got := time.Now(), 0
		for err == nil {
			var n int64
			n, err = io.CopyN(io.Discard, resp.Body, pieceBytes/2)
			got += int(n)
			<-time.After(untaken / 3)
		}
		if got != len(want) || !errors.Is(err, io.EOF) || time.Since(begin) < untaken {
			t.Errorf("got %d of %d bytes in %v, then %v", got, len(want), time.Since(begin), err)
		}
		<-time.After(2 * untaken)
		send(conn, "GET /v1/whoami HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+token+"\r\n\r\n")
		resp, err = http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("the next answer on the connection: %v, %v", resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	})
}

// After an answer has begun, cutting the connection is the only way to say that
// it is not whole.
func TestPanicInTheMiddleCutsTheAnswer(t *testing.T) {
	t.Parallel()
	breaks := func(a *api) http.Handler {
		return a.guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
			panic("in the middle")
		}))
	}
	slowly(t, breaks, func(t *testing.T, conn net.Conn, token string) {
		send(conn, "GET /v1/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+token+"\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(string(b), "{") {
			t.Errorf("the answer ends with %v: %.40s…", err, b)
		}
	})
}
