package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan/internal/golden"
)

// tree returns the commands, apart from a run.
func tree() (*session, *bytes.Buffer) {
	var out bytes.Buffer
	return newSession(World{In: strings.NewReader(""), Out: &out, Err: &out}), &out
}

func TestHelpOfEveryCommandIsReviewed(t *testing.T) {
	t.Parallel()
	s, _ := tree()
	var all strings.Builder
	for _, c := range commands(newRoot(s)) {
		run, out := tree()
		root := newRoot(run)
		root.SetArgs(append(strings.Fields(c.CommandPath())[1:], "--help"))
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatalf("%s: %v", c.CommandPath(), err)
		}
		text := out.String()
		if !strings.Contains(text, exitCodes) || !strings.Contains(text, "--json") {
			t.Errorf("the help of %s lacks exit codes or --json", c.CommandPath())
		}
		text = strings.ReplaceAll(text, exitCodes+"\n", "")
		if _, global, ok := strings.Cut(text, "Global Flags:\n"); ok {
			text = strings.ReplaceAll(text, "Global Flags:\n"+global, "")
		}
		all.WriteString("=== " + c.CommandPath() + "\n" + strings.TrimSpace(text) + "\n\n")
	}
	golden.CheckString(t, "help.txt", all.String())
}

func TestManualIsGeneratedFromTheCommands(t *testing.T) {
	t.Parallel()
	s, _ := tree()
	golden.CheckString(t, "../../../docs/cli.md", markdown(newRoot(s)))
}

func TestManPageOfEveryCommandIsWritten(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	d.ok("docs", "man", "man")
	b, err := os.ReadFile(filepath.Join(d.Dir, "man", "capstan-bundle-upload.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".TH CAPSTAN\\-BUNDLE\\-UPLOAD 1", "\\-\\-auto\\-bump", ".SH EXIT STATUS"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the page lacks %q:\n%s", want, b)
		}
	}
}

func TestWrongArgumentsAreInvalidWithAHint(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	d.fails(2, []string{`unknown command "bundel"`, "code invalid"}, "bundel")
	d.fails(2, []string{`capstan bundle has no command "uplaod"`, "try: capstan bundle upload"}, "bundle", "uplaod")
	d.fails(2, []string{"unknown flag: --nope", "try: capstan bundle upload --help"}, "bundle", "upload", "--nope")
	d.fails(2, []string{"accepts"}, "channel", "show")
	r := d.fails(2, nil, "bundle", "upload", "--nope", "--json")
	if f := decode[failed](t, r.out).Error; f.Exit != 2 || f.Code != "invalid" {
		t.Errorf("as JSON: %+v", f)
	}
}

func TestVersionIsPrinted(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	if v := decode[map[string]string](t, d.ok("version", "--json")); v["version"] != Version() {
		t.Errorf("version %v", v)
	}
	if out := d.ok("--version"); out != "capstan "+Version()+"\n" {
		t.Errorf("--version prints %q", out)
	}
	if out := d.ok("-v"); out != "capstan "+Version()+"\n" {
		t.Errorf("-v prints %q", out)
	}
}

func TestCompletionScriptsAreWritten(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out := d.ok("completion", shell); !strings.Contains(out, "capstan") {
			t.Errorf("%s: %q", shell, out)
		}
	}
}
