package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan"
)

// app is the least that a web build must have.
var app = map[string]string{
	"index.html": `<!doctype html><script src="main.js"></script>`,
	"main.js":    `import {CapacitorUpdater} from "x"; CapacitorUpdater.notifyAppReady();`,
}

// with returns app with more files, in pairs of path and content.
func with(pairs ...string) map[string]string {
	files := map[string]string{}
	maps.Copy(files, app)
	for i := 0; i < len(pairs); i += 2 {
		files[pairs[i]] = pairs[i+1]
	}
	return files
}

// folder writes files into a new folder.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		write(t, dir, name, content)
	}
	return dir
}

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, dir string, o Options) *Source {
	t.Helper()
	s, err := Folder(context.Background(), dir, o)
	if err != nil {
		t.Fatalf("Folder(%s): %v", dir, err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// zipOf packs a folder with these files.
func zipOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	s := load(t, folder(t, files), Options{NoCodeCheck: true})
	var b bytes.Buffer
	if _, err := s.WriteArchive(context.Background(), &b); err != nil {
		t.Fatalf("WriteArchive: %v", err)
	}
	return b.Bytes()
}

// words makes n bytes of compressible text.
func words(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "const v%d=function(a){return a.%s(%d)};\n", r.IntN(5000), []string{"map", "filter", "reduce", "then"}[r.IntN(4)], r.IntN(100000))
	}
	return b.String()[:n]
}

// noise makes n incompressible bytes.
func noise(seed uint64, n int) string {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	r.Read(b)
	return string(b)
}

func wantCode(t *testing.T, err error, want capstan.Code) *capstan.Error {
	t.Helper()
	if got := capstan.CodeOf(err); got != want {
		t.Fatalf("error code = %q, want %q (error: %v)", got, want, err)
	}
	e, _ := errors.AsType[*capstan.Error](err)
	return e
}
