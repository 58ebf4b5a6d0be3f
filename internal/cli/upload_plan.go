package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/term"
)

// chooseChannels reads the channels that were named, or finds out which one is
// meant. Their numbers are what the releases are compared with later.
func (u *upload) chooseChannels(ctx context.Context) error {
	if len(u.options.channels) > 0 {
		for _, name := range u.options.channels {
			ch, err := u.client.Channel(ctx, u.app, name)
			if err != nil {
				return err
			}
			u.channels = append(u.channels, ch)
		}
		return nil
	}
	all, err := u.client.Channels(ctx, u.app)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return capstan.Errorf(capstan.CodeChannelNotFound, "app %s has no channel yet", u.app).On("channel").
			Hint(command("capstan channel add production", u.typed, "--default"))
	}
	ch, err := u.askChannel(all)
	u.channels = []client.Channel{ch}
	return err
}

func (u *upload) askChannel(all []client.Channel) (client.Channel, error) {
	choices := make([]string, len(all))
	preset, defaults := -1, 0
	for i, c := range all {
		choices[i] = fmt.Sprintf("%s  %s; serves %s", c.Name, reach(c), serving(c))
		if len(c.Default) > 0 {
			preset = i
			defaults++
		}
	}
	if defaults != 1 {
		preset = -1
	}
	if !u.screen.Interactive() && len(all) == 1 {
		u.screen.Note("no channel was named; %s is the only one", all[0].Name)
		return all[0], nil
	}
	i, err := u.screen.Choose("Channel", choices, preset)
	if errors.Is(err, term.ErrNobody) {
		e := capstan.Errorf(capstan.CodeAmbiguous, "no channel was named, and app %s has %d: %s", u.app, len(all), joinNames(all)).On("channel")
		e.Details = choices
		for _, c := range all[:min(3, len(all))] {
			e.Hint(command("capstan bundle upload", u.typed, "-c "+c.Name))
		}
		return client.Channel{}, e
	}
	if err != nil {
		return client.Channel{}, err
	}
	return all[i], nil
}

// chooseVersion finds the next free version for --auto-bump. What the channel
// serves already is not given a second name.
func (u *upload) chooseVersion(ctx context.Context) error {
	if u.options.autoBump == "" {
		return nil
	}
	bundles, err := u.allBundles(ctx)
	if err != nil {
		return err
	}
	taken := make(map[string]bool, len(bundles))
	var newest, served capstan.Version
	for _, b := range bundles {
		taken[b.Version] = true
		if v, ok := capstan.ParseVersion(b.Version); ok && newest.Less(v) {
			newest = v
		}
	}
	for _, ch := range u.channels {
		if len(ch.Live) == 0 {
			continue
		}
		for _, b := range bundles {
			if b.Version == ch.Live[0].Version && b.Root == u.src.Root && b.State == capstan.BundleReady && len(u.channels) == 1 {
				u.version = b.Version
				return nil
			}
		}
		if v, ok := capstan.ParseVersion(ch.Live[0].Version); ok && served.Less(v) {
			served = v
		}
	}
	base := served
	if base == (capstan.Version{}) {
		base = newest
	}
	if base == (capstan.Version{}) {
		u.version, err = u.session.version(ctx, "")
		return err
	}
	for {
		base = bump(base, u.options.autoBump)
		u.version = fmt.Sprintf("%d.%d.%d", base.Major, base.Minor, base.Patch)
		if !taken[u.version] {
			u.screen.Note("the version is %s", u.version)
			return capstan.ValidateBundleVersion(u.version)
		}
	}
}

func (u *upload) allBundles(ctx context.Context) (all []client.Bundle, err error) {
	for p := (client.Page{Limit: 500}); ; {
		list, next, err := u.client.Bundles(ctx, u.app, true, p)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if next == "" {
			return all, nil
		}
		p.After = next
	}
}

// lookAhead tells before anything is sent why devices would not take the bundle.
func (u *upload) lookAhead(ctx context.Context) error {
	for _, ch := range u.channels {
		if ch.Policy == capstan.PolicyMetadata && u.options.minNative == "" {
			return capstan.Errorf(capstan.CodeInvalid, "channel %s has the policy metadata: its bundles must name the native version they need", ch.Name).
				On("min-update-version").Hint("capstan bundle upload --min-update-version 1.4.0")
		}
	}
	devices, _, err := u.client.Devices(ctx, u.app, client.Page{Limit: 500})
	if capstan.CodeOf(err) == capstan.CodeForbidden {
		return nil // a token that may upload need not see devices
	}
	if err != nil {
		return err
	}
	u.warnAboutNative(devices)
	return nil
}

// warnAboutNative counts devices that would never get the bundle for its name.
func (u *upload) warnAboutNative(devices []client.Device) {
	version, _ := capstan.ParseVersion(u.version)
	above, equal := 0, 0
	for _, d := range devices {
		native, ok := capstan.ParseVersion(d.NativeVersion)
		switch {
		case !ok:
		case version.Less(native):
			above++
		case d.NativeVersion == u.version && d.Running == d.NativeVersion:
			equal++
		}
	}
	seen := "of the " + term.Count(len(devices), "device") + " seen last"
	allowed := true
	for _, ch := range u.channels {
		allowed = allowed && ch.UnderNative
	}
	if above > 0 && !allowed {
		u.warn("%d %s have a native version above %s and do not get it (capstan channel set --downgrade allows it)", above, seen, u.version)
	}
	if equal > 0 {
		u.warn("%d %s run their store build of the same version, %s, and never get a bundle of that name: take a higher one", equal, seen, u.version)
	}
}

func (u *upload) warn(format string, args ...any) {
	u.warnings = append(u.warnings, fmt.Sprintf(format, args...))
}
