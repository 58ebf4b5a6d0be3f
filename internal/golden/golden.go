// Package golden compares what a test made with a file that was reviewed. It
// knows bytes and file names, nothing of what they mean.
//
// Files live under testdata of the package under test. `go test ./pkg -update`
// writes them anew; the difference is then looked at in review like any other
// change. With CI=true -update is refused, since a run that rewrites what it
// compares with can only pass.
package golden

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// update is set by the -update flag and read only after flags are parsed.
var update = flag.Bool("update", false, "rewrite golden files under testdata instead of comparing with them")

// Updating reports whether the run was started with -update, for tests that
// keep a golden form of their own.
func Updating() bool { return *update }

// Check compares got with testdata/name and reports the first line that
// differs. The name is relative and "/"-separated.
func Check(t testing.TB, name string, got []byte) {
	t.Helper()
	check(t, filepath.Join("testdata", filepath.FromSlash(name)), got, *update)
}

// CheckString is [Check] for text.
func CheckString(t testing.TB, name, got string) {
	t.Helper()
	Check(t, name, []byte(got))
}

func check(t testing.TB, path string, got []byte, write bool) {
	t.Helper()
	if write {
		rewrite(t, path, got)
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("read golden file: %v\nmake it with: go test -run '^%s$' -update", err, t.Name())
		return
	}
	if !bytes.Equal(got, want) {
		line, g, w := firstDifference(string(got), string(want))
		t.Errorf("%s differs at line %d\n got: %q\nwant: %q\nif the new form is right: go test -run '^%s$' -update", path, line, g, w, t.Name())
	}
}

func rewrite(t testing.TB, path string, got []byte) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Errorf("%s: -update is refused with CI=true", path)
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Error(err)
		return
	}
	if err := os.WriteFile(path, got, 0o644); err != nil {
		t.Error(err)
	}
}

// firstDifference returns the number of the first line that differs, counted
// from 1, and both forms of it.
func firstDifference(got, want string) (line int, g, w string) {
	for line = 1; ; line++ {
		var moreG, moreW bool
		g, got, moreG = strings.Cut(got, "\n")
		w, want, moreW = strings.Cut(want, "\n")
		if g != w || moreG != moreW || !moreG {
			return line, g, w
		}
	}
}
