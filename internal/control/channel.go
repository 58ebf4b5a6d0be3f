package control

import (
	"context"
	"slices"
	"strings"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/store"
)

// CreateChannel makes a channel: edit is applied to the defaults of
// capstan.NewChannel. Errors: channel_exists, invalid.
func (c *Control) CreateChannel(ctx context.Context, p auth.Principal, app, name string, edit func(*capstan.Channel)) (ChannelChange, error) {
	if _, err := c.App(ctx, p, auth.SetChannel, app); err != nil {
		return ChannelChange{}, err
	}
	ch := capstan.NewChannel(app, name)
	edit(&ch)
	if err := ch.Validate(); err != nil {
		return ChannelChange{}, err
	}
	var moved []DefaultMoved
	err := c.commit(ctx, p, app, func(tx *store.Tx) (err error) {
		if moved, err = movedDefaults(tx, ch, 0); err != nil {
			return err
		}
		_, err = tx.CreateChannel(ch)
		return err
	})
	return c.channelChange(ctx, app, name, moved, err)
}

// EditChannel changes a channel by compare-and-set on its number. Errors:
// channel_not_found, stale, invalid.
func (c *Control) EditChannel(ctx context.Context, p auth.Principal, app, name string, number int64, edit func(*capstan.Channel)) (ChannelChange, error) {
	if _, err := c.App(ctx, p, auth.SetChannel, app); err != nil {
		return ChannelChange{}, err
	}
	var moved []DefaultMoved
	err := c.commit(ctx, p, app, func(tx *store.Tx) error {
		ch, err := tx.Channel(app, name)
		if err != nil {
			return err
		}
		if err := compareAndSet("channel "+name, number, ch.Number); err != nil {
			return err
		}
		before := ch.Default
		edit(&ch)
		if err := ch.Validate(); err != nil {
			return err
		}
		if moved, err = movedDefaults(tx, ch, before); err != nil {
			return err
		}
		_, err = tx.UpdateChannel(ch)
		return err
	})
	return c.channelChange(ctx, app, name, moved, err)
}

// movedDefaults says from which channels ch takes the default of a platform.
func movedDefaults(tx *store.Tx, ch capstan.Channel, before capstan.PlatformSet) ([]DefaultMoved, error) {
	all, err := tx.Channels(ch.App)
	if err != nil {
		return nil, err
	}
	var moved []DefaultMoved
	for _, platform := range (ch.Default &^ before).List() {
		i := slices.IndexFunc(all, func(o capstan.Channel) bool { return o.Name != ch.Name && o.Default.Has(platform) })
		if i >= 0 {
			moved = append(moved, DefaultMoved{Platform: platform, From: all[i].Name})
		}
	}
	return moved, nil
}

// channelChange reads the changed channel back and counts the devices that
// carry the name of a channel that lost its default.
func (c *Control) channelChange(ctx context.Context, app, name string, moved []DefaultMoved, err error) (ChannelChange, error) {
	if err != nil {
		return ChannelChange{}, err
	}
	ch, err := c.DB.Channel(ctx, app, name)
	if err != nil {
		return ChannelChange{}, err
	}
	for i := range moved {
		if moved[i].Devices, err = c.DB.CountDevicesOnChannelName(ctx, app, moved[i].From); err != nil {
			return ChannelChange{}, err
		}
	}
	return ChannelChange{Channel: ch, Moved: moved}, nil
}

// DeleteChannel deletes a channel with its releases by compare-and-set.
// Errors: in_use while it is the default of a platform.
func (c *Control) DeleteChannel(ctx context.Context, p auth.Principal, app, name string, number int64) error {
	if _, err := c.App(ctx, p, auth.SetChannel, app); err != nil {
		return err
	}
	return c.commit(ctx, p, app, func(tx *store.Tx) error {
		ch, err := tx.Channel(app, name)
		if err != nil {
			return err
		}
		if err := compareAndSet("channel "+name, number, ch.Number); err != nil {
			return err
		}
		if ch.Default != 0 {
			names := make([]string, 0, 3)
			for _, platform := range ch.Default.List() {
				names = append(names, string(platform))
			}
			return capstan.Errorf(capstan.CodeInUse, "channel %q is the default for %s", name, strings.Join(names, ", ")).
				Hint("make another channel the default first: capstan channel set OTHER --state default")
		}
		return tx.DeleteChannel(app, name)
	})
}
