package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/client"
)

func newChannelShow(s *session) *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "show NAME [appId]", Short: "Show a channel, its rules and its releases", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runChannelShow(c.Context(), args[0], arg(args, 1), limit)
		},
	}
	c.Flags().IntVar(&limit, "limit", 10, "how many releases to show, at most 500")
	return c
}

func (s *session) runChannelShow(ctx context.Context, name, app string, limit int) error {
	app, err := s.appID(ctx, app)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	ch, err := c.Channel(ctx, app, name)
	if err != nil {
		return err
	}
	releases, next, err := c.Releases(ctx, app, name, client.Page{Limit: limit})
	if err != nil {
		return err
	}
	return s.print(struct {
		client.Channel
		Releases []client.Release `json:"releases"`
		More     bool             `json:"more"`
	}{ch, releases, next != ""}, func() {
		s.screen.Fields(
			[2]string{"channel", ch.Name},
			[2]string{"serves", serving(ch)},
			[2]string{"default of", platforms(ch.Default)},
			[2]string{"once default of", joined(ch.FormerDefault)},
			[2]string{"platforms", platforms(ch.Platforms)},
			[2]string{"policy", string(ch.Policy)},
			[2]string{"rules", rules(ch.Rules)},
			[2]string{"number", strconv.FormatInt(ch.Number, 10)},
		)
		s.screen.Printf("\n")
		s.releaseTable(releases, next != "")
	})
}

func (s *session) releaseTable(releases []client.Release, more bool) {
	rows := make([][]string, len(releases))
	for i, r := range releases {
		rows[i] = []string{strconv.FormatInt(r.Number, 10), releaseName(r), releaseState(r), when(r.At), r.By}
	}
	s.screen.Table([]string{"RELEASE", "VERSION", "STATE", "AT", "BY"}, rows)
	if more {
		s.screen.Note("there are older ones: --limit")
	}
}

func releaseState(r client.Release) string {
	switch {
	case r.EndReason != "":
		return string(r.EndReason)
	case r.Paused:
		return "paused"
	case r.Live:
		return "live"
	}
	return "superseded"
}
