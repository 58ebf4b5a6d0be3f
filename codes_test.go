package capstan

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the generated pages")

// declared returns the string constants of the given type in a file, so that
// no code or reason can be forgotten in its table.
func declared(t *testing.T, file, typ string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if id, ok := v.Type.(*ast.Ident); ok && id.Name == typ {
				s, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				out = append(out, s)
			}
		}
	}
	if len(out) < 20 {
		t.Fatalf("found %d constants of type %s in %s, expected at least 20", len(out), typ, file)
	}
	return out
}

func TestEveryCodeIsInTheTableOnce(t *testing.T) {
	t.Parallel()
	rows := map[string]int{}
	for _, e := range Codes {
		rows[string(e.Code)]++
		if e.Exit == 0 || e.Means == "" || e.Fix == "" {
			t.Errorf("code %s lacks exit code, meaning or fix", e.Code)
		}
	}
	for _, c := range declared(t, "error.go", "Code") {
		if rows[c] != 1 {
			t.Errorf("code %s is %d times in the table", c, rows[c])
		}
	}
}

func TestEveryReasonIsInTheTableOnce(t *testing.T) {
	t.Parallel()
	rows := map[string]int{}
	for _, e := range Reasons {
		rows[string(e.Reason)]++
		if e.Means == "" || (e.Outcome == Failed || e.Outcome == Blocked) && e.Fix == "" {
			t.Errorf("reason %s lacks a meaning or a fix", e.Reason)
		}
	}
	for _, r := range declared(t, "reason.go", "Reason") {
		if rows[r] != 1 {
			t.Errorf("reason %s is %d times in the table", r, rows[r])
		}
	}
}

func TestErrorCarriesCauseAndCode(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk on fire")
	err := fmt.Errorf("publish: %w", Errorf(CodeStorageFull, "store blob: %w", cause).On("archive").Hint("free space"))
	if !errors.Is(err, cause) || CodeOf(err) != CodeStorageFull {
		t.Errorf("chain of %v is broken", err)
	}
	if CodeOf(cause) != CodeInternal || CodeOf(nil) != "" || Code("nonsense").Entry().Code != CodeInternal {
		t.Error("errors without a code must count as internal")
	}
}

func TestErrorPageIsCurrent(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Errors\n\nGenerated from the table in `error.go` by `go test . -update`; do not edit.\n\n" +
		"Every error of the API and of the command line carries one of these codes. HTTP is the status on `/v1`,\n" +
		"exit the exit code of the command line; codes without a status are raised by the command line alone.\n")
	for _, e := range Codes {
		status := "–"
		if e.Status != 0 {
			status = strconv.Itoa(e.Status)
		}
		fmt.Fprintf(&b, "\n## %s\n\nHTTP %s, exit %d. %s\n\n%s\n", e.Code, status, e.Exit, e.Means, e.Fix)
	}
	page(t, "docs/errors.md", b.String())
}

func TestReasonPageIsCurrent(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Reasons\n\nGenerated from the table in `reason.go` by `go test . -update`; do not edit.\n\n" +
		"Every decision about a device has one of these reasons. `capstan why DEVICE` shows it together with every\n" +
		"gate that was passed. What the device itself is told is in [protocol.md](protocol.md).\n")
	for _, e := range Reasons {
		fmt.Fprintf(&b, "\n## %s\n\nOutcome: %s. %s\n", e.Reason, e.Outcome, e.Means)
		if e.Fix != "" {
			fmt.Fprintf(&b, "\n%s\n", e.Fix)
		}
	}
	page(t, "docs/reasons.md", b.String())
}

func page(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("%s is not current (%v): run go test . -update and look at the difference", file, err)
	}
}
