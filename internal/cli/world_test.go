package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/server"
)

const testApp = "com.example.app"

// site is a running server.
type site struct{ url, token string }

func newSite(t *testing.T) site {
	t.Helper()
	token, _, err := auth.NewToken(rand.Reader, "admin")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(t.Context(), server.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", BootstrapToken: token, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return site{srv.PublicURL(), token}
}

func (s site) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(s.url, s.token, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// proxy stands between a command and the server and may spoil a request: when
// spoil returns true, it has answered.
func (s site) proxy(t *testing.T, spoil func(w http.ResponseWriter, r *http.Request) bool) site {
	t.Helper()
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !spoil(w, r) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return site{p.URL, s.token}
}

// requests counts what a proxy saw.
type requests struct {
	mu   sync.Mutex
	seen []string
}

func (r *requests) add(req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, req.Method+" "+req.URL.Path)
}

func (r *requests) count(prefix string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.seen {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// developer is somebody with a home and a project, who is not at a terminal.
type developer struct {
	t *testing.T
	World
}

// newDeveloper has a project with a config, a package.json of version 1.0.0 and
// a web build of three files.
func newDeveloper(t *testing.T, s site) *developer {
	t.Helper()
	home := t.TempDir()
	d := &developer{t: t,
		In: strings.NewReader(""), Dir: filepath.Join(home, "project"),
		Environ: []string{"HOME=" + home, "PATH="}, Now: time.Now, Random: rand.Reader,
		Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }, HTTP: &http.Client{}}
	if s.url != "" {
		d.Environ = append(d.Environ, "CAPSTAN_URL="+s.url, "CAPSTAN_TOKEN="+s.token)
	}
	d.write("capacitor.config.json", `{"appId":"`+testApp+`","webDir":"dist"}`)
	d.write("package.json", `{"version":"1.0.0"}`)
	d.write("dist/index.html", `<script src="main.js"></script>`)
	d.write("dist/main.js", `CapacitorUpdater.notifyAppReady()`)
	d.write("dist/style.css", strings.Repeat("body { margin: 0 }\n", 1000))
	return d
}

func (d *developer) write(name, text string) {
	d.t.Helper()
	file := filepath.Join(d.Dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

func (d *developer) run(args ...string) result { return d.runCtx(d.t.Context(), args...) }

func (d *developer) runCtx(ctx context.Context, args ...string) result {
	var out, err bytes.Buffer
	w := d.World
	w.Out, w.Err = &out, &err
	code := Run(ctx, w, args)
	return result{code, out.String(), err.String()}
}

// ok runs a command that must succeed and returns what it printed.
func (d *developer) ok(args ...string) string {
	d.t.Helper()
	r := d.run(args...)
	if r.code != 0 {
		d.t.Fatalf("capstan %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

// fails runs a command that must fail with an exit code and words on stderr.
func (d *developer) fails(code int, words []string, args ...string) result {
	d.t.Helper()
	r := d.run(args...)
	if r.code != code {
		d.t.Errorf("capstan %s: exit %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.out, r.err)
	}
	for _, w := range words {
		if !strings.Contains(r.err, w) {
			d.t.Errorf("capstan %s: stderr lacks %q:\n%s", strings.Join(args, " "), w, r.err)
		}
	}
	return r
}

// ready has an app with a default channel.
func ready(t *testing.T) (site, *developer) {
	t.Helper()
	s := newSite(t)
	d := newDeveloper(t, s)
	d.ok("app", "add")
	d.ok("channel", "add", "production", "--default")
	return s, d
}

// through sends the developer's commands over another address.
func (d *developer) through(s site) {
	d.Environ = append(d.Environ, "CAPSTAN_URL="+s.url, "CAPSTAN_TOKEN="+s.token)
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("stdout is not one JSON document: %v\n%s", err, text)
	}
	return v
}

// bundles lists the versions that are on the server.
func (d *developer) bundles() (versions []string) {
	d.t.Helper()
	type list struct {
		Bundles []client.Bundle `json:"bundles"`
	}
	for _, b := range decode[list](d.t, d.ok("bundle", "list", "--all", "--json")).Bundles {
		versions = append(versions, b.Version)
	}
	return versions
}

// waitForDevices returns once the server has recorded n devices: sightings are
// written in batches.
func (d *developer) waitForDevices(n int) {
	d.t.Helper()
	type list struct {
		Devices []client.Device `json:"devices"`
	}
	for start := time.Now(); time.Since(start) < 10*time.Second; {
		if len(decode[list](d.t, d.ok("device", "list", "--json")).Devices) >= n {
			return
		}
	}
	d.t.Fatalf("the server did not record %d devices", n)
}
