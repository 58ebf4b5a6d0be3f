package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/internal/term"
)

func newBundleDelete(s *session) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "delete VERSION [appId]", Aliases: []string{"d"}, Short: "Give the bytes of a bundle up",
		Long: `Marks a bundle as gone: its bytes are collected, its record and its version stay. The same
content can be uploaded again under the same version, other content cannot. A bundle that a channel
serves is refused. Deleting a bundle is no rollback: devices that run it keep it.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runBundleDelete(c.Context(), args[0], arg(args, 1), yes)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func (s *session) runBundleDelete(ctx context.Context, version, app string, yes bool) error {
	app, err := s.appID(ctx, app)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	b, err := c.Bundle(ctx, app, version)
	if err != nil {
		return err
	}
	if err := s.confirm(yes, "give up the bytes of "+version+" of "+app); err != nil {
		return err
	}
	if err := c.DeleteBundle(ctx, app, version, b.Number); err != nil {
		return err
	}
	return s.print(map[string]any{"deleted": version}, func() {
		s.screen.Printf("Deleted %s. Its version stays taken.\n", term.Clean(version))
	})
}
