package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/term"
)

type channelDelete struct {
	yes       bool
	missingOK bool
}

func newChannelDelete(s *session) *cobra.Command {
	var o channelDelete
	c := &cobra.Command{
		Use: "delete NAME [appId]", Aliases: []string{"d"}, Short: "Delete a channel",
		Long: "Deletes a channel and its releases. A channel that is the default of a platform is refused: give the mark to another one first.",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runChannelDelete(c.Context(), o, args[0], arg(args, 1))
		},
	}
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&o.missingOK, "success-if-not-found", false, "do not fail when there is no such channel")
	return c
}

func (s *session) runChannelDelete(ctx context.Context, o channelDelete, name, app string) error {
	app, err := s.appID(ctx, app)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	ch, err := c.Channel(ctx, app, name)
	if capstan.CodeOf(err) == capstan.CodeChannelNotFound && o.missingOK {
		return s.print(map[string]any{"deleted": nil}, func() { s.screen.Printf("There is no channel %s.\n", term.Clean(name)) })
	}
	if err != nil {
		return err
	}
	if err := s.confirm(o.yes, "delete channel "+name+" of "+app); err != nil {
		return err
	}
	if err := c.DeleteChannel(ctx, app, name, ch.Number); err != nil {
		return err
	}
	return s.print(map[string]any{"deleted": name}, func() { s.screen.Printf("Deleted channel %s.\n", term.Clean(name)) })
}
