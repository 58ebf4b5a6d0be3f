package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/blob"
	"github.com/capstan-ota/capstan/internal/blob/blobtest"
	"github.com/capstan-ota/capstan/internal/blob/disk"
	"github.com/capstan-ota/capstan/internal/blob/mem"
)

// stores opens every implementation that the handler serves.
func stores(t testing.TB) map[string]blob.Store {
	t.Helper()
	d, err := disk.Open(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return map[string]blob.Store{"mem": mem.New(time.Now), "disk": d}
}

func handle(s blob.Store) http.Handler {
	return blob.Handler(s, blob.HandlerOptions{Now: time.Now})
}

// ask sends one request and returns the answer with its body.
func ask(h http.Handler, method, path string, header map[string]string) (*http.Response, []byte) {
	r := httptest.NewRequest(method, path, nil)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), w.Body.Bytes()
}

func TestHandlerAnswers(t *testing.T) {
	t.Parallel()
	digest, content := blobtest.Content(7, 1000)
	other, _ := blobtest.Content(8, 10)
	path := blob.PathPrefix + string(digest)
	etag := `"` + string(digest) + `"`

	type row struct {
		name, method, path string
		header             map[string]string
		status             int
		body               []byte // nil: not compared
		contentRange       string
	}
	get := func(name string, header map[string]string, status int, body []byte, contentRange string) row {
		return row{name, http.MethodGet, path, header, status, body, contentRange}
	}
	rows := []row{
		get("whole", nil, 200, content, ""),
		get("from the middle to the end", map[string]string{"Range": "bytes=400-"}, 206, content[400:], "bytes 400-999/1000"),
		get("from zero to the end", map[string]string{"Range": "bytes=0-"}, 206, content, "bytes 0-999/1000"),
		get("closed range", map[string]string{"Range": "bytes=10-19"}, 206, content[10:20], "bytes 10-19/1000"),
		get("one byte", map[string]string{"Range": "bytes=999-999"}, 206, content[999:], "bytes 999-999/1000"),
		get("range past the end is cut", map[string]string{"Range": "bytes=990-5000"}, 206, content[990:], "bytes 990-999/1000"),
		get("last bytes", map[string]string{"Range": "bytes=-5"}, 206, content[995:], "bytes 995-999/1000"),
		get("more last bytes than there are", map[string]string{"Range": "bytes=-5000"}, 206, content, "bytes 0-999/1000"),
		get("at the end", map[string]string{"Range": "bytes=1000-"}, 416, nil, "bytes */1000"),
		get("past the end", map[string]string{"Range": "bytes=4000-"}, 416, nil, "bytes */1000"),
		get("several ranges give the whole", map[string]string{"Range": "bytes=0-1,5-6"}, 200, content, ""),
		get("If-Range with the right tag", map[string]string{"Range": "bytes=400-", "If-Range": etag}, 206, content[400:], "bytes 400-999/1000"),
		get("If-Range with another tag", map[string]string{"Range": "bytes=400-", "If-Range": `"x"`}, 200, content, ""),
		get("If-Range with a weak tag", map[string]string{"Range": "bytes=400-", "If-Range": "W/" + etag}, 200, content, ""),
		get("If-Range with a date", map[string]string{"Range": "bytes=400-", "If-Range": "Wed, 21 Oct 2026 07:28:00 GMT"}, 200, content, ""),
		get("If-None-Match with the right tag", map[string]string{"If-None-Match": etag}, 304, []byte{}, ""),
		get("If-None-Match among others", map[string]string{"If-None-Match": `"x", ` + etag}, 304, []byte{}, ""),
		get("If-None-Match with a range", map[string]string{"If-None-Match": etag, "Range": "bytes=1-"}, 304, []byte{}, ""),
		get("If-None-Match with another tag", map[string]string{"If-None-Match": `"x"`}, 200, content, ""),
		get("If-Match with another tag", map[string]string{"If-Match": `"x"`}, 412, nil, ""),
		{"head", http.MethodHead, path, nil, 200, []byte{}, ""},
		{"head of a range", http.MethodHead, path, map[string]string{"Range": "bytes=400-"}, 206, []byte{}, "bytes 400-999/1000"},
		{"empty blob", http.MethodGet, blob.PathPrefix + string(capstan.EmptyDigest), nil, 200, []byte{}, ""},
		{"range of an empty blob", http.MethodGet, blob.PathPrefix + string(capstan.EmptyDigest), map[string]string{"Range": "bytes=0-"}, 200, []byte{}, ""},
		{"unknown", http.MethodGet, blob.PathPrefix + string(other), nil, 404, nil, ""},
		{"unknown with a range", http.MethodGet, blob.PathPrefix + string(other), map[string]string{"Range": "bytes=5-"}, 404, nil, ""},
		{"head of unknown", http.MethodHead, blob.PathPrefix + string(other), nil, 404, nil, ""},
		{"no digest", http.MethodGet, blob.PathPrefix, nil, 404, nil, ""},
		{"upper case", http.MethodGet, strings.ToUpper(path), nil, 404, nil, ""},
		{"upper case digest", http.MethodGet, blob.PathPrefix + strings.ToUpper(string(digest)), nil, 404, nil, ""},
		{"path out of the folder", http.MethodGet, blob.PathPrefix + "../tmp/" + string(digest), nil, 404, nil, ""},
		{"key of the blob", http.MethodGet, blob.PathPrefix + string(digest[:2]+"/"+digest[2:4]+"/"+digest), nil, 404, nil, ""},
		{"more behind the digest", http.MethodGet, path + "/x", nil, 404, nil, ""},
		{"post", http.MethodPost, path, nil, 405, nil, ""},
		{"put", http.MethodPut, path, nil, 405, nil, ""},
		{"delete", http.MethodDelete, path, nil, 405, nil, ""},
		{"options", http.MethodOptions, path, nil, 405, nil, ""},
	}
	for store, s := range stores(t) {
		blobtest.Put(t, s, content)
		blobtest.Put(t, s, nil)
		h := handle(s)
		for _, tt := range rows {
			t.Run(store+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				resp, body := ask(h, tt.method, tt.path, tt.header)
				if resp.StatusCode != tt.status {
					t.Fatalf("got status %d, want %d", resp.StatusCode, tt.status)
				}
				if tt.body != nil && !bytes.Equal(body, tt.body) {
					t.Errorf("got body of %d bytes %.30q, want %d bytes %.30q", len(body), body, len(tt.body), tt.body)
				}
				if got := resp.Header.Get("Content-Range"); got != tt.contentRange {
					t.Errorf("got Content-Range %q, want %q", got, tt.contentRange)
				}
				checkHeaders(t, resp, tt.method, body)
			})
		}
	}
}

