package term

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// ErrNobody is returned by questions when there is nobody to answer them.
var ErrNobody = errors.New("nobody is there to ask")

// reader keeps one buffer for all questions: a second one would lose what the
// first had read ahead.
func (s *Screen) reader() *bufio.Reader {
	if s.buffered == nil {
		s.buffered = bufio.NewReader(s.In)
	}
	return s.buffered
}

func (s *Screen) line() (string, error) {
	text, err := s.reader().ReadString('\n')
	if err != nil && (err != io.EOF || text == "") {
		return "", ErrNobody
	}
	return strings.TrimSpace(text), nil
}

// Ask puts a question and returns the line that was typed, or fallback for an
// empty one.
func (s *Screen) Ask(question, fallback string) (string, error) {
	if !s.Interactive() {
		return "", ErrNobody
	}
	hint := ""
	if fallback != "" {
		hint = " [" + fallback + "]"
	}
	fmt.Fprintf(s.Err, "%s%s: ", Clean(question), Clean(hint))
	text, err := s.line()
	if err == nil && text == "" {
		text = fallback
	}
	return text, err
}

// Secret asks for a line that is not shown while it is typed.
func (s *Screen) Secret(question string) (string, error) {
	if !s.Interactive() {
		return "", ErrNobody
	}
	fmt.Fprintf(s.Err, "%s: ", Clean(question))
	defer fmt.Fprintln(s.Err)
	f, ok := s.In.(*os.File)
	if !ok {
		return s.line()
	}
	b, err := term.ReadPassword(int(f.Fd()))
	if err != nil {
		return "", ErrNobody
	}
	return strings.TrimSpace(string(b)), nil
}

// Yes asks a question that is answered with y or n; an empty answer is no.
func (s *Screen) Yes(question string) (bool, error) {
	text, err := s.Ask(question+" (y/N)", "")
	if err != nil {
		return false, err
	}
	switch strings.ToLower(text) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// Choose lists choices and returns the index of the one that was named, by
// number or by its first word. fallback is taken for an empty answer, -1 for
// none. A wrong answer is asked for again.
func (s *Screen) Choose(question string, choices []string, fallback int) (int, error) {
	if !s.Interactive() {
		return 0, ErrNobody
	}
	for i, c := range choices {
		fmt.Fprintf(s.Err, "  %d  %s\n", i+1, Clean(c))
	}
	preset := ""
	if fallback >= 0 {
		preset = strconv.Itoa(fallback + 1)
	}
	for {
		text, err := s.Ask(question, preset)
		if err != nil {
			return 0, err
		}
		if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(choices) {
			return n - 1, nil
		}
		for i, c := range choices {
			if first, _, _ := strings.Cut(c, " "); text != "" && first == text {
				return i, nil
			}
		}
		fmt.Fprintf(s.Err, "give a number from 1 to %d\n", len(choices))
	}
}
