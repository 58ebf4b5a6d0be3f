package server_test

import (
	"context"
	"encoding/json/v2"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/server"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// running is a server that answers on loopback until the test ends.
type running struct {
	*server.Server
	base  string
	token string
}

func start(t *testing.T, cfg server.Config) *running {
	t.Helper()
	if cfg.Data == "" {
		cfg.Data = t.TempDir()
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	s, err := server.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the server stopped with %v", err)
		}
	})
	r := &running{Server: s, base: "http://" + s.Addr().String(), token: cfg.BootstrapToken}
	if s.TokenFile() != "" {
		b, err := os.ReadFile(s.TokenFile())
		if err != nil {
			t.Fatal(err)
		}
		r.token = strings.TrimSpace(string(b))
	}
	return r
}

func (r *running) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(r.base, r.token, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFirstStartWritesATokenThatWorks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := server.New(t.Context(), server.Config{Data: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	stat, err := os.Stat(filepath.Join(dir, server.TokenFile))
	if err != nil || stat.Mode().Perm() != 0o600 {
		t.Fatalf("token file %v, %v; want mode 0600", stat, err)
	}
	text, _ := os.ReadFile(filepath.Join(dir, server.TokenFile))
	r := start(t, server.Config{Data: dir, BootstrapToken: strings.TrimSpace(string(text))})
	if r.TokenFile() != "" {
		t.Error("the second start made another token")
	}
	me, err := r.client(t).Whoami(t.Context())
	if err != nil || me.Org != capstan.DefaultOrg || me.PublicURL != r.base {
		t.Errorf("whoami %+v, %v", me, err)
	}
}

func TestBothEnginesServe(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"sqlite": "", "postgres": storetest.EmptyPostgres(t)} {
		r := start(t, server.Config{DatabaseURL: url})
		c := r.client(t)
		if _, err := c.CreateApp(t.Context(), client.NewApp{ID: "com.example.app"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		resp, err := http.Post(r.base+"/updates", "application/json", strings.NewReader(`{"platform":"ios","device_id":"3f2504e0-4f89-41d3-9a0c-0305e82c3301",
			"app_id":"com.example.app","version_build":"1.0.0","version_name":"1.0.0","plugin_version":"8.51.23"}`))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(body), `"error":"no_channel"`) {
			t.Errorf("%s: %s", name, body)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	r := start(t, server.Config{})
	resp, err := http.Get(r.base + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var h server.Health
	if err := json.UnmarshalRead(resp.Body, &h); err != nil || h.Status != "ok" || resp.StatusCode != 200 {
		t.Errorf("health %+v, %v", h, err)
	}
}

func TestPublicURLIsNeverGuessed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		listen, public string
		ok, warned     bool
	}{
		{"127.0.0.1:0", "", true, false},
		{"[::1]:0", "", true, false},
		{"0.0.0.0:0", "", false, false},
		{":0", "", false, false},
		{"0.0.0.0:0", "https://updates.example.com", true, false},
		{"0.0.0.0:0", "http://updates.example.com", true, true},
		{"127.0.0.1:0", "http://192.168.1.5:8080", true, true},
		{"127.0.0.1:0", "http://localhost:8080/", true, false},
		{"127.0.0.1:0", "updates.example.com", false, false},
		{"127.0.0.1:0", "https://user:pw@updates.example.com", false, false},
		{"127.0.0.1:0", "https://updates.example.com/?x=1", false, false},
	}
	for _, tt := range tests {
		s, err := server.New(t.Context(), server.Config{Data: t.TempDir(), Listen: tt.listen, PublicURL: tt.public})
		if (err == nil) != tt.ok {
			t.Errorf("listen %s, public %q: %v, want ok %t", tt.listen, tt.public, err, tt.ok)
		}
		if err != nil {
			if capstan.CodeOf(err) != capstan.CodeInvalid {
				t.Errorf("listen %s, public %q: code %s", tt.listen, tt.public, capstan.CodeOf(err))
			}
			continue
		}
		if got := len(s.Warnings()) > 0; got != tt.warned {
			t.Errorf("public %q warns: %t, want %t", tt.public, got, tt.warned)
		}
		if strings.HasSuffix(s.PublicURL(), "/") {
			t.Errorf("public URL %q ends in a slash", s.PublicURL())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	r := start(t, server.Config{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	held := t.TempDir()
	holder := start(t, server.Config{Data: held})
	_ = holder
	for name, cfg := range map[string]server.Config{
		"port in use":          {Data: t.TempDir(), Listen: r.Addr().String()},
		"data is a file":       {Data: file, Listen: "127.0.0.1:0"},
		"data held by another": {Data: held, Listen: "127.0.0.1:0"},
		"bad bootstrap token":  {Data: t.TempDir(), Listen: "127.0.0.1:0", BootstrapToken: "hunter2"},
		"no database there":    {Data: t.TempDir(), Listen: "127.0.0.1:0", DatabaseURL: "postgres://127.0.0.1:1/none?connect_timeout=2"},
		"listen is no address": {Data: t.TempDir(), Listen: "nowhere"},
	} {
		s, err := server.New(t.Context(), cfg)
		if err == nil {
			s.Close()
			t.Errorf("%s: started", name)
			continue
		}
		t.Logf("%s: %v", name, err)
	}
}

// What the server logs never holds a token.
func TestLogHoldsNoToken(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	r := start(t, server.Config{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	c := r.client(t)
	if _, err := c.Whoami(t.Context()); err != nil {
		t.Fatal(err)
	}
	bad, _ := client.New(r.base, r.token[:len(r.token)-1], client.Options{})
	if _, err := bad.Whoami(t.Context()); capstan.CodeOf(err) != capstan.CodeUnauthorized || strings.Contains(err.Error(), r.token[24:60]) {
		t.Errorf("a bad token gives %v", err)
	}
	if strings.Contains(log.String(), r.token[24:60]) {
		t.Error("the log holds a token")
	}
}