// checkHeaders checks what holds for every answer.
func checkHeaders(t *testing.T, resp *http.Response, method string, body []byte) {
	t.Helper()
	h := resp.Header
	if got, ok := h["Content-Encoding"]; ok {
		t.Errorf("got Content-Encoding %q, want none ever", got)
	}
	if got := h.Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("got X-Content-Type-Options %q, want nosniff", got)
	}
	switch resp.StatusCode {
	case 200, 206:
		if got, want := h.Get("Cache-Control"), "public, max-age=31536000, immutable, no-transform"; got != want {
			t.Errorf("got Cache-Control %q, want %q", got, want)
		}
		if got := h.Get("ETag"); len(got) != 66 || got[0] != '"' {
			t.Errorf("got ETag %q, want the quoted digest", got)
		}
		if got := h.Get("Content-Type"); got != "application/octet-stream" {
			t.Errorf("got Content-Type %q, want application/octet-stream", got)
		}
		if got := h.Get("Accept-Ranges"); got != "bytes" {
			t.Errorf("got Accept-Ranges %q, want bytes", got)
		}
		n, err := strconv.Atoi(h.Get("Content-Length"))
		if err != nil || method == http.MethodGet && n != len(body) {
			t.Errorf("got Content-Length %q for %d bytes", h.Get("Content-Length"), len(body))
		}
	case 304:
	default:
		if got := h.Get("Cache-Control"); strings.Contains(got, "immutable") || strings.Contains(got, "max-age") {
			t.Errorf("status %d may be cached: %q", resp.StatusCode, got)
		}
		if got := h.Get("ETag"); got != "" {
			t.Errorf("status %d has the ETag %q of a blob", resp.StatusCode, got)
		}
	}
	if got := h.Get("Allow"); (resp.StatusCode == 405) != (got == "GET, HEAD") {
		t.Errorf("status %d has Allow %q", resp.StatusCode, got)
	}
}

func TestHandlerNamesZipsByWhatItIsToldNotByTheirBytes(t *testing.T) {
	t.Parallel()
	s := mem.New(time.Now)
	page := blobtest.Put(t, s, []byte("<html><script>alert(1)</script>"))
	zip := blobtest.Put(t, s, []byte("PK\x03\x04 looks like a zip"))
	h := blob.Handler(s, blob.HandlerOptions{Now: time.Now, Archive: func(d capstan.Digest) bool { return d == page }})
	for d, want := range map[capstan.Digest]string{page: "application/zip", zip: "application/octet-stream"} {
		resp, _ := ask(h, http.MethodGet, blob.PathPrefix+string(d), nil)
		if got := resp.Header.Get("Content-Type"); got != want {
			t.Errorf("%s: got Content-Type %q, want %q", d, got, want)
		}
	}
}

