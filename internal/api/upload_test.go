package api_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/andybalholm/brotli"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
)

// counting counts what is read of a body.
type counting struct {
	body io.Reader
	read atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.body.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// blank is an endless body.
type blank struct{}

func (blank) Read(p []byte) (int, error) { return len(p), nil }

func compressed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := brotli.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func content(text string) client.Content {
	return client.Content{Digest: capstan.DigestOf([]byte(text)), Size: int64(len(text))}
}

// missing says whether the server lacks a content.
func (w *world) missing(c client.Content) bool {
	w.t.Helper()
	list := get(w, func() ([]client.Content, error) { return w.MissingContents(w.t.Context(), app, []client.Content{c}) })
	return len(list) > 0
}

func TestContentsAreKeptInBothForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	text := strings.Repeat("some text ", 2000)
	br := compressed(t, text)
	for _, tt := range []struct {
		name     string
		content  client.Content
		encoding capstan.Encoding
		body     []byte
	}{
		{"plain", content("plain"), capstan.Identity, []byte("plain")},
		{"empty and plain", client.Content{Digest: capstan.DigestOf(nil)}, capstan.Identity, nil},
		{"brotli", content(text), capstan.Brotli, br},
	} {
		for range 2 { // it is idempotent
			err := w.PutContent(t.Context(), app, tt.content, tt.encoding, capstan.DigestOf(tt.body), int64(len(tt.body)), struct{ io.Reader }{bytes.NewReader(tt.body)})
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		if w.missing(tt.content) {
			t.Errorf("%s: the server asks for what it has", tt.name)
		}
	}
	c := content(text)
	if c.Encoding = capstan.Brotli; w.missing(c) {
		t.Error("the server asks for brotli that it has")
	}
	c = content("plain")
	if c.Encoding = capstan.Brotli; !w.missing(c) {
		t.Error("the plain form is taken for brotli")
	}
}

func TestUploadsThatAreNotWhatTheySay(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	ctx := t.Context()
	text := strings.Repeat("some text ", 2000)
	br := compressed(t, text)
	put := func(c client.Content, e capstan.Encoding, announced, sent []byte) error {
		return w.PutContent(ctx, app, c, e, capstan.DigestOf(announced), int64(len(sent)), bytes.NewReader(sent))
	}
	other := content(strings.Repeat("other text", 2000))
	longer := content(text)
	longer.Size++
	for name, tt := range map[string]struct {
		content client.Content
		put     func() error
		code    capstan.Code
	}{
		"other bytes": {content("announced"), func() error {
			return put(content("announced"), capstan.Identity, []byte("announced"), []byte("something"))
		}, capstan.CodeDigestMismatch},
		"other brotli":         {content(text), func() error { return put(content(text), capstan.Brotli, br, append([]byte{0}, br[1:]...)) }, capstan.CodeDigestMismatch},
		"brotli of other text": {other, func() error { return put(other, capstan.Brotli, br, br) }, capstan.CodeDigestMismatch},
		"brotli of other size": {longer, func() error { return put(longer, capstan.Brotli, br, br) }, capstan.CodeDigestMismatch},
		"half of the brotli":   {content(text), func() error { return put(content(text), capstan.Brotli, br[:len(br)/2], br[:len(br)/2]) }, capstan.CodeDigestMismatch},
		"not brotli":           {content(text), func() error { return put(content(text), capstan.Brotli, []byte(text), []byte(text)) }, capstan.CodeDigestMismatch},
		"plain under a blob":   {content(text), func() error { return put(content(text), capstan.Identity, br, br) }, capstan.CodeInvalid},
		"archive": {content("zip"), func() error {
			return w.PutArchive(ctx, app, capstan.DigestOf([]byte("zip")), 5, strings.NewReader("other"))
		}, capstan.CodeDigestMismatch},
	} {
		before := w.number()
		w.wantCode(name, tt.put(), tt.code)
		if !w.missing(tt.content) || w.number() != before {
			t.Errorf("%s: the refused upload left something", name)
		}
	}
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("what is the caller's fault was logged as the server's: %s", w.log)
	}
}

