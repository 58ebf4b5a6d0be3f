package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/term"
)

type bundleList struct {
	all   bool
	limit int
}

func newBundleList(s *session) *cobra.Command {
	var o bundleList
	c := &cobra.Command{
		Use: "list [appId]", Aliases: []string{"l"}, Short: "List bundles, the newest first", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return s.runBundleList(c.Context(), o, arg(args, 0)) },
	}
	c.Flags().BoolVar(&o.all, "all", false, "also those whose bytes are gone")
	c.Flags().IntVar(&o.limit, "limit", 50, "how many to show, at most 500")
	return c
}

func (s *session) runBundleList(ctx context.Context, o bundleList, app string) error {
	app, err := s.appID(ctx, app)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	bundles, next, err := c.Bundles(ctx, app, o.all, client.Page{Limit: o.limit})
	if err != nil {
		return err
	}
	return s.print(struct {
		Bundles []client.Bundle `json:"bundles"`
		More    bool            `json:"more"`
	}{bundles, next != ""}, func() {
		rows := make([][]string, len(bundles))
		for i, b := range bundles {
			rows[i] = []string{
				b.Version, string(b.State), strconv.Itoa(b.Files), term.Bytes(b.Bytes), term.Bytes(b.ArchiveBytes),
				dash(strings.Join(b.Channels, ",")), when(b.CreatedAt),
			}
		}
		s.screen.Table([]string{"VERSION", "STATE", "FILES", "SIZE", "ZIP", "CHANNELS", "AT"}, rows)
		if next != "" {
			s.screen.Note("there are older ones: --limit")
		}
	})
}

// nativeMin lists the lowest native versions of a bundle.
func nativeMin(m map[capstan.Platform]string) string {
	var parts []string
	for _, p := range capstan.Platforms {
		if v := m[p]; v != "" {
			parts = append(parts, string(p)+" "+v)
		}
	}
	return strings.Join(parts, ", ")
}
