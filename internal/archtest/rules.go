package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// Rule is one thing that a program can check about this repository.
type Rule struct {
	Name  string
	Check func(t *Tree) []Finding

	// Planted are sources, by file name, of which each alone breaks the rule.
	Planted []Source
	// Clean are sources that look as if they did and do not.
	Clean []Source
}

// Source is one file of a planted tree.
type Source struct{ Name, Text string }

// Finding is one place that breaks a rule.
type Finding struct {
	At  string // "path:line"
	Why string
}

func (f Finding) String() string { return f.At + ": " + f.Why }

// Rules are checked by the test of this package.
var Rules = []Rule{
	importDirection, standardLibrary, pureCode, clockAndSettings, packageDocs, noInit, noSkip, noSleep, noReplace,
}

var importDirection = Rule{
	Name: "packages import downwards only, by the table",
	Check: func(t *Tree) (found []Finding) {
		for _, p := range t.Packages {
			r, ok := row(p.Path)
			if !ok {
				found = append(found, Finding{p.Path, "this package has no row in archtest.Imports: say there what it may know"})
				continue
			}
			for _, f := range p.Files {
				if f.Test { // tests use the real thing, whatever it is
					continue
				}
				for _, spec := range f.Imports {
					if why := r.refuses(importPath(spec)); why != "" {
						found = append(found, Finding{t.at(spec), why})
					}
				}
			}
		}
		return found
	},
	Planted: []Source{
		{"internal/store/a.go", `import "github.com/capstan-ota/capstan/internal/blob"`},
		{"internal/blob/a.go", `import "github.com/capstan-ota/capstan/internal/store"`},
		{"internal/sim/a.go", `import "github.com/capstan-ota/capstan/internal/wire/capgo"`},
		{"internal/api/a.go", `import "github.com/capstan-ota/capstan/internal/wire/capgo"`},
		{"internal/cli/a.go", `import "github.com/capstan-ota/capstan/internal/store"`},
		{"internal/server/a.go", `import _ "github.com/capstan-ota/capstan/internal/cli"`},
		{"internal/server/a.go", `import "github.com/capstan-ota/capstan/internal/store/storetest"`},
		{"internal/decide/a.go", `import "github.com/jackc/pgx/v5/pgconn"`},
		{"internal/control/a.go", `import "github.com/jackc/pgx/v5"`},
		{"a.go", `import "github.com/capstan-ota/capstan/internal/decide"`},
		{"a.go", `import "golang.org/x/text/cases"`},
		{"client/a.go", `import "github.com/capstan-ota/capstan/internal/api"`},
		{"cmd/capstan/a.go", `import "github.com/capstan-ota/capstan/internal/server"`},
		{"internal/helpers/a.go", ``},
	},
	Clean: []Source{
		{"internal/store/a.go", `import ("github.com/capstan-ota/capstan"; "github.com/jackc/pgx/v5/pgconn"; "strings")`},
		{"internal/store/a_test.go", `import "github.com/capstan-ota/capstan/internal/blob"`},
		{"internal/api/a.go", `import "github.com/capstan-ota/capstan/client"`},
		{"internal/server/a.go", `import "github.com/capstan-ota/capstan/internal/wire/capgo"`},
		{"test/demo/a.go", `import "github.com/capstan-ota/capstan/internal/store"`},
	},
}

// refuses returns why a package must not import imported, or "".
func (r Row) refuses(imported string) string {
	inner, ours := strings.CutPrefix(imported+"/", Module+"/")
	inner = strings.TrimSuffix(inner, "/")
	switch {
	case ours:
		if inner == "" {
			inner = "."
		}
		return r.refusesInternal(inner)
	case !strings.Contains(strings.Split(imported, "/")[0], "."):
		return "" // the standard library: another rule
	}
	for _, m := range r.External {
		if m == "*" || imported == m || strings.HasPrefix(imported, m+"/") {
			return ""
		}
	}
	return fmt.Sprintf("%s must not import %s: %s (a dependency earns its place: add it to the row of archtest.Imports with its reason)", r.Package, imported, r.Why)
}