// A body that is too large is refused by its announced length: the client asks
// first and sends nothing.
func TestTooLargeIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	ctx := t.Context()
	large := client.Content{Digest: zeros, Size: 1<<20 + 1}
	for name, put := range map[string]func(io.Reader) error{
		"content": func(r io.Reader) error { return w.PutContent(ctx, app, large, capstan.Identity, zeros, large.Size, r) },
		"plain form of brotli": func(r io.Reader) error {
			return w.PutContent(ctx, app, client.Content{Digest: zeros, Size: 1 << 40}, capstan.Brotli, zeros, 1<<19, r)
		},
		"archive": func(r io.Reader) error { return w.PutArchive(ctx, app, zeros, 2<<20+1, r) },
		"archive of no app": func(r io.Reader) error {
			err := w.PutArchive(ctx, "com.example.none", zeros, 2<<20, r)
			if capstan.CodeOf(err) != capstan.CodeAppNotFound {
				return err
			}
			return &capstan.Error{Code: capstan.CodeTooLarge, Message: "as wanted", Request: "r"}
		},
	} {
		before := w.number()
		body := &counting{body: io.LimitReader(blank{}, 4<<20)}
		w.wantCode(name, put(body), capstan.CodeTooLarge)
		if body.read.Load() != 0 || w.number() != before {
			t.Errorf("%s: %d bytes were sent of what is refused", name, body.read.Load())
		}
	}
}

func TestUploadMustSayItsLength(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	before := w.number()
	for _, path := range []string{"/archives/" + zeros, "/contents/" + zeros + "?encoding=identity&blob=" + zeros + "&size=1"} {
		r := w.request("PUT", "/v1/apps/"+app+path, "")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), -1
		got := w.do(r)
		if got.StatusCode != 422 || got.problem.Code != capstan.CodeInvalid || got.problem.Field != "Content-Length" || w.number() != before {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
}

// A connection that is cut leaves nothing behind, and is not an error of the
// server. Sending the rest of the answer shows that the request has ended.
func TestUploadThatIsCutLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	text := strings.Repeat("cut ", 4000)
	br := compressed(t, strings.Repeat("squeezed ", 4000))
	for name, tt := range map[string]struct {
		path    string
		body    []byte
		content client.Content
	}{
		"content": {fmt.Sprintf("/contents/%s?encoding=identity&blob=%[1]s&size=%d", content(text).Digest, len(text)), []byte(text), content(text)},
		"brotli": {fmt.Sprintf("/contents/%s?encoding=br&blob=%s&size=%d", content(strings.Repeat("squeezed ", 4000)).Digest, capstan.DigestOf(br), 36000),
			br, content(strings.Repeat("squeezed ", 4000))},
		"archive": {"/archives/" + string(content("zip"+text).Digest), []byte("zip" + text), content("zip" + text)},
	} {
		before := w.number()
		conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
		w.must(err)
		fmt.Fprintf(conn, "PUT /v1/apps/%s%s HTTP/1.1\r\nHost: capstan\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
			app, tt.path, w.token, len(tt.body), tt.body[:len(tt.body)/2])
		w.must(conn.(*net.TCPConn).CloseWrite())
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		w.must(err)
		b := get(w, func() ([]byte, error) { return io.ReadAll(resp.Body) })
		w.must(conn.Close())
		if resp.StatusCode != 422 || !strings.Contains(string(b), `"digest_mismatch"`) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, b)
		}
		if _, err := w.blobs.Stat(t.Context(), capstan.DigestOf(tt.body)); capstan.CodeOf(err) != capstan.CodeNotFound && err == nil {
			t.Errorf("%s: half an upload is there", name)
		}
		if !w.missing(tt.content) || w.number() != before {
			t.Errorf("%s: the cut upload left something", name)
		}
	}
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("a cut connection was logged as the server's fault: %s", w.log)
	}
}

func TestTooManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	before := w.number()
	_, err := w.MissingContents(t.Context(), app, make([]client.Content, 20_001))
	w.wantCode("contents", err, capstan.CodeTooLarge)
	files := make([]capstan.File, 20_001)
	_, err = w.RegisterBundle(t.Context(), app, client.NewBundle{Version: "2.0.0", Files: files, Archive: zeros})
	w.wantCode("files", err, capstan.CodeTooLarge)
	if w.number() != before {
		t.Error("the refusals made changes")
	}
}
