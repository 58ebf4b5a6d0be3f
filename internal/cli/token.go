package cli

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
)

// token finds the token for a server, in this order: --apikey, --token-file,
// CAPSTAN_TOKEN, the login file. Only a text that has the form of our tokens is
// ever returned, and so sent.
func (s *session) token(server string) (string, error) {
	text, from, err := s.findToken(server)
	if err != nil {
		return "", err
	}
	if text == "" {
		return "", s.noToken(server)
	}
	return checkToken(text, from)
}

func (s *session) findToken(server string) (text, from string, err error) {
	switch {
	case s.apikey != "":
		s.screen.Warn("a token on the command line can be read by every user of this machine and stays in the shell's history: use --token-file, CAPSTAN_TOKEN or capstan login")
		return s.apikey, "--apikey", nil
	case s.tokenFile != "":
		b, err := readSecretFile(s.path(s.tokenFile))
		if err != nil {
			if _, ok := errors.AsType[*fs.PathError](err); ok {
				err = capstan.Errorf(capstan.CodeUnauthorized, "the token file cannot be read: %w", err).On("token-file")
			}
			return "", "", err
		}
		if strings.TrimSpace(string(b)) == "" {
			return "", "", capstan.Errorf(capstan.CodeUnauthorized, "the token file %s is empty", s.tokenFile).On("token-file")
		}
		return string(b), s.tokenFile, nil
	case s.env("CAPSTAN_TOKEN") != "":
		return s.env("CAPSTAN_TOKEN"), "CAPSTAN_TOKEN", nil
	}
	l, err := s.readLogin()
	return l.Servers[server].Token, "the login file", err
}

// checkToken refuses what is not one of our tokens. It never repeats the text.
func checkToken(text, from string) (string, error) {
	text = strings.TrimSpace(text)
	if isUUID(text) {
		return "", foreign(from)
	}
	if _, err := auth.ParseToken(text); err != nil {
		if e, ok := errors.AsType[*capstan.Error](err); ok {
			e.Message = "the token of " + from + ": " + e.Message
			return "", e.On("token")
		}
		return "", err
	}
	return text, nil
}

func foreign(from string) error {
	return capstan.Errorf(capstan.CodeForeignToken, "the token of %s has the form of a Capgo key; it is never sent to another server", from).On("token").
		Hint("capstan login, with a token of your own server")
}

// noToken says what was looked at, and names a token of Capgo if one lies
// around: people who come from there expect it to work.
func (s *session) noToken(server string) error {
	for _, where := range s.capgoTokens() {
		return capstan.Errorf(capstan.CodeForeignToken, "there is no token for %s; the one in %s belongs to Capgo and is never sent to another server", server, where).
			On("token").Hint("capstan login --server " + server)
	}
	return capstan.Errorf(capstan.CodeUnauthorized, "there is no token for %s: no --token-file, no CAPSTAN_TOKEN, and nothing in the login file", server).
		On("token").Hint("capstan login --server " + server)
}

// capgoTokens lists where a token of Capgo is kept.
func (s *session) capgoTokens() (where []string) {
	if s.env("CAPGO_TOKEN") != "" {
		where = append(where, "CAPGO_TOKEN")
	}
	for _, dir := range []string{s.home(), s.Dir} {
		if dir != "" && exists(filepath.Join(dir, ".capgo")) {
			where = append(where, filepath.Join(dir, ".capgo"))
		}
	}
	return where
}

// isUUID knows the form of Capgo's keys.
func isUUID(text string) bool {
	_, ok := capstan.ParseDeviceID(text)
	return ok
}
