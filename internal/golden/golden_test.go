package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder keeps the failures of a check instead of failing the test.
type recorder struct {
	testing.TB
	failed string
}

func (r *recorder) Helper()      {}
func (r *recorder) Name() string { return "TestSomething" }
func (r *recorder) Error(args ...any) {
	r.failed += fmt.Sprint(args...)
}
func (r *recorder) Errorf(format string, args ...any) {
	r.failed += fmt.Sprintf(format, args...)
}

func TestCheckPassesOnEqualBytesOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(path, []byte("one\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, got, want string }{
		{"equal", "one\ntwo\nthree\n", ""},
		{"changed line", "one\nTWO\nthree\n", `line 2`},
		{"missing line", "one\ntwo\n", `line 3`},
		{"additional line", "one\ntwo\nthree\nfour\n", `line 4`},
		{"missing last newline", "one\ntwo\nthree", `line 3`},
		{"nothing", "", `line 1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{TB: t}
			check(r, path, []byte(tt.got), false)
			if (tt.want == "") != (r.failed == "") || !strings.Contains(r.failed, tt.want) {
				t.Errorf("check(%q) reported %q, want something with %q", tt.got, r.failed, tt.want)
			}
		})
	}
}

func TestCheckNamesTheCommandThatMakesAMissingFile(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	check(r, filepath.Join(t.TempDir(), "none"), []byte("x"), false)
	if want := "go test -run '^TestSomething$' -update"; !strings.Contains(r.failed, want) {
		t.Errorf("got %q, want it to name %q", r.failed, want)
	}
}

func TestUpdateWritesWhatTheNextCheckAccepts(t *testing.T) {
	t.Setenv("CI", "")
	path := filepath.Join(t.TempDir(), "deep", "a.txt")
	r := &recorder{TB: t}
	check(r, path, []byte("new"), true)
	check(r, path, []byte("new"), false)
	if r.failed != "" {
		t.Errorf("update, then check: %s", r.failed)
	}
}

func TestUpdateIsRefusedInCI(t *testing.T) {
	t.Setenv("CI", "true")
	path := filepath.Join(t.TempDir(), "a.txt")
	r := &recorder{TB: t}
	check(r, path, []byte("new"), true)
	if _, err := os.Stat(path); r.failed == "" || err == nil {
		t.Errorf("with CI=true -update reported %q and wrote the file: %v", r.failed, err == nil)
	}
}
