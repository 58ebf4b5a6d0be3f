package archtest

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// brokenLinks returns the relative links of Markdown files whose target is not
// there, as "file: target", and how many links it tried.
func brokenLinks(t *testing.T, fsys fs.FS, files []string) (broken []string, tried int) {
	t.Helper()
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	for _, name := range files {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			tried++
			if _, err := fs.Stat(fsys, path.Join(path.Dir(name), m[1])); err != nil {
				broken = append(broken, name+": "+m[1])
			}
		}
	}
	return broken, tried
}

func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	t.Parallel()
	repo := os.DirFS("../..")
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := fs.Glob(repo, pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	broken, tried := brokenLinks(t, repo, files)
	for _, b := range broken {
		t.Errorf("%s: no such file", b)
	}
	t.Logf("%d broken of %d links in %d files", len(broken), tried, len(files))
	if tried < 15 || len(files) < 10 {
		t.Error("that is less than there are: the check is looking at the wrong place")
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"docs/a.md": {Data: []byte("[b](b.md#part) [up](../LICENSE) [web](https://example.com/x) [gone](gone.md) [gone](../docs/c.md#x)")},
		"docs/b.md": {}, "LICENSE": {},
	}
	broken, tried := brokenLinks(t, fsys, []string{"docs/a.md"})
	if len(broken) != 2 || tried != 4 {
		t.Errorf("got %q of %d, want the two that are gone of 4", broken, tried)
	}
}
