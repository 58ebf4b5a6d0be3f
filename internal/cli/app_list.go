package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/client"
)

func newAppList(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"l"}, Short: "List the apps that the token may see", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return s.runAppList(c.Context()) },
	}
}

func (s *session) runAppList(ctx context.Context) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	apps, err := c.Apps(ctx)
	if err != nil {
		return err
	}
	return s.print(struct {
		Apps []client.App `json:"apps"`
	}{apps}, func() {
		rows := make([][]string, len(apps))
		for i, a := range apps {
			rows[i] = []string{a.ID, a.Name, when(a.CreatedAt)}
		}
		s.screen.Table([]string{"APP", "NAME", "SINCE"}, rows)
	})
}