func (r Row) refusesInternal(inner string) string {
	target, _ := row(inner)
	everything := slices.Contains(r.Internal, "*")
	switch {
	case target.Layer == Program && r.Layer != Program:
		return fmt.Sprintf("%s must not import %s: what ships does not depend on what tests it", r.Package, inner)
	case everything && (r.Layer == Program || !aboveServer[inner]):
		return ""
	case slices.Contains(r.Internal, inner):
		return ""
	}
	return fmt.Sprintf("%s must not import %s: %s", r.Package, inner, r.Why)
}

// aboveServer are the packages that "*" does not open to the server.
var aboveServer = map[string]bool{"internal/cli": true, "internal/sim": true, "internal/term": true, "cmd/capstan": true}

var standardLibrary = Rule{
	Name: "parts of the standard library are for some packages only",
	Check: func(t *Tree) (found []Finding) {
		for _, p := range t.Packages {
			for _, f := range p.Files {
				for _, spec := range f.Imports {
					for _, s := range standard {
						named := slices.ContainsFunc(s.Imports, func(pattern string) bool { return covers(pattern, importPath(spec)) })
						if named && !s.May(p.Path, layer(p.Path, f)) {
							found = append(found, Finding{t.at(spec), fmt.Sprintf("%s must not import %s: %s", p.Path, importPath(spec), s.Why)})
						}
					}
				}
			}
		}
		return found
	},
	Planted: []Source{
		{"internal/decide/a.go", `import "context"`},
		{"internal/decide/a.go", `import "net/url"`},
		{"internal/native/a.go", `import "os"`},
		{"internal/manifest/a.go", `import "os/exec"`},
		{"internal/rollout/a.go", `import "math/rand/v2"`},
		{"a.go", `import "log/slog"`},
		{"a.go", `import "log"`},
		{"internal/decide/a.go", `import "database/sql"`},
		{"internal/control/a.go", `import "database/sql"`},
		{"internal/store/a.go", `import "crypto/rand"`},
		{"internal/control/a.go", `import r "crypto/rand"`},
		{"internal/server/a.go", `import "testing"`},
	},
	Clean: []Source{
		{"internal/decide/a.go", `import ("io"; "crypto/sha256"; "time"; "math")`},
		{"internal/decide/a_test.go", `import ("os"; "testing"; "math/rand")`},
		{"internal/server/a.go", `import ("crypto/rand"; "context"; "net/http"; "log/slog")`},
		{"internal/store/a.go", `import ("database/sql"; "database/sql/driver")`},
		{"internal/store/storetest/a.go", `import ("crypto/rand"; "testing"; "database/sql")`},
	},
}

var pureCode = Rule{
	Name: "pure packages start no goroutines and set no timers",
	Check: func(t *Tree) (found []Finding) {
		for _, p := range t.Packages {
			for _, f := range p.Files {
				if layer(p.Path, f) != Pure {
					continue
				}
				for n := range ast.Preorder(f.File) {
					if g, ok := n.(*ast.GoStmt); ok {
						found = append(found, Finding{t.at(g), p.Path + " must not start goroutines: a pure package turns values into values"})
					}
				}
				for sel := range uses(f, "time", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep") {
					found = append(found, Finding{t.at(sel), p.Path + " must not wait: a pure package turns values into values"})
				}
			}
		}
		return found
	},
	Planted: []Source{
		{"internal/decide/a.go", `func f() { go f() }`},
		{"internal/rollout/a.go", `import "time"; func f() { <-time.After(1) }`},
	},
	Clean: []Source{
		{"internal/decide/a_test.go", `func f() { go f() }`},
		{"internal/server/a.go", `func f() { go f() }`},
		{"internal/decide/a.go", `import "time"; func f(a, b time.Time) bool { return a.After(b) }`},
	},
}

