package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/term"
)

// failure is an error as --json prints it.
type failure struct {
	Code    capstan.Code `json:"code"`
	Message string       `json:"message"`
	Field   string       `json:"field,omitempty"`
	Details []string     `json:"details,omitempty"`
	Hints   []string     `json:"hints,omitempty"`
	Number  int64        `json:"number,omitzero"`
	Request string       `json:"request,omitempty"`
	Exit    int          `json:"exit"`
}

// usage gives the errors of the argument parser the code invalid; every other
// error passes through.
func usage(err error) error {
	if _, ok := errors.AsType[*capstan.Error](err); ok {
		return err
	}
	text := err.Error()
	for _, start := range []string{"unknown command", "unknown flag", "unknown shorthand", "flag needs", "invalid argument", "accepts ", "requires ", "required flag", "if any flags"} {
		if strings.HasPrefix(text, start) {
			return capstan.Errorf(capstan.CodeInvalid, "%s", strings.TrimSpace(text)).Hint("capstan --help")
		}
	}
	return err
}

func newFailure(err error) failure {
	if errors.Is(err, context.Canceled) {
		err = capstan.Errorf(capstan.CodeInterrupted, "stopped before it was done; nothing half-done is visible").
			Hint("run the same command again: what was sent is not sent twice")
	}
	f := failure{Code: capstan.CodeInternal, Message: err.Error()}
	if e, ok := errors.AsType[*capstan.Error](err); ok {
		f.Code, f.Field, f.Details, f.Hints, f.Number, f.Request = e.Code, e.Field, e.Details, e.Hints, e.Number, e.Request
	}
	f.Exit = f.Code.Entry().Exit
	return f
}

// fail tells people on stderr, and with --json programs on stdout, what went
// wrong, and returns the exit code.
func (s *session) fail(err error) int {
	f := newFailure(err)
	s.explain(f)
	if s.json {
		if err := s.printJSON(map[string]failure{"error": f}); err != nil {
			fmt.Fprintln(s.Err, "error:", err)
		}
	}
	return f.Exit
}

func (s *session) explain(f failure) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", s.screen.PaintErr(term.Red, "error:"), term.Clean(f.Message))
	const most = 20
	for i, d := range f.Details {
		if i == most && !s.json {
			fmt.Fprintf(&b, "  and %d more (see all with --json)\n", len(f.Details)-most)
			break
		}
		fmt.Fprintf(&b, "  %s\n", term.Clean(d))
	}
	facts := "code " + string(f.Code)
	if f.Field != "" {
		facts += ", at " + term.Clean(f.Field)
	}
	if f.Request != "" {
		facts += ", request " + term.Clean(f.Request)
	}
	fmt.Fprintf(&b, "%s\n", s.screen.PaintErr(term.Dim, facts))
	hints := f.Hints
	if len(hints) == 0 {
		hints = []string{f.Code.Entry().Fix}
	}
	for _, h := range hints {
		fmt.Fprintf(&b, "try: %s\n", term.Clean(h))
	}
	fmt.Fprint(s.Err, b.String())
}
