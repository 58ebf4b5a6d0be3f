package archtest

import (
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"
)

// What the repository is known to have at least. A rule that has seen less was
// looking at the wrong place.
const (
	minPackages = 20
	minFiles    = 160
	minTests    = 40
	minGoMods   = 2
)

func load(t *testing.T) *Tree {
	t.Helper()
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestRepositoryKeepsTheRules(t *testing.T) {
	t.Parallel()
	tree := load(t)
	tests := 0
	for _, p := range tree.Packages {
		for _, f := range p.Files {
			if f.Test {
				tests++
			}
		}
	}
	t.Logf("tried %d packages, %d files of which %d are tests, %d go.mod", len(tree.Packages), tree.Files(), tests, len(tree.GoMods))
	if len(tree.Packages) < minPackages || tree.Files() < minFiles || tests < minTests || len(tree.GoMods) < minGoMods {
		t.Errorf("that is less than the %d packages, %d files, %d tests and %d go.mod that there are: the rules are looking at the wrong place",
			minPackages, minFiles, minTests, minGoMods)
	}
	for _, rule := range Rules {
		t.Run(rule.Name, func(t *testing.T) {
			t.Parallel()
			found := rule.Check(tree)
			for _, f := range found {
				t.Error(f)
			}
			t.Logf("%d found in %d packages, %d files", len(found), len(tree.Packages), tree.Files())
		})
	}
}

func TestRulesFindWhatIsPlanted(t *testing.T) {
	t.Parallel()
	for _, rule := range Rules {
		if len(rule.Planted) == 0 || len(rule.Clean) == 0 {
			t.Errorf("rule %q has nothing planted to prove itself on", rule.Name)
		}
		for i, src := range rule.Planted {
			t.Run(fmt.Sprintf("%s/planted %d", rule.Name, i), func(t *testing.T) {
				t.Parallel()
				found := rule.Check(plant(t, src))
				if len(found) == 0 || found[0].Why == "" || !strings.HasPrefix(found[0].At, strings.TrimSuffix(path.Dir(src.Name), ".")) {
					t.Errorf("in %s:\n%s\ngot %v, want a finding there that says why", src.Name, src.Text, found)
				}
			})
		}
		for i, src := range rule.Clean {
			t.Run(fmt.Sprintf("%s/clean %d", rule.Name, i), func(t *testing.T) {
				t.Parallel()
				if found := rule.Check(plant(t, src)); len(found) > 0 {
					t.Errorf("in %s:\n%s\ngot %v, want nothing", src.Name, src.Text, found)
				}
			})
		}
	}
}

// plant returns a tree of one file. A Go file that does not bring its own
// package clause gets one.
func plant(t *testing.T, src Source) *Tree {
	t.Helper()
	text := src.Text
	if strings.HasSuffix(src.Name, ".go") && !strings.Contains(text, "package ") {
		text = "package " + path.Base(path.Dir("capstan/"+src.Name)) + "\n" + text
	}
	tree, err := Load(fstest.MapFS{src.Name: {Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestLoadPassesOverWhatIsNotOfThisModule(t *testing.T) {
	t.Parallel()
	bad := &fstest.MapFile{Data: []byte("package p\nfunc init() {}\n")}
	tree, err := Load(fstest.MapFS{
		"go.mod": {Data: []byte("module m\n")}, "tools/go.mod": {Data: []byte("module tools\n")},
		"tools/a.go": bad, "tools/sub/a.go": bad, "internal/x/testdata/a.go": bad, ".git/a.go": bad,
		"_old/a.go": bad, "console/node_modules/a/a.go": bad, "internal/x/x.go": {Data: []byte("package x\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Packages) != 1 || tree.Packages[0].Path != "internal/x" || len(tree.GoMods) != 2 {
		t.Errorf("got %d packages, first %+v, and %d go.mod; want internal/x and two", len(tree.Packages), tree.Packages[0], len(tree.GoMods))
	}
}

func TestLoadReportsFilesThatDoNotParse(t *testing.T) {
	t.Parallel()
	if _, err := Load(fstest.MapFS{"a.go": {Data: []byte("pakcage a\n")}}); err == nil {
		t.Error("a file that does not parse was passed over")
	}
}

// Arrows go down only: the rows are ordered, and no two packages can reach
// each other.
func TestTableHasNoCycles(t *testing.T) {
	t.Parallel()
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(pkg string, trail []string)
	visit = func(pkg string, trail []string) {
		switch state[pkg] {
		case visiting:
			t.Errorf("the table allows a cycle: %s", strings.Join(append(trail, pkg), " → "))
			return
		case done:
			return
		}
		state[pkg] = visiting
		r, ok := row(pkg)
		if !ok {
			t.Errorf("%s may be imported by %s and has no row", pkg, strings.Join(trail, " → "))
		}
		for _, next := range r.Internal {
			if next != "*" {
				visit(next, append(trail, pkg))
			}
		}
		state[pkg] = done
	}
	for _, r := range Imports {
		if r.Why == "" {
			t.Errorf("the row of %s does not say why", r.Package)
		}
		visit(strings.TrimSuffix(r.Package, "/..."), nil)
	}
}