var clockAndSettings = Rule{
	Name: "clock and environment are read in server, cli and sim only",
	Check: func(t *Tree) (found []Finding) {
		for _, p := range t.Packages {
			for _, f := range p.Files {
				if l := layer(p.Path, f); l == Edge || l == Program {
					continue
				}
				for sel := range uses(f, "time", "Now", "Since", "Until") {
					found = append(found, Finding{t.at(sel), p.Path + " must not read the clock: time is passed down as a value or a function"})
				}
				for sel := range uses(f, "os", "Getenv", "LookupEnv", "Environ", "ExpandEnv") {
					found = append(found, Finding{t.at(sel), p.Path + " must not read the environment: settings are passed down as values"})
				}
				for sel := range uses(f, "github.com/google/uuid", "New", "NewString", "NewUUID", "NewRandom", "NewV6", "NewV7") {
					found = append(found, Finding{t.at(sel), p.Path + " must not make an id from hidden clock and chance: use the reader that it is given"})
				}
			}
		}
		return found
	},
	Planted: []Source{
		{"internal/store/a.go", `import "time"; func f() { time.Now() }`},
		{"internal/store/a.go", `import "time"; var f = time.Now`},
		{"internal/decide/a.go", `import t "time"; func f() { _ = t.Since(t.Time{}) }`},
		{"internal/term/a.go", `import "os"; func f() { os.Getenv("NO_COLOR") }`},
		{"cmd/capstan/a.go", `import "os"; func f() { os.LookupEnv("X") }`},
		{"internal/control/a.go", `import "github.com/google/uuid"; func f() { uuid.NewV7() }`},
	},
	Clean: []Source{
		{"internal/store/a.go", "import \"time\"; // time.Now\nconst s = `time.Now()`; type clock struct{ Now func() time.Time }; func (c clock) f() { c.Now() }"},
		{"internal/server/a.go", `import ("time"; "os"); func f() { time.Now(); os.Getenv("X") }`},
		{"internal/store/a_test.go", `import "time"; func f() { time.Now() }`},
		{"internal/control/a.go", `import "github.com/google/uuid"; func f() { uuid.NewRandomFromReader(nil) }`},
	},
}

var packageDocs = Rule{
	Name: "every package says what it is",
	Check: func(t *Tree) (found []Finding) {
		for _, p := range t.Packages {
			if !slices.ContainsFunc(p.Files, documents) {
				found = append(found, Finding{p.Path, "this package has no doc comment: say what it knows, what it refuses to know, and the one subtle thing"})
			}
		}
		return found
	},
	Planted: []Source{
		{"internal/term/a.go", ``},
		{"internal/term/doc.go", "// Some words.\npackage term\n"},
		{"internal/term/doc.go", "// Package term\npackage term\n"},
		{"internal/term/doc.go", "// Package other draws on terminals and knows nothing else.\npackage term\n"},
		{"internal/term/doc.go", "// Package term draws on terminals and knows nothing else.\n\npackage term\n"},
	},
	Clean: []Source{
		{"internal/term/doc.go", "// Package term draws on terminals and knows nothing else.\npackage term\n"},
		{"cmd/capstan/doc.go", "// Command capstan is server, CLI and simulator in one.\npackage main\n"},
	},
}

// documents reports whether f carries the doc comment of its package. The
// test package beside it may have one of its own.
func documents(f File) bool {
	name := strings.TrimSuffix(f.File.Name.Name, "_test")
	first := "Package " + name + " "
	if name == "main" {
		first = "Command "
	}
	doc := strings.Join(strings.Fields(f.Doc.Text()), " ")
	return strings.HasPrefix(doc, first) && len(doc) > len(first)+20
}

var noInit = Rule{
	Name: "no init functions",
	Check: func(t *Tree) (found []Finding) {
		for _, p := range t.Packages {
			for _, f := range p.Files {
				for _, d := range f.Decls {
					if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
						found = append(found, Finding{t.at(fn), "what init does happens to everybody who imports this: build it in server.New or cli"})
					}
				}
			}
		}
		return found
	},
	Planted: []Source{
		{"internal/term/a.go", `func init() {}`},
		{"internal/term/a_test.go", `func init() {}`},
	},
	Clean: []Source{{"internal/term/a.go", `type t struct{}; func (t) init() {}`}},
}

