package cli

import (
	"bufio"
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/term"
)

func newLogin(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "login [token]", Aliases: []string{"l"}, Short: "Remember a server and its token",
		Long: `Checks a token against the server and keeps both in the login file
($XDG_CONFIG_HOME/capstan/login.json, mode 0600). The token is asked for on a terminal, else
read from --token-file, CAPSTAN_TOKEN or standard input.`,
		Example: `  capstan login --server https://updates.example.com
  capstan login --server http://127.0.0.1:8080 --token-file data/admin-token`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return s.runLogin(c.Context(), arg(args, 0)) },
	}
}

// loggedIn is the result of login.
type loggedIn struct {
	Address string `json:"address"`
	File    string `json:"file"`
	client.Whoami
}

func (s *session) runLogin(ctx context.Context, typed string) error {
	if typed != "" {
		s.apikey = typed
	}
	server, err := s.server(ctx)
	if capstan.CodeOf(err) == capstan.CodeNoServer && s.screen.Interactive() {
		if server, err = s.screen.Ask("Server", ""); err == nil {
			server, err = serverAddress(server, "the answer")
		}
	}
	if err != nil {
		return err
	}
	token, err := s.loginToken(server)
	if err != nil {
		return err
	}
	s.warnCleartext(server)
	c, err := s.newClient(server, token)
	if err != nil {
		return err
	}
	who, err := c.Whoami(ctx)
	if err != nil {
		return err
	}
	l, err := s.readLogin()
	if err != nil {
		return err
	}
	l.Current, l.Servers[server] = server, loginData{Token: token}
	if err := s.writeLogin(l); err != nil {
		return err
	}
	return s.print(loggedIn{server, s.loginPath(), who}, func() {
		s.screen.Printf("Logged in at %s with token %s (%s). Kept in %s.\n", term.Clean(server), term.Clean(who.Token), term.Clean(who.Name), s.loginPath())
	})
}

// loginToken takes a given token, else asks for one, else reads one line.
func (s *session) loginToken(server string) (string, error) {
	switch {
	case s.apikey != "", s.tokenFile != "", s.env("CAPSTAN_TOKEN") != "":
		return s.token(server)
	case s.screen.Interactive():
		text, err := s.screen.Secret("Token of " + server)
		if err != nil {
			return "", err
		}
		return checkToken(text, "the answer")
	}
	line, err := bufio.NewReader(s.In).ReadString('\n')
	if strings.TrimSpace(line) == "" {
		if err != nil && errors.Is(err, context.Canceled) {
			return "", err
		}
		return "", s.noToken(server)
	}
	return checkToken(line, "standard input")
}
