package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/term"
)

type channelAdd struct {
	asDefault  bool
	selfAssign bool
}

func newChannelAdd(s *session) *cobra.Command {
	var o channelAdd
	c := &cobra.Command{
		Use: "add NAME [appId]", Aliases: []string{"create", "a"}, Short: "Add a channel",
		Long: `Adds a channel that serves every platform, production and development builds, devices and
emulators, with the policy "major". With --default, devices that name no channel come here.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runChannelAdd(c.Context(), o, args[0], arg(args, 1))
		},
	}
	c.Flags().BoolVarP(&o.asDefault, "default", "d", false, "make it the default of every platform")
	c.Flags().BoolVar(&o.selfAssign, "self-assign", false, "let devices choose it")
	return c
}

func (s *session) runChannelAdd(ctx context.Context, o channelAdd, name, app string) error {
	if err := capstan.ValidateChannelName(name); err != nil {
		return err
	}
	app, err := s.appID(ctx, app)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	in := client.NewChannel{Name: name}
	if o.asDefault {
		all := capstan.AllPlatforms.List()
		in.Default = &all
	}
	if o.selfAssign {
		in.SelfAssign = &o.selfAssign
	}
	made, err := c.CreateChannel(ctx, app, in)
	if err != nil {
		return err
	}
	return s.print(made, func() {
		s.screen.Printf("Added channel %s: %s.\n", term.Clean(made.Name), reach(made.Channel))
		s.printMoved(made)
	})
}

// printMoved says how many devices a moved default mark reaches.
func (s *session) printMoved(c client.ChannelChanged) {
	for _, m := range c.Moved {
		if m.From == "" {
			continue
		}
		s.screen.Printf("The default of %s moved from %s; %s that name %s now get %s.\n",
			m.Platform, term.Clean(m.From), term.Count(m.Devices, "device"), term.Clean(m.From), term.Clean(c.Name))
	}
}

// reach says which devices a channel serves, in a few words.
func reach(c client.Channel) string {
	var parts []string
	if len(c.Default) > 0 {
		parts = append(parts, "default of "+platforms(c.Default))
	} else {
		parts = append(parts, "default of no platform, only for devices that name it")
	}
	if len(c.Platforms) < len(capstan.Platforms) {
		parts = append(parts, "serves "+platforms(c.Platforms))
	}
	if c.SelfAssign {
		parts = append(parts, "devices may choose it")
	}
	return strings.Join(parts, ", ")
}

func platforms(list []capstan.Platform) string {
	if len(list) == 0 {
		return "no platform"
	}
	return strings.ReplaceAll(joined(list), ",", ", ")
}
