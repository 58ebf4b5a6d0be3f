package store

import (
	"context"

	"github.com/capstan-ota/capstan"
)

const channelColumns = `app, name, seq, default_for, former_default, platforms, self_assign, policy,
	under_native, prod, dev, device, emulator, created_at, number`

const (
	channelSQL  = `SELECT ` + channelColumns + ` FROM channel WHERE app = $1 AND name = $2`
	channelsSQL = `SELECT ` + channelColumns + ` FROM channel WHERE app = $1 ORDER BY name`
)

func scanChannel(s scanner) (c capstan.Channel, err error) {
	var created int64
	err = s.Scan(&c.App, &c.Name, &c.Seq, &c.Default, &c.FormerDefault, &c.Platforms, &c.SelfAssign, &c.Policy,
		&c.UnderNative, &c.Prod, &c.Dev, &c.Device, &c.Emulator, &created, &c.Number)
	c.CreatedAt = fromMS(created)
	return c, err
}

func channelNotFound(app, name string) *capstan.Error {
	return capstan.Errorf(capstan.CodeChannelNotFound, "the app %q has no channel %q", app, name).On("channel").
		Hint("capstan channel list", "capstan channel add "+name)
}

// Channels returns every channel of an app, ordered by name.
func (db *DB) Channels(ctx context.Context, app string) ([]capstan.Channel, error) {
	list, err := readChannels(ctx, db.reader, app)
	return list, db.fail("read channels of "+app, err)
}

func readChannels(ctx context.Context, q querier, app string) ([]capstan.Channel, error) {
	return collect(ctx, q, scanChannel, channelsSQL, app)
}

// Channel returns a channel. Error: channel_not_found.
func (db *DB) Channel(ctx context.Context, app, name string) (capstan.Channel, error) {
	c, err := readChannel(ctx, db.reader, app, name)
	return c, db.fail("read channel "+name, err)
}

func readChannel(ctx context.Context, q querier, app, name string) (capstan.Channel, error) {
	c, err := scanChannel(q.QueryRowContext(ctx, channelSQL, app, name))
	return c, notFound(err, channelNotFound(app, name))
}

// Channel returns a channel as it will be until commit unless this
// transaction changes it: comparing its Number is a compare-and-set. Errors:
// app_not_found, channel_not_found.
func (tx *Tx) Channel(app, name string) (capstan.Channel, error) {
	if _, err := tx.lockApp(app); err != nil {
		return capstan.Channel{}, err
	}
	return readChannel(tx.ctx, tx.sql, app, name)
}

// Channels returns every channel of an app, ordered by name. Error:
// app_not_found.
func (tx *Tx) Channels(app string) ([]capstan.Channel, error) {
	if _, err := tx.lockApp(app); err != nil {
		return nil, err
	}
	return readChannels(tx.ctx, tx.sql, app)
}

// CreateChannel inserts c with the app's next Seq. Platforms that c is the
// default of move away from the channels that had them. The returned channel
// has no Number: it is what [DB.Write] returns when this was the last change.
// Errors: app_not_found, channel_exists, invalid.
func (tx *Tx) CreateChannel(c capstan.Channel) (capstan.Channel, error) {
	if err := c.Validate(); err != nil {
		return c, err
	}
	org, err := tx.lockApp(c.App)
	if err != nil {
		return c, err
	}
	if _, err := readChannel(tx.ctx, tx.sql, c.App, c.Name); err == nil {
		return c, capstan.Errorf(capstan.CodeChannelExists, "the app %q has a channel %q already", c.App, c.Name).On("channel").
			Hint("capstan channel set " + c.Name)
	} else if capstan.CodeOf(err) != capstan.CodeChannelNotFound {
		return c, err
	}
	if err := tx.moveDefaults(org, c); err != nil {
		return c, err
	}
	err = tx.sql.QueryRowContext(tx.ctx, `UPDATE app SET last_seq = last_seq + 1 WHERE id = $1 RETURNING last_seq`, c.App).Scan(&c.Seq)
	if err != nil {
		return c, err
	}
	if c.CreatedAt.IsZero() {
		c.CreatedAt = tx.now
	}
	c.FormerDefault &^= c.Default
	c.Number = 0
	err = tx.exec(`INSERT INTO channel (app, name, org, seq, default_for, former_default, platforms, self_assign, policy,
			under_native, prod, dev, device, emulator, created_at, number)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 0)`,
		c.App, c.Name, org, c.Seq, int64(c.Default), int64(c.FormerDefault), int64(c.Platforms), c.SelfAssign, string(c.Policy),
		c.UnderNative, c.Prod, c.Dev, c.Device, c.Emulator, ms(c.CreatedAt))
	if err != nil {
		return c, err
	}
	return c, tx.channelChange(org, nil, &c)
}

