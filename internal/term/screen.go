package term

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/mattn/go-isatty"
)

// Screen is where a command talks to people. It is used by one goroutine, but
// for [Progress].
type Screen struct {
	In       io.Reader
	Out, Err io.Writer

	// What is a terminal. A command asks only when In and Err are.
	InTTY, OutTTY, ErrTTY bool

	Colour bool             // on Out and Err, where they are terminals
	Quiet  bool             // no progress and no notes
	Now    func() time.Time // paces the progress line

	buffered *bufio.Reader // of In, made by the first question
}

// IsTerminal reports whether x is a file on a terminal.
func IsTerminal(x any) bool {
	f, ok := x.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}

// Interactive reports whether somebody is there to answer a question.
func (s *Screen) Interactive() bool { return s.InTTY && s.ErrTTY }

// Style is a look of text.
type Style string

const (
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
)

// Paint returns text in a style for Out; plain text where Out is no terminal.
func (s *Screen) Paint(style Style, text string) string { return s.paint(s.OutTTY, style, text) }

// PaintErr is [Screen.Paint] for Err.
func (s *Screen) PaintErr(style Style, text string) string { return s.paint(s.ErrTTY, style, text) }

func (s *Screen) paint(tty bool, style Style, text string) string {
	if !tty || !s.Colour || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}

// Printf writes to Out. Arguments that came from elsewhere go through [Clean].
func (s *Screen) Printf(format string, args ...any) { fmt.Fprintf(s.Out, format, args...) }

// Note tells something that people may want to know, on Err.
func (s *Screen) Note(format string, args ...any) {
	if !s.Quiet {
		fmt.Fprintf(s.Err, "%s %s\n", s.PaintErr(Dim, "note:"), Clean(fmt.Sprintf(format, args...)))
	}
}

// Warn tells something that people should act on, on Err, even when Quiet.
func (s *Screen) Warn(format string, args ...any) {
	fmt.Fprintf(s.Err, "%s %s\n", s.PaintErr(Yellow, "warning:"), Clean(fmt.Sprintf(format, args...)))
}

// Clean replaces what could steer a terminal: control characters, and the
// marks that turn the direction of writing.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return '\uFFFD'
		}
		return r
	}, text)
}
