package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/term"
)

type channelSet struct {
	state      string
	policy     string
	bundle     string
	ios        toggle
	android    toggle
	electron   toggle
	selfAssign toggle
	downgrade  toggle
	dev        toggle
	prod       toggle
	emulator   toggle
	device     toggle
}

func newChannelSet(s *session) *cobra.Command {
	var o channelSet
	c := &cobra.Command{
		Use: "set NAME [appId]", Aliases: []string{"s"}, Short: "Change the rules of a channel, or what it serves",
		Example: `  capstan channel set production --state default
  capstan channel set production --disable-auto-update minor --no-emulator
  capstan channel set production -b 1.4.2`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runChannelSet(c.Context(), &o, args[0], arg(args, 1))
		},
	}
	f := c.Flags()
	f.StringVarP(&o.bundle, "bundle", "b", "", "put this version on the channel as a new release")
	f.StringVarP(&o.state, "state", "s", "", "default: devices that name no channel come here; normal: they do not")
	f.StringVar(&o.policy, "disable-auto-update", "", "block versions that differ from the native one by: major, minor, patch, metadata, none")
	o.ios.flags(f, "ios", "serve iOS")
	o.android.flags(f, "android", "serve Android")
	o.electron.flags(f, "electron", "serve Electron")
	o.selfAssign.flags(f, "self-assign", "let devices choose the channel")
	o.downgrade.flags(f, "downgrade", "serve bundles below the native version")
	o.dev.flags(f, "dev", "serve development builds")
	o.prod.flags(f, "prod", "serve production builds")
	o.emulator.flags(f, "emulator", "serve emulators")
	o.device.flags(f, "device", "serve physical devices")
	s.ignoredFlags(f, true, "ignore-metadata-check")
	return c
}

func (s *session) runChannelSet(ctx context.Context, o *channelSet, name, typed string) error {
	if err := o.validate(); err != nil {
		return err
	}
	app, err := s.appID(ctx, typed)
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
	out := client.ChannelChanged{Channel: ch}
	if edit := o.edit(ch); edit != (client.ChannelEdit{}) {
		if out, err = c.EditChannel(ctx, app, name, ch.Number, edit); err != nil {
			return err
		}
	}
	var released *client.Released
	if o.bundle != "" {
		r, err := c.Release(ctx, app, name, out.Number, client.NewRelease{Version: o.bundle})
		if err != nil {
			return err
		}
		released = &r
	}
	return s.print(struct {
		client.ChannelChanged
		Released *client.Released `json:"released,omitempty"`
	}{out, released}, func() {
		if released == nil {
			s.screen.Printf("Changed channel %s: %s; policy %s; rules %s.\n", term.Clean(out.Name), reach(out.Channel), out.Policy, rules(out.Rules))
		} else {
			s.printReleased(*released, undo(*released, typed))
		}
		s.printMoved(out)
	})
}

func (o *channelSet) validate() error {
	if o.state == "" && o.policy == "" && o.bundle == "" && !slices.ContainsFunc(o.toggles(), func(t *toggle) bool { return t.value != nil }) {
		return capstan.Errorf(capstan.CodeInvalid, "nothing to change was given").Hint("capstan channel set --help")
	}
	if o.state != "" && o.state != "default" && o.state != "normal" {
		return capstan.Errorf(capstan.CodeInvalid, "state %q is not default or normal", o.state).On("state")
	}
	if o.policy != "" && !slices.Contains(capstan.Policies[:], capstan.Policy(o.policy)) {
		return capstan.Errorf(capstan.CodeInvalid, "policy %q is not one of major, minor, patch, metadata, none", o.policy).On("disable-auto-update")
	}
	if o.bundle != "" {
		return capstan.ValidateBundleVersion(o.bundle)
	}
	return nil
}

func (o *channelSet) toggles() []*toggle {
	return []*toggle{&o.ios, &o.android, &o.electron, &o.selfAssign, &o.downgrade, &o.dev, &o.prod, &o.emulator, &o.device}
}

// edit returns what changes of ch. A state of default covers the platforms that
// the channel then serves, and a platform that is switched off is no longer the
// channel's default.
func (o *channelSet) edit(ch client.Channel) client.ChannelEdit {
	e := client.ChannelEdit{
		SelfAssign: o.selfAssign.value, UnderNative: o.downgrade.value,
		Dev: o.dev.value, Prod: o.prod.value, Emulator: o.emulator.value, Device: o.device.value,
	}
	served := capstan.NewPlatformSet(ch.Platforms...)
	byDefault := capstan.NewPlatformSet(ch.Default...)
	was, wasDefault := served, byDefault
	for p, t := range map[capstan.Platform]toggle{capstan.IOS: o.ios, capstan.Android: o.android, capstan.Electron: o.electron} {
		if t.value != nil {
			served = served.With(p, *t.value)
		}
	}
	switch o.state {
	case "default":
		byDefault = served
	case "normal":
		byDefault = 0
	default:
		byDefault &= served
	}
	if served != was {
		list := served.List()
		e.Platforms = &list
	}
	if byDefault != wasDefault {
		list := byDefault.List()
		e.Default = &list
	}
	if o.policy != "" {
		p := capstan.Policy(o.policy)
		e.Policy = &p
	}
	return e
}

// printReleased tells what a release does to phones and how to take it back.
func (s *session) printReleased(r client.Released, undo string) {
	what := releaseName(r.Release)
	if r.Unchanged {
		s.screen.Printf("%s is on %s already, as release %d: same content, skipped.\n", term.Clean(what), term.Clean(r.Channel), r.Number)
		return
	}
	s.screen.Printf("%s is release %d on %s (serves %s; default of %s).\n", term.Clean(what), r.Number, term.Clean(r.Channel), platforms(r.Platforms), platforms(r.Default))
	switch {
	case r.Builtin:
	case r.Previous == "":
		s.screen.Printf("It is the channel's first release: a phone downloads the whole bundle, or what its store build lacks.\n")
	case r.DeltaFiles == 0:
		s.screen.Printf("A phone on %s downloads nothing: it has every file.\n", term.Clean(r.Previous))
	default:
		s.screen.Printf("A phone on %s downloads %s, %s.\n", term.Clean(r.Previous), term.Count(r.DeltaFiles, "file"), term.Bytes(r.DeltaBytes))
	}
	s.screen.Printf("Phones apply it when the app is next put in the background.\nUndo: %s\n", undo)
}

// undo is the command that takes a release back. app is given when it was typed.
func undo(r client.Released, app string) string {
	parts := []string{"capstan rollback", r.Channel}
	if app != "" {
		parts = append(parts, app)
	}
	if r.Previous == "" {
		parts = append(parts, "--to-builtin")
	}
	return strings.Join(parts, " ")
}
