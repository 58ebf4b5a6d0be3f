package pack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
)

func paths(m capstan.Manifest) []string {
	var list []string
	for _, f := range m {
		list = append(list, f.Path)
	}
	return list
}

func TestFolderBecomesAManifest(t *testing.T) {
	t.Parallel()
	files := with("a b/größe #1 100% what?.css", "x", "😀.txt", "y", "empty", "", ".well-known/app", "z")
	s := load(t, folder(t, files), Options{})
	var want capstan.Manifest
	for p, c := range files {
		want = append(want, capstan.File{Path: p, Digest: capstan.DigestOf([]byte(c)), Size: int64(len(c))})
	}
	manifest.Sort(want)
	if diff := cmp.Diff(want, s.Manifest); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
	if s.Root != manifest.Root(want) || s.Bytes != manifest.Bytes(want) || len(s.Warnings) != 0 {
		t.Errorf("root %s, %d bytes, warnings %v", s.Root, s.Bytes, s.Warnings)
	}
}

func TestWhatDoesNotBelongIsIgnored(t *testing.T) {
	t.Parallel()
	dir := folder(t, with(".DS_Store", "x", "a/.DS_Store", "x", "__MACOSX/a", "x", ".git/config", "x", "node_modules/x/y.js", "x",
		"main.js.map", "{}", "style.CSS.MAP", "{}", "level1.map", "game", "sub/.git", "gitdir: x"))
	s := load(t, dir, Options{})
	if diff := cmp.Diff([]string{"index.html", "level1.map", "main.js"}, paths(s.Manifest)); diff != "" {
		t.Errorf("packed (-want +got):\n%s", diff)
	}
	want := []string{".DS_Store", ".git/", "__MACOSX/", "a/.DS_Store", "main.js.map", "node_modules/", "style.CSS.MAP", "sub/.git"}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(s.Ignored))); diff != "" {
		t.Errorf("ignored (-want +got):\n%s", diff)
	}
	if len(s.Warnings) != 1 || s.Warnings[0].Rule != "ignored_node_modules" || s.Warnings[0].Path != "node_modules/" {
		t.Errorf("warnings = %v, want one about node_modules/", s.Warnings)
	}
	s = load(t, dir, Options{SourceMaps: true})
	if diff := cmp.Diff([]string{"index.html", "level1.map", "main.js", "main.js.map", "style.CSS.MAP"}, paths(s.Manifest)); diff != "" {
		t.Errorf("packed with source maps (-want +got):\n%s", diff)
	}
}

func TestOneWrappingFolderIsTakenAway(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"www ü/index.html": "notifyAppReady", "www ü/a/b.js": "x", ".DS_Store": "x", "__MACOSX/www/x": "x"})
	s := load(t, dir, Options{})
	if diff := cmp.Diff([]string{"a/b.js", "index.html"}, paths(s.Manifest)); diff != "" || s.Wrapper != "www ü" {
		t.Errorf("wrapper %q, files (-want +got):\n%s", s.Wrapper, diff)
	}
	r, err := s.Open("a/b.js")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); string(b) != "x" || err != nil {
		t.Errorf("a/b.js holds %q, %v", b, err)
	}
}

func TestMissingIndexSaysWhereToLook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		hint  string
	}{
		"empty folder":     {nil, "-p dist"},
		"no index":         {map[string]string{"main.js": "notifyAppReady"}, "-p dist"},
		"other case":       {map[string]string{"Index.html": "notifyAppReady"}, "rename Index.html"},
		"one level deeper": {map[string]string{"www/index.html": "notifyAppReady", "readme.md": "x"}, "/www\""},
		"two wrappers":     {map[string]string{"a/b/index.html": "notifyAppReady"}, "/a/b\""},
	} {
		_, err := Folder(context.Background(), folder(t, c.files), Options{})
		e := wantCode(t, err, capstan.CodeNoIndex)
		if len(e.Hints) != 1 || !strings.Contains(e.Hints[0], c.hint) {
			t.Errorf("%s: hints %q, want one with %q", name, e.Hints, c.hint)
		}
	}
}

func TestFolderMustExist(t *testing.T) {
	t.Parallel()
	dir := folder(t, app)
	for _, name := range []string{filepath.Join(dir, "missing"), filepath.Join(dir, "main.js")} {
		_, err := Folder(context.Background(), name, Options{})
		e := wantCode(t, err, capstan.CodeFolder)
		if !strings.Contains(e.Message, name) {
			t.Errorf("the message does not name the folder: %s", e.Message)
		}
	}
}

