package capgo

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/ingest"
)

// sink is an http.ResponseWriter that keeps nothing.
type sink struct {
	header http.Header
	bytes  int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(b []byte) (int, error) { s.bytes += len(b); return len(b), nil }

type body struct{ bytes.Reader }

func (*body) Close() error { return nil }

// checker sends one check after another without allocating.
func checker(tb testing.TB, h http.Handler, raw []byte, accept string) func() {
	tb.Helper()
	req, err := http.NewRequest(http.MethodPost, "https://updates.example.com/updates", nil)
	if err != nil {
		tb.Fatal(err)
	}
	if accept != "" {
		req.Header.Set("Accept-Encoding", accept)
	}
	var b body
	req.Body, req.ContentLength = &b, int64(len(raw))
	w := &sink{header: http.Header{}}
	return func() {
		b.Reset(raw)
		clear(w.header)
		h.ServeHTTP(w, req)
	}
}

// bare is the floor: it reads the body, decodes nothing and writes as many
// bytes.
func bare(answer []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		_, _ = w.Write(answer)
	})
}

func bigRig() *rig {
	r := newRig()
	files := r.state.Files["id-1.2.0"]
	for i := range 198 {
		d := capstan.DigestOf(fmt.Append(nil, i))
		files = append(files, capstan.StoredFile{Path: fmt.Sprintf("assets/chunk-%03d.js", i), Digest: d, Size: 9000, Encoding: capstan.Brotli, Blob: d, BlobBytes: 3000})
	}
	r.state.Files["id-1.2.0"] = files
	r.quiet = true
	return r
}

func BenchmarkCheck(b *testing.B) {
	same := []byte(text(b, info(map[string]any{"version_name": "1.2.0"})))
	offer := []byte(text(b, info(nil)))
	h := bigRig().handler(b)
	for _, bm := range []struct {
		name   string
		h      http.Handler
		body   []byte
		accept string
	}{
		{"nothing new", h, same, ""},
		{"nothing new, bare", bare(make([]byte, 130)), same, ""},
		{"200 files, gzip", h, offer, "gzip"},
		{"200 files, bare", bare(make([]byte, 17_000)), offer, "gzip"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			ask := checker(b, bm.h, bm.body, bm.accept)
			for b.Loop() {
				ask()
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	raw := []byte(text(b, info(nil)))
	b.ReportAllocs()
	for b.Loop() {
		var f fields
		if _, bad := decode(raw, &f, &f, nil); bad != nil {
			b.Fatal(bad)
		}
	}
}

func TestCheckAllocatesLittle(t *testing.T) {
	h := bigRig().handler(t)
	for name, changes := range map[string]map[string]any{"nothing new": {"version_name": "1.2.0"}, "offer": nil} {
		ask := checker(t, h, []byte(text(t, info(changes))), "gzip")
		// 11 strings of the body, two flags, and the length of the answer.
		if n := testing.AllocsPerRun(500, ask); n > 18 {
			t.Errorf("%s: %.0f allocations, want at most 18", name, n)
		}
	}
}

func discard(ingest.Sighting) {}