// UpdateChannel writes the rules of c. A platform that c becomes the default
// of moves away from the channel that had it; where c or that channel stops
// being a default it stays a former default, since devices keep its name. When
// the row says the same already, nothing changes. Errors: app_not_found,
// channel_not_found, invalid.
func (tx *Tx) UpdateChannel(c capstan.Channel) (capstan.Channel, error) {
	if err := c.Validate(); err != nil {
		return c, err
	}
	old, err := tx.Channel(c.App, c.Name)
	if err != nil {
		return c, err
	}
	org := tx.orgs[c.App]
	c.Seq, c.CreatedAt, c.Number = old.Seq, old.CreatedAt, old.Number
	c.FormerDefault = (old.FormerDefault | old.Default) &^ c.Default
	if c == old {
		return c, nil
	}
	if err := tx.moveDefaults(org, c); err != nil {
		return c, err
	}
	return c, tx.updateChannel(org, old, c)
}

func (tx *Tx) updateChannel(org string, old, c capstan.Channel) error {
	err := tx.exec(`UPDATE channel SET default_for = $1, former_default = $2, platforms = $3, self_assign = $4, policy = $5,
			under_native = $6, prod = $7, dev = $8, device = $9, emulator = $10 WHERE app = $11 AND name = $12`,
		int64(c.Default), int64(c.FormerDefault), int64(c.Platforms), c.SelfAssign, string(c.Policy),
		c.UnderNative, c.Prod, c.Dev, c.Device, c.Emulator, c.App, c.Name)
	if err != nil {
		return err
	}
	return tx.channelChange(org, &old, &c)
}

// moveDefaults takes the platforms that c is the default of away from every
// other channel of the app, each of which is a change of its own.
func (tx *Tx) moveDefaults(org string, c capstan.Channel) error {
	if c.Default == 0 {
		return nil
	}
	others, err := readChannels(tx.ctx, tx.sql, c.App)
	if err != nil {
		return err
	}
	for _, old := range others {
		lost := old.Default & c.Default
		if lost == 0 || old.Name == c.Name {
			continue
		}
		other := old
		other.Default &^= lost
		other.FormerDefault |= lost
		if err := tx.updateChannel(org, old, other); err != nil {
			return err
		}
	}
	return nil
}

// DeleteChannel removes a channel with its releases. Devices pinned to it or
// carrying its name are the caller's to think of. Errors: app_not_found,
// channel_not_found.
func (tx *Tx) DeleteChannel(app, name string) error {
	old, err := tx.Channel(app, name)
	if err != nil {
		return err
	}
	if err := tx.exec(`DELETE FROM release WHERE app = $1 AND channel = $2`, app, name); err != nil {
		return err
	}
	if err := tx.exec(`DELETE FROM channel WHERE app = $1 AND name = $2`, app, name); err != nil {
		return err
	}
	return tx.channelChange(tx.orgs[app], &old, nil)
}

func (tx *Tx) channelChange(org string, before, after *capstan.Channel) error {
	c := before
	if after != nil {
		c = after
	}
	return tx.change(org, c.App, capstan.NounChannel, c.Name, channelShape(before), channelShape(after),
		touched{capstan.NounChannel, c.App, c.Name})
}
