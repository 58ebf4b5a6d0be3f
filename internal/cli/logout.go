package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func newLogout(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Forget the token of a server",
		Long: "Removes the token of the server from the login file. The token itself stays valid on the server.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return s.runLogout(c.Context()) },
	}
}

func (s *session) runLogout(ctx context.Context) error {
	server, err := s.server(ctx)
	if err != nil {
		return err
	}
	l, err := s.readLogin()
	if err != nil {
		return err
	}
	_, known := l.Servers[server]
	if known {
		delete(l.Servers, server)
		if l.Current == server {
			l.Current = ""
		}
		if err := s.writeLogin(l); err != nil {
			return err
		}
	}
	return s.print(map[string]any{"server": server, "removed": known}, func() {
		if known {
			s.screen.Printf("The token of %s was removed from %s.\n", server, s.loginPath())
		} else {
			s.screen.Printf("There was no token of %s in %s.\n", server, s.loginPath())
		}
	})
}
