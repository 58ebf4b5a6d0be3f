package api_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/api"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/blob"
)

// breakingBlobs opens blobs that break after their first bytes.
type breakingBlobs struct {
	blob.Store
	then func() (int, error)
}

func (b *breakingBlobs) Open(ctx context.Context, d capstan.Digest, off, n int64) (io.ReadCloser, error) {
	body, err := b.Store.Open(ctx, d, off, n)
	return &breaking{ReadCloser: body, then: b.then}, err
}

type breaking struct {
	io.ReadCloser
	begun bool
	then  func() (int, error)
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.begun {
		return b.then()
	}
	b.begun = true
	return b.ReadCloser.Read(p[:10])
}

// An answer that has begun cannot become an error: the connection is cut, so
// that nobody takes a part for the whole.
func TestDownloadThatBreaksIsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *api.Deps) {
		d.Blobs = &breakingBlobs{d.Blobs, func() (int, error) { return 0, errors.New("bad sector") }}
	}).published()
	body, size, err := w.Download(t.Context(), app, "1.0.1")
	if err == nil {
		b, readErr := io.ReadAll(body)
		body.Close()
		if err = readErr; int64(len(b)) >= size {
			t.Errorf("%d bytes of %d came", len(b), size)
		}
	}
	if err == nil {
		t.Error("half a zip passed for a whole one")
	}
	// net/http may ask once more when a connection ends before the answer.
	if log := w.log.String(); !strings.Contains(log, "bad sector") || strings.Contains(log, "superfluous") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log is %s", log)
	}
}

func TestServerSaysWhenToTryAgain(t *testing.T) {
	t.Parallel()
	down := capstan.Errorf(capstan.CodeUnavailable, "the database does not answer: %w", errors.New("connection refused"))
	w := newWorld(t, func(d *api.Deps) {
		d.Asker.ByBody = func([]byte, string) (api.Asked, error) { return api.Asked{}, down }
	}).published()
	got := w.refused(refusal{name: "in a handler", method: "POST", path: "/v1/apps/" + app + "/why", body: `{"query":{}}`,
		status: 503, code: capstan.CodeUnavailable})
	if got.Header.Get("Retry-After") != "5" {
		t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
	}
	if log := w.log.String(); strings.Count(log, "connection refused") != 1 || !strings.Contains(log, "request="+got.problem.Request) {
		t.Errorf("the cause is not in the log once: %s", log)
	}

	unsure := newWorld(t, func(d *api.Deps) {
		d.Auth = auth.Authenticator{Now: d.Now, Token: func(context.Context, string) (capstan.Token, error) { return capstan.Token{}, down }}
	})
	got = unsure.refused(refusal{name: "while authenticating", method: "GET", path: "/v1/whoami", status: 503, code: capstan.CodeUnavailable})
	if got.Header.Get("Retry-After") != "5" || got.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("the headers are %v", got.Header)
	}
}
