package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json/v2"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/api"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/blob/mem"
	"github.com/capstan-ota/capstan/internal/catalog"
	"github.com/capstan-ota/capstan/internal/control"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/manifest"
	"github.com/capstan-ota/capstan/internal/pack"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
	"github.com/capstan-ota/capstan/internal/wire/capgo"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	app       = "com.example.app"
	elsewhere = "com.example.elsewhere" // an app of another organisation
	publicURL = "https://updates.example.com"
)

// world is a server with everything below it, and a client of it.
type world struct {
	*client.Client
	t      *testing.T
	db     *store.DB
	blobs  *mem.Store
	server *httptest.Server
	token  string // of an admin
	log    *lines
}

// lines is a log that a server writes while a test reads.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// identified fails the test for every answer without a request id of its own.
type identified struct {
	t    *testing.T
	next http.RoundTripper
	mu   sync.Mutex
	seen map[string]bool
}

func (i *identified) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := i.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	id := resp.Header.Get("X-Request-Id")
	if id == "" || i.seen[id] {
		i.t.Errorf("%s %s was answered with request id %q", r.Method, r.URL, id)
	}
	i.seen[id] = true
	return resp, nil
}

// newWorld starts a server on a fresh store; change may set the Deps up
// differently.
func newWorld(t *testing.T, change ...func(*api.Deps)) *world {
	t.Helper()
	w := &world{t: t, db: storetest.SQLite(t), blobs: mem.New(time.Now), log: &lines{}}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cat := catalog.New(w.db, func(app, prev *decide.App) { capgo.Prepare(app, prev, publicURL) }, log)
	w.must(cat.Load(t.Context()))
	var requests atomic.Int64
	d := api.Deps{
		Control: &control.Control{
			DB: w.db, Blobs: w.blobs, Catalog: cat, Log: log, Now: time.Now, Random: rand.Reader,
			Limits: manifest.Limits{FileBytes: 1 << 20, ArchiveBytes: 2 << 20},
		},
		DB: w.db, Blobs: w.blobs, Catalog: cat, Auth: auth.Authenticator{Token: w.db.Token, Now: time.Now}, Asker: asker(),
		PublicURL: publicURL, Version: "1.2.3", Log: log, Now: time.Now,
		NewRequestID: func() string { return "request-" + strconv.FormatInt(requests.Add(1), 10) },
	}
	for _, f := range change {
		f(&d)
	}
	w.server = httptest.NewUnstartedServer(api.New(d))
	w.server.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	w.server.Start()
	t.Cleanup(w.server.Close)
	w.server.Client().Transport.(*http.Transport).ExpectContinueTimeout = time.Minute // as long as it takes
	w.server.Client().Transport = &identified{t: t, next: w.server.Client().Transport, seen: map[string]bool{}}
	w.token = w.newToken(capstan.Token{Scopes: []string{capstan.ScopeAdmin}})
	w.Client = w.clientWith(w.token)
	return w
}

func asker() api.Asker {
	asked := func(a capgo.Asked, err error) (api.Asked, error) {
		return api.Asked{Query: &a.Query, Answer: func(d decide.Decision) []byte { return capgo.Answer(d, a, publicURL) }}, err
	}
	return api.Asker{
		ByBody:   func(body []byte, app string) (api.Asked, error) { return asked(capgo.AskedByBody(body, app)) },
		ByDevice: func(d capstan.Device) (api.Asked, error) { return asked(capgo.AskedByDevice(d)) },
	}
}

// newToken keeps a token and returns its text.
func (w *world) newToken(row capstan.Token) string {
	w.t.Helper()
	text, id, err := auth.NewToken(rand.Reader, "admin")
	w.must(err)
	row.ID, row.Hash = id, auth.Hash(text)
	w.write(func(tx *store.Tx) error { return tx.CreateToken(row) })
	return text
}

func (w *world) clientWith(token string) *client.Client {
	w.t.Helper()
	c, err := client.New(w.server.URL, token, client.Options{HTTP: w.server.Client()})
	w.must(err)
	return c
}

func (w *world) write(fn func(*store.Tx) error) {
	w.t.Helper()
	_, err := w.db.Write(w.t.Context(), "test", fn)
	w.must(err)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v (code %s)", err, capstan.CodeOf(err))
	}
}

func (w *world) number() int64 {
	w.t.Helper()
	return get(w, func() (int64, error) { return w.db.Number(context.WithoutCancel(w.t.Context())) })
}

// get runs what has to succeed.
func get[T any](w *world, fn func() (T, error)) T {
	w.t.Helper()
	v, err := fn()
	w.must(err)
	return v
}

// wantCode fails the test unless err is of the server and has the code.
func (w *world) wantCode(what string, err error, code capstan.Code) *capstan.Error {
	w.t.Helper()
	e, ok := err.(*capstan.Error)
	if !ok || e.Code != code {
		w.t.Errorf("%s: got %v with code %q, want code %q", what, err, capstan.CodeOf(err), code)
		return &capstan.Error{}
	}
	if e.Message == "" || e.Request == "" {
		w.t.Errorf("%s: the error %+v lacks message or request", what, e)
	}
	return e
}