// A real client resumes where it was cut off and ends with the same bytes.
func TestHandlerResumesADownload(t *testing.T) {
	t.Parallel()
	digest, content := blobtest.Content(3, 3<<20)
	for store, s := range stores(t) {
		blobtest.Put(t, s, content)
		srv := httptest.NewServer(handle(s))
		t.Cleanup(srv.Close)
		var got []byte
		for len(got) < len(content) {
			got = append(got, download(t, srv, digest, len(got), 1<<20)...)
		}
		if !bytes.Equal(got, content) {
			t.Errorf("%s: three parts do not make the whole", store)
		}
	}
}

// download asks for the bytes from off on and hangs up after n of them.
func download(t *testing.T, srv *httptest.Server, digest capstan.Digest, off, n int) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+blob.PathPrefix+string(digest), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-", off))
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent {
		t.Fatalf("got status %d, want 206", resp.StatusCode)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(resp.Body, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// faulty is a store whose disk fails.
type faulty struct {
	blob.Store
	stat, open error
	body       func(io.ReadCloser) io.ReadCloser
}

func (f faulty) Stat(ctx context.Context, d capstan.Digest) (blob.Info, error) {
	if f.stat != nil {
		return blob.Info{}, f.stat
	}
	return f.Store.Stat(ctx, d)
}

func (f faulty) Open(ctx context.Context, d capstan.Digest, off, n int64) (io.ReadCloser, error) {
	if f.open != nil {
		return nil, f.open
	}
	r, err := f.Store.Open(ctx, d, off, n)
	if err != nil || f.body == nil {
		return r, err
	}
	return f.body(r), nil
}

func TestFailingStorageIsNeverReportedAsNotFound(t *testing.T) {
	t.Parallel()
	digest, content := blobtest.Content(1, 1000)
	s := mem.New(time.Now)
	blobtest.Put(t, s, content)
	broken := errors.New("input/output error")
	for _, tt := range []struct {
		name   string
		store  blob.Store
		status int
		failed bool
	}{
		{"stat fails", faulty{Store: s, stat: broken}, 503, true},
		{"open fails", faulty{Store: s, open: broken}, 503, true},
		{"deleted between stat and open", faulty{Store: s, open: blob.NotFound(digest)}, 404, false},
	} {
		var told error
		h := blob.Handler(tt.store, blob.HandlerOptions{Now: time.Now, Failed: func(_ *http.Request, err error) { told = err }})
		resp, _ := ask(h, http.MethodGet, blob.PathPrefix+string(digest), nil)
		if resp.StatusCode != tt.status || (resp.Header.Get("Retry-After") != "") != (tt.status == 503) {
			t.Errorf("%s: got %d, Retry-After %q; want %d", tt.name, resp.StatusCode, resp.Header.Get("Retry-After"), tt.status)
		}
		if errors.Is(told, broken) != tt.failed {
			t.Errorf("%s: reported %v, want reported %v", tt.name, told, tt.failed)
		}
		checkHeaders(t, resp, http.MethodGet, nil)
	}
}

// What cannot be read to its end must not look like a whole answer.
func TestBrokenBodyClosesTheConnection(t *testing.T) {
	t.Parallel()
	digest, content := blobtest.Content(1, 1<<20)
	s := mem.New(time.Now)
	blobtest.Put(t, s, content)
	for name, body := range map[string]func(io.ReadCloser) io.ReadCloser{
		"read error": func(r io.ReadCloser) io.ReadCloser {
			return struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(r, 600_000), iotest.ErrReader(errors.New("bad sector"))), r}
		},
		"file too short": func(r io.ReadCloser) io.ReadCloser {
			return struct {
				io.Reader
				io.Closer
			}{io.LimitReader(r, 600_000), r}
		},
	} {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
			t.Run(name+" "+proto, func(t *testing.T) {
				t.Parallel()
				failed := make(chan error, 1)
				srv := httptest.NewUnstartedServer(blob.Handler(faulty{Store: s, body: body}, blob.HandlerOptions{
					Now: time.Now, Failed: func(_ *http.Request, err error) { failed <- err },
				}))
				srv.EnableHTTP2 = proto == "HTTP/2.0"
				srv.StartTLS()
				defer srv.Close()
				resp, err := srv.Client().Get(srv.URL + blob.PathPrefix + string(digest))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if err == nil || len(got) >= len(content) || resp.Proto != proto {
					t.Errorf("over %s the client got %d of %d bytes and %v; want an error", resp.Proto, len(got), len(content), err)
				}
				if <-failed == nil {
					t.Error("the failure was not reported")
				}
			})
		}
	}
}

