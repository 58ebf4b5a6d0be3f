package sim

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/capstan-ota/capstan"
)

// testServer is a server written from the protocol text: whatever a test puts
// into its answers, and a record of what devices sent.
type testServer struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	answer   func(query map[string]any) (status int, header map[string]string, body string)
	onStats  func(n int) (status int, header map[string]string, body string)
	channel  http.HandlerFunc
	files    map[string]http.HandlerFunc
	checks   []map[string]any
	stats    []map[string]any // one per event, in order of arrival
	single   []bool           // whether that event came as an object of its own
	posts    int              // to the stats endpoint
	requests []string         // "METHOD path" of everything but checks and stats
	headers  map[string]http.Header
}

func newServer(t *testing.T) *testServer {
	s := &testServer{t: t, files: map[string]http.HandlerFunc{}, headers: map[string]http.Header{}}
	s.say(200, `{"kind":"up_to_date","error":"no_new_version_available","message":"No new version available"}`)
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *testServer) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.headers[r.Method+" "+r.URL.Path] = r.Header.Clone()
	switch r.URL.Path {
	case "/updates":
		defer s.mu.Unlock()
		var q map[string]any
		if err := json.Unmarshal(body, &q); err != nil {
			s.t.Errorf("check is not JSON: %v: %s", err, body)
		}
		s.checks = append(s.checks, q)
		respond(w, s.answer, q)
		return
	case "/stats":
		defer s.mu.Unlock()
		s.takeStats(body)
		s.posts++
		if s.onStats != nil {
			respond(w, func(int) (int, map[string]string, string) { return s.onStats(s.posts) }, 0)
			return
		}
		io.WriteString(w, `{"status":"ok"}`)
		return
	}
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	h := s.files[r.URL.Path]
	if r.URL.Path == "/channel_self" || r.URL.Path == "/updates/manifest_size" {
		h = s.channel
	}
	s.mu.Unlock()
	if h == nil {
		http.NotFound(w, r)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	h(w, r)
}

func respond[T any](w http.ResponseWriter, f func(T) (int, map[string]string, string), arg T) {
	status, header, body := f(arg)
	for k, v := range header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(status)
	io.WriteString(w, body)
}

func (s *testServer) takeStats(body []byte) {
	var list []map[string]any
	single := bytes.HasPrefix(body, []byte("{"))
	if single {
		body = []byte("[" + string(body) + "]")
	}
	if err := json.Unmarshal(body, &list); err != nil {
		s.t.Errorf("stats are not JSON: %v: %s", err, body)
	}
	for _, e := range list {
		s.stats = append(s.stats, e)
		s.single = append(s.single, single)
	}
}

// say makes every check get this answer.
func (s *testServer) say(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = func(map[string]any) (int, map[string]string, string) { return status, nil, body }
}

func (s *testServer) sayWith(status int, header map[string]string, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = func(map[string]any) (int, map[string]string, string) { return status, header, body }
}

// offer makes every check get an offer with these fields.
func (s *testServer) offer(fields map[string]any) {
	b, err := json.Marshal(fields)
	if err != nil {
		s.t.Fatal(err)
	}
	s.say(200, string(b))
}

// offerZip serves data and offers it under version.
func (s *testServer) offerZip(version string, data []byte) {
	s.serveBytes("/zip/"+version, data)
	s.offer(map[string]any{
		"version": version, "url": s.URL + "/zip/" + version, "checksum": string(capstan.DigestOf(data)), "session_key": "",
	})
}