func TestNotifyAppReadyIsLookedForInScripts(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat("x", 256<<10-5) // the word lies across two pieces of reading
	for name, c := range map[string]struct {
		file, body string
		ok         bool
	}{
		"js":                {"a.js", "notifyAppReady()", true},
		"mjs":               {"a.mjs", "notifyAppReady()", true},
		"cjs":               {"a.cjs", "notifyAppReady()", true},
		"html":              {"x/a.HTML", "notifyAppReady()", true},
		"across two pieces": {"a.js", filler + "notifyAppReady()", true},
		"css":               {"a.css", "notifyAppReady()", false},
		"json":              {"a.json", "notifyAppReady()", false},
		"nowhere":           {"a.js", "notifyappready notifyAppRead", false},
	} {
		dir := folder(t, map[string]string{"index.html": "x", c.file: c.body})
		_, err := Folder(context.Background(), dir, Options{})
		if c.ok && err != nil || !c.ok && capstan.CodeOf(err) != capstan.CodeNoNotify {
			t.Errorf("%s: %v, want ok = %v", name, err, c.ok)
		}
		load(t, dir, Options{NoCodeCheck: true})
	}
}

func TestFinderFindsAWordInAnyPieces(t *testing.T) {
	t.Parallel()
	const text = "..notifyAppReady.."
	for size := 1; size <= len(text); size++ {
		f, found := &finder{word: []byte("notifyAppReady")}, false
		for piece := range slices.Chunk([]byte(text), size) {
			found = f.in(piece) || found
		}
		if !found {
			t.Errorf("not found in pieces of %d bytes", size)
		}
	}
}

func TestLinksAreFollowedInsideAndRefusedOutside(t *testing.T) {
	t.Parallel()
	outside := folder(t, map[string]string{"secret": "s"})
	link := func(target, name string) string {
		dir := folder(t, with("real/a.js", "A"))
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	s := load(t, link("real/a.js", "b.js"), Options{})
	if diff := cmp.Diff([]string{"b.js", "index.html", "main.js", "real/a.js"}, paths(s.Manifest)); diff != "" {
		t.Errorf("link to a file (-want +got):\n%s", diff)
	}
	s = load(t, link("real", "copy"), Options{})
	if diff := cmp.Diff([]string{"copy/a.js", "index.html", "main.js", "real/a.js"}, paths(s.Manifest)); diff != "" {
		t.Errorf("link to a folder (-want +got):\n%s", diff)
	}
	for _, target := range []string{filepath.Join(outside, "secret"), "../" + filepath.Base(outside) + "/secret", "..", "missing", "loop", ".", "/"} {
		_, err := Folder(context.Background(), link(target, "loop"), Options{})
		if e := wantCode(t, err, capstan.CodePathRefused); e.Field != "loop" {
			t.Errorf("link to %s: the error is about %q", target, e.Field)
		}
	}
}

func TestSpecialFilesAreRefused(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "s") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	maps.All(app)(func(name, body string) bool { write(t, dir, name, body); return true })
	l, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Folder(context.Background(), dir, Options{})
	if e := wantCode(t, err, capstan.CodePathRefused); e.Field != "sock" {
		t.Errorf("the error is about %q, want sock", e.Field)
	}
}

func TestNamesAreRefusedWithTheirPath(t *testing.T) {
	t.Parallel()
	for name, files := range map[string][2]string{
		"aux.js":        {"aux.js"},
		"a:b":           {"a:b"},
		"a\\b":          {"a\\b"},
		"a\nb":          {"a\nb"},
		"dot.":          {"dot."},
		"bad\xffname":   {"bad\xffname"},
		"readme.md":     {"readme.md", "README.md"},
		"u\u0308/x":     {"ü/x", "u\u0308/x"},
		"file/Other.js": {"file/Other.js", "file/other.js"},
	} {
		dir := folder(t, app)
		for _, f := range files {
			if f != "" {
				write(t, dir, f, "x")
			}
		}
		_, err := Folder(context.Background(), dir, Options{})
		e := wantCode(t, err, capstan.CodePathRefused)
		if manifest.Normal(e.Field) != manifest.Normal(name) && !strings.EqualFold(e.Field, name) {
			t.Errorf("%q: the error is about %q", name, e.Field)
		}
	}
}