func TestReaderThatNeverReadsIsCutOff(t *testing.T) {
	t.Parallel()
	digest, content := blobtest.Content(1, 16<<20) // more than the buffers of a connection hold
	s := mem.New(time.Now)
	blobtest.Put(t, s, content)
	h := blob.Handler(s, blob.HandlerOptions{Now: time.Now, WriteTimeout: 50 * time.Millisecond})
	done := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s%s HTTP/1.1\r\nHost: x\r\n\r\n", blob.PathPrefix, digest); err != nil {
		t.Fatal(err)
	}
	<-done // without a deadline this waits for ever
	got, err := io.Copy(io.Discard, conn)
	if got >= int64(len(content)) {
		t.Errorf("a reader that began after the deadline got all of %d bytes, %v; want a closed connection", got, err)
	}
}

// deadlines records what is done to the connection of a response.
type deadlines struct {
	*httptest.ResponseRecorder
	steps []string
	now   time.Time
}

func (d *deadlines) add(step string) {
	if n := len(d.steps); n == 0 || d.steps[n-1] != step {
		d.steps = append(d.steps, step)
	}
}

func (d *deadlines) Write(b []byte) (int, error) {
	d.add("write")
	return d.ResponseRecorder.Write(b)
}

func (d *deadlines) FlushError() error {
	d.add("flush")
	return nil
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	if at.IsZero() {
		d.add("none")
	} else {
		d.add("deadline " + at.Sub(d.now).String())
	}
	return nil
}

// The deadline belongs to the connection: one that is left behind would cut
// off the next request on it, and one that is lifted before the last bytes are
// out would let them hang for ever.
func TestDeadlineIsLiftedAfterTheLastByteIsOut(t *testing.T) {
	t.Parallel()
	digest, content := blobtest.Content(1, 100_000)
	s := mem.New(time.Now)
	blobtest.Put(t, s, content)
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	h := blob.Handler(s, blob.HandlerOptions{Now: func() time.Time { return now }, WriteTimeout: 7 * time.Second})
	w := &deadlines{ResponseRecorder: httptest.NewRecorder(), now: now}
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, blob.PathPrefix+string(digest), nil))
	got := w.steps
	if len(got) < 5 {
		t.Fatalf("got steps %q, want several writes", got)
	}
	for i := 0; i < len(got)-3; i += 2 {
		if got[i] != "deadline 7s" || got[i+1] != "write" {
			t.Errorf("step %d: got %q, want a write under a deadline of its own", i, got[i:i+2])
		}
	}
	if diff := cmp.Diff([]string{"deadline 7s", "flush", "none"}, got[len(got)-3:]); diff != "" {
		t.Errorf("last steps (-want +got):\n%s", diff)
	}
}

func TestKeyRefusesWhatIsNotADigest(t *testing.T) {
	t.Parallel()
	d, _ := blobtest.Content(1, 1)
	got, err := blob.Key(d)
	if want := string(d[:2] + "/" + d[2:4] + "/" + d); err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	for _, d := range []capstan.Digest{"", "..", d[1:], d + "/", capstan.Digest(strings.Repeat("/", 64))} {
		if got, err := blob.Key(d); capstan.CodeOf(err) != capstan.CodeInvalid || got != "" {
			t.Errorf("key of %q: got %q, %v; want invalid", d, got, err)
		}
	}
}

// BenchmarkHandler compares with what net/http does for a plain file.
func BenchmarkHandler(b *testing.B) {
	digest, content := blobtest.Content(1, 1<<20)
	file := b.TempDir() + "/file"
	if err := os.WriteFile(file, content, 0o600); err != nil {
		b.Fatal(err)
	}
	handlers := map[string]http.Handler{"file": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, file)
	})}
	for name, s := range stores(b) {
		blobtest.Put(b, s, content)
		handlers[name] = handle(s)
	}
	for _, name := range []string{"file", "disk", "mem"} {
		srv := httptest.NewServer(handlers[name])
		defer srv.Close()
		for part, header := range map[string]string{"whole": "", "4kB": "bytes=500000-504095"} {
			b.Run(name+" "+part, func(b *testing.B) {
				n := int64(1 << 20)
				if header != "" {
					n = 4096
				}
				b.SetBytes(n)
				b.ReportAllocs()
				r, err := http.NewRequest(http.MethodGet, srv.URL+blob.PathPrefix+string(digest), nil)
				if err != nil {
					b.Fatal(err)
				}
				r.Header.Set("Range", header)
				for b.Loop() {
					resp, err := srv.Client().Do(r)
					if err != nil {
						b.Fatal(err)
					}
					if got, err := io.Copy(io.Discard, resp.Body); got != n || err != nil {
						b.Fatalf("got %d bytes, %v; want %d", got, err, n)
					}
					if err := resp.Body.Close(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
