package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
)

func newChannelList(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "list [appId]", Aliases: []string{"l"}, Short: "List the channels of an app", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return s.runChannelList(c.Context(), arg(args, 0)) },
	}
}

func (s *session) runChannelList(ctx context.Context, app string) error {
	app, err := s.appID(ctx, app)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	channels, err := c.Channels(ctx, app)
	if err != nil {
		return err
	}
	return s.print(struct {
		Channels []client.Channel `json:"channels"`
	}{channels}, func() { s.channelTable(channels) })
}

func (s *session) channelTable(channels []client.Channel) {
	rows := make([][]string, len(channels))
	for i, c := range channels {
		rows[i] = []string{c.Name, serving(c), dash(joined(c.Default)), dash(joined(c.Platforms)), string(c.Policy), rules(c.Rules)}
	}
	s.screen.Table([]string{"CHANNEL", "SERVES", "DEFAULT OF", "PLATFORMS", "POLICY", "RULES"}, rows)
}

// serving names the newest live release of a channel.
func serving(c client.Channel) string {
	if len(c.Live) == 0 {
		return "-"
	}
	text := fmt.Sprintf("%s (%d)", releaseName(c.Live[0]), c.Live[0].Number)
	if more := len(c.Live) - 1; more > 0 {
		text += fmt.Sprintf(" and %d older", more)
	}
	return text
}

// releaseName is what a release carries.
func releaseName(r client.Release) string {
	if r.Builtin || r.Version == "" {
		return "built-in"
	}
	return r.Version
}

func joined(list []capstan.Platform) string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = string(p)
	}
	return strings.Join(names, ",")
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// rules names what of a channel's rules differs from a usual one.
func rules(r client.Rules) string {
	var out []string
	add := func(is bool, word string) {
		if is {
			out = append(out, word)
		}
	}
	add(r.SelfAssign, "self-assign")
	add(r.UnderNative, "downgrade")
	add(!r.Prod, "no-prod")
	add(!r.Dev, "no-dev")
	add(!r.Device, "no-device")
	add(!r.Emulator, "no-emulator")
	slices.Sort(out)
	if len(out) == 0 {
		return "usual"
	}
	return strings.Join(out, " ")
}