// published makes an app with a channel that serves version 1.0.2, and served
// 1.0.1 before.
func (w *world) published() *world {
	w.t.Helper()
	ctx := w.t.Context()
	get(w, func() (client.App, error) { return w.CreateApp(ctx, client.NewApp{ID: app, Name: "Example"}) })
	all := capstan.AllPlatforms.List()
	get(w, func() (client.ChannelChanged, error) {
		return w.CreateChannel(ctx, app, client.NewChannel{Name: "production", Default: &all})
	})
	w.write(func(tx *store.Tx) error { return tx.CreateApp(capstan.App{ID: elsewhere, Org: "another"}) })
	for _, version := range []string{"1.0.1", "1.0.2"} {
		w.bundle(version)
		w.release(version)
	}
	return w
}

// release puts a version on production.
func (w *world) release(version string) client.Released {
	w.t.Helper()
	return get(w, func() (client.Released, error) {
		return w.Release(w.t.Context(), app, "production", w.channel().Number, client.NewRelease{Version: version})
	})
}

func (w *world) channel() client.Channel {
	w.t.Helper()
	return get(w, func() (client.Channel, error) { return w.Channel(w.t.Context(), app, "production") })
}

// site is a small web build that differs from version to version.
func site(version string) map[string]string {
	return map[string]string{
		"index.html":       "<!doctype html><script src=app.js></script>",
		"app.js":           "CapacitorUpdater.notifyAppReady(); // " + version + strings.Repeat(" and on", 2000),
		"assets/logo.svg":  "<svg/>",
		"assets/übung.txt": "same in every version",
		"empty.txt":        "",
		version + ".txt":   version,
	}
}

// source packs files as the command line does.
func (w *world) source(files map[string]string) *pack.Source {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		w.must(os.MkdirAll(filepath.Dir(file), 0o755))
		w.must(os.WriteFile(file, []byte(content), 0o644))
	}
	src := get(w, func() (*pack.Source, error) { return pack.Folder(w.t.Context(), dir, pack.Options{}) })
	w.t.Cleanup(func() { src.Close() })
	return src
}

// send puts every byte of src that the server lacks, and returns what
// registering needs and how many contents it sent.
func (w *world) send(version string, src *pack.Source) (client.NewBundle, int) {
	w.t.Helper()
	ctx := w.t.Context()
	var wants []client.Content
	byDigest := map[capstan.Digest]pack.Content{}
	for _, c := range src.Contents() {
		wants = append(wants, client.Content{Digest: c.Digest, Size: c.Size, Encoding: c.Need()})
		byDigest[c.Digest] = c
	}
	missing := get(w, func() ([]client.Content, error) { return w.MissingContents(ctx, app, wants) })
	for _, m := range missing {
		stored := get(w, func() (*pack.Stored, error) { return src.Encode(ctx, byDigest[m.Digest]) })
		body := get(w, stored.Open)
		w.must(w.PutContent(ctx, app, m, stored.Encoding, stored.Blob, stored.BlobBytes, body))
	}
	var zip bytes.Buffer
	archive := get(w, func() (pack.ArchiveInfo, error) { return src.WriteArchive(ctx, &zip) })
	w.must(w.PutArchive(ctx, app, archive.Digest, archive.Bytes, &zip))
	return client.NewBundle{Version: version, Archive: archive.Digest, Files: src.Manifest}, len(missing)
}

func (w *world) bundle(version string) client.Registered {
	w.t.Helper()
	in, _ := w.send(version, w.source(site(version)))
	return get(w, func() (client.Registered, error) { return w.RegisterBundle(w.t.Context(), app, in) })
}

// seen writes down that devices asked.
func (w *world) seen(devices ...capstan.Device) {
	w.t.Helper()
	batch := make([]store.Sighting, len(devices))
	for i, d := range devices {
		batch[i].Device = d
	}
	w.must(w.db.WriteSightings(w.t.Context(), batch))
}

// phone is a device that runs its store build.
func phone(n byte, customID string) capstan.Device {
	return capstan.Device{
		App: app, ID: capstan.DeviceID{15: n}, Platform: capstan.Android, CustomID: customID, NativeVersion: "1.0.0",
		PluginVersion: "8.51.23", Running: "1.0.0", Prod: true, LastSeen: time.Now().Add(-time.Duration(n) * 24 * time.Hour),
	}
}

// answer is what came of a request that was made by hand.
type answer struct {
	*http.Response
	body    string
	problem client.Problem
}

// do sends a request as it is.
func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	resp, err := w.server.Client().Do(r)
	w.must(err)
	defer resp.Body.Close()
	b := get(w, func() ([]byte, error) { return io.ReadAll(resp.Body) })
	a := answer{Response: resp, body: string(b)}
	if resp.Header.Get("Content-Type") == "application/problem+json" && len(b) > 0 {
		if err := json.Unmarshal(b, &a.problem, json.RejectUnknownMembers(true)); err != nil {
			w.t.Errorf("%s %s: a problem that cannot be read: %v\n%s", r.Method, r.URL, err, b)
		}
	}
	return a
}

// request makes a request of the admin.
func (w *world) request(method, path, body string) *http.Request {
	w.t.Helper()
	r := get(w, func() (*http.Request, error) {
		return http.NewRequestWithContext(w.t.Context(), method, w.server.URL+path, strings.NewReader(body))
	})
	r.Header.Set("Authorization", "Bearer "+w.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}
