package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/internal/term"
)

func newAppDelete(s *session) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "delete [appId]", Aliases: []string{"d"}, Short: "Delete an app with everything of it",
		Long: "Deletes an app, its channels, bundles, releases and devices. Devices of the app keep what they run and are told that the app is unknown.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return s.runAppDelete(c.Context(), arg(args, 0), yes) },
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func (s *session) runAppDelete(ctx context.Context, id string, yes bool) error {
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
	if err := s.confirm(yes, "delete app "+id+" with all its channels, bundles and devices"); err != nil {
		return err
	}
	if err := c.DeleteApp(ctx, id, app.Number); err != nil {
		return err
	}
	return s.print(map[string]any{"deleted": id}, func() { s.screen.Printf("Deleted %s.\n", term.Clean(id)) })
}