// serveBytes serves data with ranges, as §6 asks.
func (s *testServer) serveBytes(path string, data []byte) {
	s.handle(path, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
}

func (s *testServer) handle(path string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = h
}

// offerDelta serves files by their path and offers a manifest of them; a name
// that ends in .br is sent as brotli of its content.
func (s *testServer) offerDelta(version string, files map[string]string) {
	s.offer(map[string]any{
		"version": version, "url": "https://404.capgo.app/no.zip", "checksum": "", "session_key": "",
		"manifest": s.manifest(version, files),
	})
}

func (s *testServer) manifest(version string, files map[string]string) []map[string]string {
	var list []map[string]string
	for name, content := range files {
		at := "/file/" + version + "/" + fmt.Sprintf("%x", name)
		data := []byte(content)
		if strings.HasSuffix(name, ".br") {
			data = squeeze(data)
		}
		s.serveBytes(at, data)
		list = append(list, map[string]string{
			"file_name": name, "file_hash": string(capstan.DigestOf([]byte(content))), "download_url": s.URL + at,
		})
	}
	slices.SortFunc(list, func(a, b map[string]string) int { return strings.Compare(a["file_name"], b["file_name"]) })
	return list
}

func squeeze(data []byte) []byte {
	var b bytes.Buffer
	w := brotli.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// actions are the actions of the statistics in their order of arrival.
func (s *testServer) actions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, e := range s.stats {
		list = append(list, e["action"].(string))
	}
	return list
}

// batched are "action version_name" of the events that came in arrays, without
// the download_<n> progress.
func (s *testServer) batched() []string { return s.events(false) }

// alone are those of the events that came as single objects.
func (s *testServer) alone() []string { return s.events(true) }

func (s *testServer) events(single bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []string{}
	for i, e := range s.stats {
		action := e["action"].(string)
		if s.single[i] != single || strings.HasPrefix(action, "download_") && strings.Trim(action, "downla_0123456789") == "" {
			continue
		}
		version, ok := e["version_name"].(string)
		if !ok {
			version = "(none)"
		}
		list = append(list, action+" "+version)
	}
	return list
}

func (s *testServer) gets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *testServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks, s.stats, s.single, s.requests, s.posts = nil, nil, nil, nil, 0
}

// zipEntry is one entry of a zip written by hand.
type zipEntry struct {
	name, content string
	method        uint16
	descriptor    bool
}

// rawZip writes entries with exact control over names, method and descriptor.
func rawZip(t *testing.T, entries ...zipEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: e.method}
		packed := []byte(e.content)
		if e.method == zip.Deflate {
			var c bytes.Buffer
			f, _ := flate.NewWriter(&c, flate.DefaultCompression)
			f.Write(packed)
			f.Close()
			packed = c.Bytes()
		}
		h.CRC32 = crc32.ChecksumIEEE([]byte(e.content))
		h.CompressedSize64, h.UncompressedSize64 = uint64(len(packed)), uint64(len(e.content))
		if e.descriptor {
			h.Flags |= 8
		}
		w, err := z.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(packed)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// webZip is a canonical zip of files.
func webZip(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var entries []zipEntry
	for name, content := range files {
		entries = append(entries, zipEntry{name: name, content: content, method: zip.Deflate})
	}
	slices.SortFunc(entries, func(a, b zipEntry) int { return strings.Compare(a.name, b.name) })
	return rawZip(t, entries...)
}

var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// newDevice returns a device on a clock that only its own waits move.
func newDevice(t *testing.T, s *testServer, profile string, change ...func(*Options)) *Device {
	t.Helper()
	p, err := ParseProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	opt := Options{
		URLs: At(s.URL), AppID: "com.example.app", NativeVersion: "1.4.0", Build: "10400", Prod: true,
		DeviceID: "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
		Now:      func() time.Time { return start },
		Rand:     func() uint64 { n++; return n * 0x9e3779b97f4a7c15 },
	}
	for _, f := range change {
		f(&opt)
	}
	d, err := New(p, opt)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func launch(t *testing.T, d *Device) Report {
	t.Helper()
	r, err := d.Launch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func background(t *testing.T, d *Device) Report {
	t.Helper()
	r, err := d.Background(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func flush(t *testing.T, d *Device) {
	t.Helper()
	if err := d.FlushStats(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func runUpdate(t *testing.T, d *Device) Result {
	t.Helper()
	r, err := d.Update(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hasBundle says whether the device runs exactly these files.
func hasBundle(t *testing.T, d *Device, want map[string]string) {
	t.Helper()
	files, err := d.Content()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(want) {
		t.Errorf("device has %d files, want %d", len(files), len(want))
	}
	for name, content := range want {
		if string(files[name]) != content {
			t.Errorf("%s = %q, want %q", name, files[name], content)
		}
	}
}
