package cli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// serve runs `capstan serve` until the test ends, and returns what it printed at
// its start and what it wrote to stderr until then.
func (d *developer) serve(args ...string) (started map[string]string, warnings string) {
	d.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	read, write := io.Pipe()
	var problems lockedBuffer
	w := d.World
	w.Out, w.Err = write, &problems
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, w, append([]string{"serve", "--listen", "127.0.0.1:0", "--json"}, args...))
		write.Close()
	}()
	var text strings.Builder
	lines := bufio.NewScanner(read)
	for lines.Scan() && lines.Text() != "}" {
		text.WriteString(lines.Text())
	}
	warnings = problems.String() // the first requests write more only later
	go io.Copy(io.Discard, read)
	d.t.Cleanup(func() {
		stop()
		if code := <-done; code != 0 {
			d.t.Errorf("serve ended with exit %d:\n%s", code, problems.String())
		}
	})
	return decode[map[string]string](d.t, text.String()+"}"), warnings
}

// lockedBuffer is written by the server's log while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestFirstStartMakesATokenAndSaysWhere(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	started, warnings := d.serve("--data", "data")
	file := filepath.Join(d.Dir, "data", "admin-token")
	if started["token_file"] != file || started["public_url"] != "http://"+started["listen"] || strings.Contains(warnings, "warning") {
		t.Errorf("started with %v\n%s", started, warnings)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("token file: %v, %v", info, err)
	}
	d.ok("login", "--server", started["public_url"], "--token-file", file)
	d.ok("app", "add")
}

func TestBootstrapTokenIsRegistered(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	token := strings.TrimSpace(d.ok("token", "generate"))
	d.Environ = append(d.Environ, "CAPSTAN_BOOTSTRAP_TOKEN="+token)
	started, _ := d.serve()
	if started["token_file"] != "" {
		t.Errorf("a token was made beside the given one: %v", started)
	}
	d.through(site{started["public_url"], token})
	d.ok("whoami")
}

func TestCleartextPublicURLIsWarnedAboutLoudly(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	started, warnings := d.serve("--public-url", "http://updates.example.com")
	if started["public_url"] != "http://updates.example.com" || !strings.Contains(warnings, "warning: the public URL http://updates.example.com is not https") {
		t.Errorf("started with %v, stderr:\n%s", started, warnings)
	}
}

func TestServeRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	d.fails(2, []string{"--public-url", "code invalid"}, "serve", "--listen", "0.0.0.0:0")
	d.fails(2, []string{"cannot listen on 256.0.0.1:80"}, "serve", "--listen", "256.0.0.1:80", "--public-url", "https://updates.example.com")
	d.fails(2, []string{"is not an http(s) origin"}, "serve", "--listen", "127.0.0.1:0", "--public-url", "ftp://x")
}
