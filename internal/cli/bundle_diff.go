package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/internal/term"
)

func newBundleDiff(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "diff FROM TO [appId]", Short: "Show what a device on one version downloads to reach another", Args: cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runBundleDiff(c.Context(), args[0], args[1], arg(args, 2))
		},
	}
}

func (s *session) runBundleDiff(ctx context.Context, from, to, app string) error {
	app, err := s.appID(ctx, app)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	d, err := c.BundleDiff(ctx, app, from, to)
	if err != nil {
		return err
	}
	return s.print(d, func() {
		for _, f := range d.Added {
			s.screen.Printf("%s %s (%s)\n", s.screen.Paint(term.Green, "added  "), term.Clean(f.Path), term.Bytes(f.BlobBytes))
		}
		for _, f := range d.Changed {
			s.screen.Printf("%s %s (%s)\n", s.screen.Paint(term.Yellow, "changed"), term.Clean(f.Path), term.Bytes(f.BlobBytes))
		}
		for _, path := range d.Removed {
			s.screen.Printf("%s %s\n", s.screen.Paint(term.Red, "removed"), term.Clean(path))
		}
		s.screen.Printf("A phone on %s downloads %s, %s, to reach %s (the zip has %s); it keeps %s.\n",
			term.Clean(d.From), term.Count(len(slices.Concat(d.Added, d.Changed)), "file"), term.Bytes(d.Bytes), term.Clean(d.To),
			term.Bytes(d.ZipBytes), term.Count(d.Unchanged, "file"))
	})
}
