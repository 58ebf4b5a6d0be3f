package cli

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/term"
)

// session is one run of one command: its world, its screen and the flags that
// every command has.
type session struct {
	World
	screen *term.Screen

	json       bool
	quiet      bool
	serverFlag string
	tokenFile  string
	apikey     string
	chdir      string
	configFlag string

	config    *config       // read at most once
	evalLimit time.Duration // for a config that is evaluated
}

func newSession(w World) *session {
	return &session{World: w, evalLimit: evalLimit, screen: &term.Screen{
		In: w.In, Out: w.Out, Err: w.Err, InTTY: w.InTTY, OutTTY: w.OutTTY, ErrTTY: w.ErrTTY,
		Colour: w.env("NO_COLOR") == "" && w.env("TERM") != "dumb", Now: w.Now,
	}}
}

// start applies the flags that every command has.
func (s *session) start() error {
	s.screen.Quiet = s.quiet
	if s.chdir != "" {
		s.Dir = s.path(s.chdir)
	}
	if s.tokenFile != "" && s.apikey != "" {
		return capstan.Errorf(capstan.CodeInvalid, "give the token by --token-file or by --apikey, not by both").On("token-file")
	}
	return nil
}

// print writes the result of a command: as JSON, or as human does.
func (s *session) print(result any, human func()) error {
	if !s.json {
		human()
		return nil
	}
	return s.printJSON(result)
}

func (s *session) printJSON(v any) error {
	// The simulator counts in durations; its fields are named for nanoseconds.
	nanoseconds := json.WithMarshalers(json.MarshalToFunc(func(e *jsontext.Encoder, d time.Duration) error {
		return e.WriteToken(jsontext.Int(d.Nanoseconds()))
	}))
	b, err := json.Marshal(v, jsontext.Multiline(true), jsontext.WithIndent("  "), json.Deterministic(true), nanoseconds)
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	s.screen.Printf("%s\n", b)
	return nil
}

// confirm asks before something is destroyed. yes is the flag --yes.
func (s *session) confirm(yes bool, what string) error {
	if yes {
		return nil
	}
	ok, err := s.screen.Yes(what + "?")
	switch {
	case errors.Is(err, term.ErrNobody):
		return capstan.Errorf(capstan.CodeConfirm, "%s: nobody is there to confirm it, nothing was changed", what).Hint("repeat the command with --yes")
	case err != nil:
		return err
	case !ok:
		return capstan.Errorf(capstan.CodeConfirm, "%s: not confirmed, nothing was changed", what)
	}
	return nil
}

// when writes a time for people, in their zone; "" for none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}