func TestDecomposedNamesAreSentComposed(t *testing.T) {
	t.Parallel()
	s := load(t, folder(t, with("u\u0308ber/gro\u0308ße.css", "x")), Options{})
	if !slices.Contains(paths(s.Manifest), "über/größe.css") {
		t.Errorf("packed %q, want über/größe.css", paths(s.Manifest))
	}
	if !strings.Contains(string(archive(t, s)), "über/größe.css") {
		t.Error("the zip does not name the file in NFC")
	}
}

func archive(t testing.TB, s *Source) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.WriteArchive(context.Background(), &b); err != nil {
		t.Fatalf("WriteArchive: %v", err)
	}
	return b.Bytes()
}

func TestSizesAndCountsAreLimited(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits manifest.Limits
		field  string
	}{
		"file":     {manifest.Limits{FileBytes: 999}, "big.bin"},
		"expanded": {manifest.Limits{ExpandedBytes: 1050}, "files"},
		"count":    {manifest.Limits{Files: 3}, "z.js"},
	} {
		dir := folder(t, with("big.bin", noise(1, 1000), "z.js", "x"))
		_, err := Folder(context.Background(), dir, Options{Limits: c.limits})
		if e := wantCode(t, err, capstan.CodeTooLarge); e.Field != c.field {
			t.Errorf("%s: the error is about %q, want %q", name, e.Field, c.field)
		}
	}
	s := load(t, folder(t, with("big.bin", noise(1, 1000))), Options{Limits: manifest.Limits{ArchiveBytes: 900}})
	_, err := s.WriteArchive(context.Background(), io.Discard)
	wantCode(t, err, capstan.CodeTooLarge)
}

func TestTooManyFoldersAreRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t, app)
	for i := range 5 {
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprint(i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Folder(context.Background(), dir, Options{Limits: manifest.Limits{Files: 5}})
	wantCode(t, err, capstan.CodeTooLarge)
}

func TestLargeFilesAndZipsAreWarnedAbout(t *testing.T) {
	t.Parallel()
	s := load(t, folder(t, with("film.mp4", noise(1, LargeBytes+1), "less.mp4", noise(2, LargeBytes))), Options{})
	if len(s.Warnings) != 1 || s.Warnings[0].Rule != "large_file" || s.Warnings[0].Path != "film.mp4" {
		t.Errorf("warnings = %v, want one about film.mp4", s.Warnings)
	}
	info, err := s.WriteArchive(context.Background(), io.Discard)
	if err != nil || len(info.Warnings) != 1 || info.Warnings[0].Rule != "large_zip" {
		t.Errorf("warnings of the zip = %v, %v; want large_zip", info.Warnings, err)
	}
}

func TestUnreadableFileIsNamed(t *testing.T) {
	t.Parallel()
	dir := folder(t, with("z.js", "x"))
	// With one worker the files are read in order, so the last one can be taken
	// away under it; as root no permission would keep a test from reading.
	gone := Options{Workers: 1, Progress: func(int64) { os.Remove(filepath.Join(dir, "z.js")) }}
	_, err := Folder(context.Background(), dir, gone)
	if e := wantCode(t, err, capstan.CodeFolder); e.Field != "z.js" || !strings.Contains(e.Message, "cannot be read") {
		t.Errorf("error = %+v, want one about z.js", e)
	}
}

func TestFileThatIsWrittenWhileItIsHashedIsNoticed(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"grows": strings.Repeat("y", 600<<10), "shrinks": "y", "touched": strings.Repeat("z", 300<<10)} {
		dir := folder(t, map[string]string{"index.html": strings.Repeat("x", 300<<10)})
		path := filepath.Join(dir, "index.html")
		past := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
		var once atomic.Bool
		change := Options{NoCodeCheck: true, Progress: func(int64) {
			if once.CompareAndSwap(false, true) {
				write(t, dir, "index.html", body)
			}
		}}
		_, err := Folder(context.Background(), dir, change)
		if got := capstan.CodeOf(err); got != capstan.CodeFileChanged {
			t.Errorf("%s: %v, want %s", name, err, capstan.CodeFileChanged)
		}
	}
}