var noSkip = Rule{
	Name: "a skipped test fails in CI",
	Check: func(t *Tree) (found []Finding) {
		for _, p := range t.Packages {
			for _, f := range p.Files {
				if layer(p.Path, f) != Program {
					continue
				}
				for _, d := range f.Decls {
					for _, skip := range skips(d) {
						if !asksForCI(f, d) {
							found = append(found, Finding{t.at(skip), "a skip is overlooked for ever: only a function that looks at CI, and fails there, may skip"})
						}
					}
				}
			}
		}
		return found
	},
	Planted: []Source{
		{"internal/term/a_test.go", `import "testing"; func TestX(t *testing.T) { t.Skip("later") }`},
		{"internal/term/a_test.go", `import "testing"; func TestX(t *testing.T) { t.Run("x", func(t *testing.T) { t.SkipNow() }) }`},
		{"internal/store/storetest/a.go", `import "testing"; func need(t testing.TB) { t.Skipf("no %s", "engine") }`},
		{"internal/store/storetest/a.go", `import ("os"; "testing"); func need(t testing.TB) { os.Getenv("HOME"); t.Skip() }`},
	},
	Clean: []Source{
		{"internal/store/storetest/a.go", `import ("os"; "testing"); func need(t testing.TB) { if os.Getenv("CI") == "true" { t.Fatal("no engine") }; t.Skip("no engine") }`},
		{"internal/native/a.go", `func f(d interface{ Skip() }) { d.Skip() }`},
	},
}

func skips(d ast.Decl) (found []ast.Node) {
	for n := range ast.Preorder(d) {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			continue
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
			found = append(found, call)
		}
	}
	return found
}

// asksForCI reports whether d reads the variable CI.
func asksForCI(f File, d ast.Decl) bool {
	for n := range ast.Preorder(d) {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			continue
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "Getenv" && sel.Sel.Name != "LookupEnv" {
			continue
		}
		x, isIdent := sel.X.(*ast.Ident)
		arg, isLit := call.Args[0].(*ast.BasicLit)
		if isIdent && isLit && x.Name == importName(f, "os") && arg.Kind == token.STRING && arg.Value == `"CI"` {
			return true
		}
	}
	return false
}

var noSleep = Rule{
	Name: "tests do not sleep",
	Check: func(t *Tree) (found []Finding) {
		for _, p := range t.Packages {
			for _, f := range p.Files {
				if layer(p.Path, f) != Program {
					continue
				}
				bubbles := synctestCalls(f)
				for sel := range uses(f, "time", "Sleep") {
					inside := func(b *ast.CallExpr) bool { return b.Pos() <= sel.Pos() && sel.End() <= b.End() }
					if !slices.ContainsFunc(bubbles, inside) {
						found = append(found, Finding{t.at(sel), "a sleep is too short on a slow machine and too long on a fast one: use synctest, a channel or a passed now"})
					}
				}
			}
		}
		return found
	},
	Planted: []Source{
		{"internal/term/a_test.go", `import "time"; func f() { time.Sleep(1) }`},
		{"internal/store/storetest/a.go", `import "time"; func f() { time.Sleep(1) }`},
		{"test/e2e/a.go", `import "time"; func f() { time.Sleep(1) }`},
	},
	Clean: []Source{
		{"internal/term/a_test.go", `import ("testing/synctest"; "time"); func f() { synctest.Test(nil, func() { time.Sleep(1) }) }`},
	},
}

// synctestCalls returns the calls of synctest.Test in f, inside which time
// passes by itself.
func synctestCalls(f File) (calls []*ast.CallExpr) {
	local := importName(f, "testing/synctest")
	for n := range ast.Preorder(f.File) {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			continue
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Test" {
			if x, ok := sel.X.(*ast.Ident); ok && local != "" && x.Name == local {
				calls = append(calls, call)
			}
		}
	}
	return calls
}

var noReplace = Rule{
	Name: "go.mod replaces nothing",
	Check: func(t *Tree) (found []Finding) {
		for name, text := range t.GoMods {
			for i, line := range strings.Split(text, "\n") {
				if f := strings.Fields(line); len(f) > 0 && (f[0] == "replace" || strings.HasPrefix(f[0], "replace(")) {
					found = append(found, Finding{fmt.Sprintf("%s:%d", name, i+1), "a replaced module builds here and nowhere else: `go install` ignores or refuses it"})
				}
			}
		}
		return found
	},
	Planted: []Source{
		{"go.mod", "module m\n\nreplace example.com/a => ../a\n"},
		{"go.mod", "module m\n\nreplace (\n\texample.com/a => ../a\n)\n"},
		{"tools/go.mod", "module m\n\n  replace example.com/a v1.0.0 => ../a\n"},
	},
	Clean: []Source{{"go.mod", "module m\n\nrequire example.com/replace v1.0.0 // replace\n"}},
}
