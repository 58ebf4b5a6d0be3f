package store

import (
	"context"
	"database/sql"

	"github.com/capstan-ota/capstan"
)

const pinColumns = `app, device, kind, channel, at`

const (
	pinSQL     = `SELECT ` + pinColumns + ` FROM pin WHERE app = $1 AND device = $2 AND kind = $3`
	appPinsSQL = `SELECT ` + pinColumns + ` FROM pin WHERE app = $1`
	allPinsSQL = `SELECT ` + pinColumns + ` FROM pin`

	putPinSQL = `INSERT INTO pin (app, device, kind, org, channel, at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (app, device, kind) DO UPDATE SET channel = excluded.channel, at = excluded.at`

	// excluded.at = at tells an insert from an update on neither engine, so the
	// row is looked for first; both run in one write transaction.
	hasPinSQL      = `SELECT COUNT(*) FROM pin WHERE app = $1 AND device = $2 AND kind = 'self'`
	countPinsSQL   = `INSERT INTO self_pins (app, n) VALUES ($1, $2) ON CONFLICT (app) DO UPDATE SET n = self_pins.n + $2 RETURNING n`
	oldestPinsSQL  = `SELECT device FROM pin WHERE app = $1 AND kind = 'self' ORDER BY at, device LIMIT $2`
	deleteSelfSQL  = `DELETE FROM pin WHERE app = $1 AND device = $2 AND kind = 'self'`
	selfPinsAppSQL = `SELECT org FROM app WHERE id = $1`
)

func scanPin(s scanner) (p capstan.Pin, err error) {
	var device []byte
	var at int64
	err = s.Scan(&p.App, &device, &p.Kind, &p.Channel, &at)
	p.At = fromMS(at)
	copy(p.Device[:], device)
	return p, err
}

func scanDeviceID(s scanner) (id capstan.DeviceID, err error) {
	var device []byte
	err = s.Scan(&device)
	copy(id[:], device)
	return id, err
}

// Pins returns the pins of an app, of both kinds.
func (db *DB) Pins(ctx context.Context, app string) ([]capstan.Pin, error) {
	list, err := collect(ctx, db.reader, scanPin, appPinsSQL, app)
	return list, db.fail("read pins of "+app, err)
}

// EachPin calls fn with every pin of every app, in no order. The error of fn
// ends it and comes back.
func (db *DB) EachPin(ctx context.Context, fn func(capstan.Pin) error) error {
	return db.fail("read pins", each(ctx, db.reader, scanPin, fn, allPinsSQL))
}

// each hands the rows of a query to fn one by one, for lists that need not be
// in memory twice.
func each[T any](ctx context.Context, q querier, scan func(scanner) (T, error), fn func(T) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return err
		}
		if err := fn(v); err != nil {
			return err
		}
	}
	return rows.Err()
}

// SetPin ties a device to a channel on an operator's behalf. At is the time of
// the transaction when not given. Errors: app_not_found, channel_not_found.
func (tx *Tx) SetPin(p capstan.Pin) error {
	if _, err := tx.Channel(p.App, p.Channel); err != nil {
		return err
	}
	if p.At.IsZero() {
		p.At = tx.now
	}
	p.Kind = capstan.PinOperator
	old, err := tx.operatorPin(p.App, p.Device)
	if err != nil || old != nil && old.Channel == p.Channel {
		return err
	}
	org := tx.orgs[p.App]
	if err := tx.exec(putPinSQL, p.App, p.Device[:], string(p.Kind), org, p.Channel, ms(p.At)); err != nil {
		return err
	}
	return tx.pinChange(org, old, &p)
}

// DeletePin unties a device that an operator had tied; a device without pin
// does not change. Error: app_not_found.
func (tx *Tx) DeletePin(app string, device capstan.DeviceID) error {
	org, err := tx.lockApp(app)
	if err != nil {
		return err
	}
	old, err := tx.operatorPin(app, device)
	if err != nil || old == nil {
		return err
	}
	err = tx.exec(`DELETE FROM pin WHERE app = $1 AND device = $2 AND kind = $3`, app, device[:], string(capstan.PinOperator))
	if err != nil {
		return err
	}
	return tx.pinChange(org, old, nil)
}

func (tx *Tx) operatorPin(app string, device capstan.DeviceID) (*capstan.Pin, error) {
	list, err := collect(tx.ctx, tx.sql, scanPin, pinSQL, app, device[:], string(capstan.PinOperator))
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

func (tx *Tx) pinChange(org string, before, after *capstan.Pin) error {
	var old, now any
	p := before
	if before != nil {
		old = pinShape(*before)
	}
	if after != nil {
		p, now = after, pinShape(*after)
	}
	return tx.change(org, p.App, capstan.NounPin, p.Device.String(), old, now)
}

// MaxSelfPins is how many self-set pins an app keeps: anybody can make them.
// The oldest go first.
const MaxSelfPins = 100_000

// SetSelfPin records that a device chose a channel for itself; Kind is ignored.
// It returns the devices whose pins had to go for it. Whether the app allows
// it is the caller's to ask. It is durable on return and no change. Error:
// app_not_found.
func (db *DB) SetSelfPin(ctx context.Context, p capstan.Pin) (removed []capstan.DeviceID, err error) {
	err = db.transact(ctx, "set a self-set pin", func(tx *sql.Tx) (err error) {
		removed, err = db.setSelfPin(ctx, tx, p, MaxSelfPins)
		return err
	})
	return removed, err
}

func (db *DB) setSelfPin(ctx context.Context, tx *sql.Tx, p capstan.Pin, most int64) (removed []capstan.DeviceID, err error) {
	if p.At.IsZero() {
		p.At = db.now()
	}
	var org string
	if err := tx.QueryRowContext(ctx, selfPinsAppSQL, p.App).Scan(&org); err != nil {
		return nil, notFound(err, appNotFound(p.App))
	}
	// The counter's row is the lock: it is written before the pin is looked for.
	var n, has int64
	if err := tx.QueryRowContext(ctx, countPinsSQL, p.App, 1).Scan(&n); err != nil {
		return nil, err
	}
	if err := tx.QueryRowContext(ctx, hasPinSQL, p.App, p.Device[:]).Scan(&has); err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, putPinSQL, p.App, p.Device[:], string(capstan.PinSelf), org, p.Channel, ms(p.At))
	if err != nil {
		return nil, err
	}
	n -= has
	if n > most {
		if removed, err = collect(ctx, tx, scanDeviceID, oldestPinsSQL, p.App, n-most); err != nil {
			return nil, err
		}
		for _, device := range removed {
			if _, err := tx.ExecContext(ctx, deleteSelfSQL, p.App, device[:]); err != nil {
				return nil, err
			}
		}
	}
	if surplus := has + int64(len(removed)); surplus > 0 {
		if err := tx.QueryRowContext(ctx, countPinsSQL, p.App, -surplus).Scan(&n); err != nil {
			return nil, err
		}
	}
	return removed, nil
}

// UnsetSelfPin removes the self-set pin of a device, if it has one.
func (db *DB) UnsetSelfPin(ctx context.Context, app string, device capstan.DeviceID) error {
	return db.transact(ctx, "unset a self-set pin", func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, deleteSelfSQL, app, device[:])
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil || n == 0 {
			return err
		}
		return tx.QueryRowContext(ctx, countPinsSQL, app, -n).Scan(&n)
	})
}
