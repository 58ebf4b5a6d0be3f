package store

import (
	"context"

	"github.com/capstan-ota/capstan"
)

// eventColumns is the same on both engines; there is no index, least of all a
// unique one: a text key costs nine tenths of the rows per second. Duplicates
// are not the store's to find.
const eventColumns = `id, app, device, action, version, file, old_version, platform, native, plugin, prod, emulator, at, received_at, metadata`

// eventIndex is made on a day that is over, when somebody asks for a device's
// events of it: built in one go it costs a hundredth of what it would cost to
// keep while the day is written.
const eventIndex = `CREATE INDEX IF NOT EXISTS %[1]s_device ON %[1]s (app, device)`

// maxEventDays is how many days back a device's events are looked for.
const maxEventDays = 90

// AppendEvents keeps events, all or none, and returns once they are durable. It
// is no change. Errors: storage_full, unavailable.
func (db *DB) AppendEvents(ctx context.Context, events []capstan.Event) error {
	if len(events) == 0 {
		return nil
	}
	return db.fail("append events", db.log.append(ctx, events))
}

// Events returns the newest events of a device, newest first, at most n (0:
// 100, at most 1 000) of those whose id is below before ("" for the newest):
// ids are UUIDv7, made at receipt, so they are in the order of time.
func (db *DB) Events(ctx context.Context, app string, device capstan.DeviceID, n int, before string) ([]capstan.Event, error) {
	list, err := db.log.read(ctx, app, device, limit(n), before)
	return list, db.fail("read events", err)
}

// eventDay is the piece that a batch goes to: the day (UTC) on which its
// newest event was received. One batch is in one piece, so that it is kept
// whole or not at all, also at midnight.
func eventDay(events []capstan.Event) int64 {
	var newest int64
	for i := range events {
		newest = max(newest, ms(events[i].ReceivedAt))
	}
	return newest / dayMS
}

func scanEvent(s scanner) (e capstan.Event, err error) {
	var device []byte
	var at, received int64
	err = s.Scan(&e.ID, &e.App, &device, &e.Action, &e.Version, &e.File, &e.OldVersion, &e.Platform, &e.Native, &e.Plugin,
		&e.Prod, &e.Emulator, &at, &received, &e.Metadata)
	copy(e.Device[:], device)
	e.At, e.ReceivedAt = fromMS(at), fromMS(received)
	return e, err
}

func eventRows(table string, events []capstan.Event) bulk {
	n := len(events)
	id, app, device := make([]string, n), make([]string, n), make([][]byte, n)
	action, version, file, old := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	platform, native, plugin, metadata := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	prod, emulator, at, received := make([]bool, n), make([]bool, n), make([]int64, n), make([]int64, n)
	for i := range events {
		e := &events[i]
		id[i], app[i], device[i] = e.ID, e.App, e.Device[:]
		action[i], version[i], file[i], old[i] = e.Action, e.Version, e.File, e.OldVersion
		platform[i], native[i], plugin[i], metadata[i] = string(e.Platform), e.Native, e.Plugin, e.Metadata
		prod[i], emulator[i], at[i], received[i] = e.Prod, e.Emulator, ms(e.At), ms(e.ReceivedAt)
	}
	return bulk{table: table, columns: []column{
		{name: "id", texts: id}, {name: "app", texts: app}, {name: "device", bytes: device},
		{name: "action", texts: action}, {name: "version", texts: version}, {name: "file", texts: file},
		{name: "old_version", texts: old}, {name: "platform", texts: platform}, {name: "native", texts: native},
		{name: "plugin", texts: plugin}, {name: "prod", bools: prod}, {name: "emulator", bools: emulator},
		{name: "at", ints: at}, {name: "received_at", ints: received}, {name: "metadata", texts: metadata},
	}}
}

// eventBefore is the bound of a page; ids are lower-case hex.
func eventBefore(before string) string {
	if before == "" {
		return afterEveryID
	}
	return before
}
