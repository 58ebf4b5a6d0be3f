package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

func newWhoami(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show server, token and what it may do", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return s.runWhoami(c.Context()) },
	}
}

func (s *session) runWhoami(ctx context.Context) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	who, err := c.Whoami(ctx)
	if err != nil {
		return err
	}
	return s.print(who, func() {
		s.screen.Fields(
			[2]string{"server", c.Server()},
			[2]string{"version", who.Server},
			[2]string{"devices use", who.PublicURL},
			[2]string{"token", who.Token + " (" + who.Name + ")"},
			[2]string{"organisation", who.Org},
			[2]string{"may", strings.Join(who.Scopes, ", ")},
			[2]string{"expires", when(who.ExpiresAt)},
		)
	})
}