func TestFileThatKeepsGrowingIsGivenUp(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"index.html": strings.Repeat("x", 300<<10)})
	f, err := os.OpenFile(filepath.Join(dir, "index.html"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var read atomic.Int64
	grow := Options{NoCodeCheck: true, Progress: func(n int64) {
		if read.Add(n) < 10<<20 {
			f.WriteString(strings.Repeat("y", int(n)))
		}
	}}
	_, err = Folder(context.Background(), dir, grow)
	wantCode(t, err, capstan.CodeFileChanged)
	if read.Load() > 1<<20 {
		t.Errorf("%d bytes of a file of 300 kB were read", read.Load())
	}
}

func TestFileThatChangesBeforeItIsPackedIsNoticed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, path string, was os.FileInfo){
		"other size": func(t *testing.T, path string, _ os.FileInfo) { write(t, filepath.Dir(path), "main.js", "short") },
		"other time": func(t *testing.T, path string, was os.FileInfo) {
			if err := os.Chtimes(path, time.Time{}, was.ModTime().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
		},
		"only other content": func(t *testing.T, path string, was os.FileInfo) {
			write(t, filepath.Dir(path), "main.js", words(2, int(was.Size())))
			if err := os.Chtimes(path, time.Time{}, was.ModTime()); err != nil {
				t.Fatal(err)
			}
		},
		"gone": func(t *testing.T, path string, _ os.FileInfo) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, body := range []string{words(1, 20_000), noise(1, 20_000)} { // deflated, and stored
			dir := folder(t, map[string]string{"index.html": "x", "main.js": body})
			s := load(t, dir, Options{NoCodeCheck: true})
			path := filepath.Join(dir, "main.js")
			was, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			change(t, path, was)
			if _, err := s.WriteArchive(context.Background(), io.Discard); capstan.CodeOf(err) != capstan.CodeFileChanged {
				t.Errorf("%s: WriteArchive = %v, want %s", name, err, capstan.CodeFileChanged)
			}
			for _, c := range s.Contents() {
				if c.Path != "main.js" {
					continue
				}
				stored, err := s.Encode(context.Background(), c)
				if err == nil {
					_, err = readStored(stored)
				}
				if capstan.CodeOf(err) != capstan.CodeFileChanged {
					t.Errorf("%s: Encode = %v, want %s", name, err, capstan.CodeFileChanged)
				}
			}
		}
	}
}

func readStored(s *Stored) ([]byte, error) {
	r, err := s.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestOpenKnowsOnlyFilesOfTheBundle(t *testing.T) {
	t.Parallel()
	s := load(t, folder(t, app), Options{})
	_, err := s.Open("../main.js")
	wantCode(t, err, capstan.CodeFolder)
}

func TestTwentyThousandFilesArePacked(t *testing.T) {
	t.Parallel()
	files := with()
	for i := range 20_000 - len(app) {
		files[fmt.Sprintf("d%d/%d.txt", i%200, i)] = fmt.Sprint("file ", i)
	}
	s := load(t, folder(t, files), Options{})
	if len(s.Manifest) != 20_000 {
		t.Fatalf("%d files, want 20000", len(s.Manifest))
	}
	zip := archive(t, s)
	a, err := OpenArchive(bytes.NewReader(zip), int64(len(zip)), manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := a.Verify(context.Background(), nil)
	if err != nil || manifest.Root(m) != s.Root {
		t.Errorf("the zip has root %s, the folder %s; error %v", manifest.Root(m), s.Root, err)
	}
}

func TestCancellingStopsTheWork(t *testing.T) {
	t.Parallel()
	dir := folder(t, with("a.js", words(1, 300_000)))
	s := load(t, dir, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Folder(ctx, dir, Options{}); err != context.Canceled {
		t.Errorf("Folder = %v", err)
	}
	if _, err := s.WriteArchive(ctx, io.Discard); err != context.Canceled {
		t.Errorf("WriteArchive = %v", err)
	}
	send := func(context.Context, *Stored) error { return nil }
	if err := s.EncodeAll(ctx, s.Contents(), 2, send); err != context.Canceled {
		t.Errorf("EncodeAll = %v", err)
	}
}

// net/http sends a body that looks like a file by sendfile, past its Read.
func TestOpenedFileCannotBeCopiedPastTheCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"index.html": "<html>", "app.js": "notifyAppReady()"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Folder(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Open("app.js")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, ok := r.(io.WriterTo); ok {
		t.Error("the reader has a WriteTo")
	}
	if _, ok := r.(io.Seeker); ok {
		t.Error("the reader has a Seek")
	}
	if _, ok := r.(interface {
		SyscallConn() (syscall.RawConn, error)
	}); ok {
		t.Error("the reader has a SyscallConn")
	}
}
