package term

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// screen is a terminal, or a pipe, whose clock moves when told to.
type screen struct {
	Screen
	out, err bytes.Buffer
	now      time.Time
}

func newScreen(tty bool, input string) *screen {
	s := &screen{now: time.Unix(0, 0)}
	s.Screen = Screen{
		In: strings.NewReader(input), Out: &s.out, Err: &s.err, InTTY: tty, OutTTY: tty, ErrTTY: tty, Colour: true,
		Now: func() time.Time { return s.now },
	}
	return s
}

func TestNamesCannotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"a\x1b[2Jb", "a\rb", "a\x9bb", "a\u202eb", "a\x00b", "a\x7fb"} {
		if got := Clean(bad); got == bad || !strings.HasPrefix(got, "a") || !strings.HasSuffix(got, "b") {
			t.Errorf("%q became %q", bad, got)
		}
	}
	for _, good := range []string{"Ünïcode 🚀", "a\tb\nc", "100 %"} {
		if got := Clean(good); got != good {
			t.Errorf("%q became %q", good, got)
		}
	}
	s := newScreen(false, "")
	s.Note("a\x1b[2J%s", "\x1b]0;x")
	s.Warn("\x1b[1m")
	s.Table([]string{"A"}, [][]string{{"\x1b[31mx\ny"}})
	s.Fields([2]string{"name", "\x1b[2J"})
	if text := s.out.String() + s.err.String(); strings.Contains(text, "\x1b") {
		t.Errorf("an escape went through: %q", text)
	}
}

func TestProgressIsDrawnOnATerminalAndVanishes(t *testing.T) {
	t.Parallel()
	s := newScreen(true, "")
	p := s.Progress()
	p.Stage("sending", 2000)
	p.Add(500) // too soon for another line
	s.now = s.now.Add(time.Second)
	p.Add(500)
	p.Stage("checking", 0)
	p.Add(3)
	s.now = s.now.Add(time.Second)
	p.Tail("nearly done")
	p.Finish()
	p.Add(1)
	want := "\rsending   0 % of 2.0 kB\x1b[K" + "\rsending  50 % of 2.0 kB\x1b[K" + "\rchecking\x1b[K" + "\rchecking 3 B, nearly done\x1b[K" + "\r\x1b[K"
	if got := s.err.String(); got != want {
		t.Errorf("drawn\n%q, want\n%q", got, want)
	}
	if s.out.Len() > 0 {
		t.Errorf("progress on Out: %q", s.out.String())
	}
}

func TestProgressIsSilentInAPipeAndWhenQuiet(t *testing.T) {
	t.Parallel()
	pipe, quiet := newScreen(false, ""), newScreen(true, "")
	quiet.Quiet = true
	for _, s := range []*screen{pipe, quiet} {
		p := s.Progress()
		p.Stage("sending", 10)
		p.Add(10)
		p.Tail("x")
		p.Finish()
		s.now = s.now.Add(time.Minute)
		if s.err.Len() > 0 {
			t.Errorf("drawn: %q", s.err.String())
		}
	}
	quiet.Note("x")
	quiet.Warn("y")
	if got := quiet.err.String(); !strings.Contains(got, "y") || strings.Contains(got, "note") {
		t.Errorf("quiet prints %q, want the warning alone", got)
	}
}

func TestColourNeedsATerminalAndConsent(t *testing.T) {
	t.Parallel()
	s := newScreen(true, "")
	if got := s.Paint(Red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("painted %q", got)
	}
	s.Colour = false
	if got := s.PaintErr(Red, "x"); got != "x" {
		t.Errorf("painted %q without consent", got)
	}
	if got := newScreen(false, "").Paint(Red, "x"); got != "x" {
		t.Errorf("painted %q into a pipe", got)
	}
}

func TestColumnsAreAligned(t *testing.T) {
	t.Parallel()
	s := newScreen(false, "")
	s.Table([]string{"NAME", "N"}, [][]string{{"ü", "1"}, {"longer", "22"}, {"short"}})
	if got, want := s.out.String(), "NAME    N\nü       1\nlonger  22\nshort\n"; got != want {
		t.Errorf("table\n%s, want\n%s", got, want)
	}
	s.out.Reset()
	s.Fields([2]string{"a", "1"}, [2]string{"left out", ""}, [2]string{"long", "2\n3"})
	if got, want := s.out.String(), "a     1\nlong  2\n      3\n"; got != want {
		t.Errorf("fields\n%s, want\n%s", got, want)
	}
}

func TestQuestionsNeedSomebodyToAnswer(t *testing.T) {
	t.Parallel()
	s := newScreen(false, "yes\n")
	if _, err := s.Yes("Sure?"); !errors.Is(err, ErrNobody) {
		t.Errorf("a pipe was asked: %v", err)
	}
	if _, err := s.Choose("Which", []string{"a"}, 0); !errors.Is(err, ErrNobody) {
		t.Errorf("a pipe was asked to choose: %v", err)
	}
	if _, err := s.Secret("Token"); !errors.Is(err, ErrNobody) {
		t.Errorf("a pipe was asked for a secret: %v", err)
	}
	if s.err.Len() > 0 {
		t.Errorf("a question was printed into a pipe: %q", s.err.String())
	}
	if _, err := newScreen(true, "").Ask("Name", "x"); !errors.Is(err, ErrNobody) {
		t.Errorf("a closed terminal answered: %v", err)
	}
}

func TestAnswersAreUnderstood(t *testing.T) {
	t.Parallel()
	s := newScreen(true, "y\nno\n\n2\nbeta\n7\n1\n\nname\n\nsecret\n")
	for i, want := range []bool{true, false, false} {
		if got, err := s.Yes("Sure?"); got != want || err != nil {
			t.Errorf("answer %d: %v, %v", i, got, err)
		}
	}
	choices := []string{"alpha  first", "beta  second"}
	for i, want := range []int{1, 1, 0, 1} { // 2, beta, 7 then 1, nothing
		if got, err := s.Choose("Which", choices, 1); got != want || err != nil {
			t.Errorf("choice %d: %d, %v", i, got, err)
		}
	}
	for i, want := range []string{"name", "preset"} {
		if got, err := s.Ask("Name", "preset"); got != want || err != nil {
			t.Errorf("text %d: %q, %v", i, got, err)
		}
	}
	if got, err := s.Secret("Token"); got != "secret" || err != nil {
		t.Errorf("secret %q, %v", got, err)
	}
	if strings.Contains(s.err.String(), "secret") {
		t.Error("the secret was shown")
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		Bytes(0): "0 B", Bytes(-1): "0 B", Bytes(48_000): "48 kB", Bytes(1_200_000): "1.2 MB",
		Count(1, "file"): "1 file", Count(0, "file"): "0 files", Count(int64(20_000), "file"): "20,000 files",
	}
	for got, want := range tests {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
