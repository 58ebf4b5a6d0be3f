package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/client"
)

func newAppShow(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "show [appId]", Short: "Show an app and its channels", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return s.runAppShow(c.Context(), arg(args, 0)) },
	}
}

func (s *session) runAppShow(ctx context.Context, id string) error {
	id, err := s.appID(ctx, id)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	app, err := c.App(ctx, id)
	if err != nil {
		return err
	}
	channels, err := c.Channels(ctx, id)
	if err != nil {
		return err
	}
	return s.print(struct {
		client.App
		Channels []client.Channel `json:"channels"`
	}{app, channels}, func() {
		s.screen.Fields(
			[2]string{"app", app.ID},
			[2]string{"name", app.Name},
			[2]string{"since", when(app.CreatedAt)},
			[2]string{"self-set", onOff(app.SelfSet)},
			[2]string{"metadata", onOff(app.ExposeMetadata)},
		)
		s.screen.Printf("\n")
		s.channelTable(channels)
	})
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}
