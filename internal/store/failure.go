package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/capstan-ota/capstan"
)

// FailureReport is a device's word that it could not activate Version.
type FailureReport struct {
	App     string
	Device  capstan.DeviceID
	Version string
	At      time.Time
}

const (
	offeredReleaseSQL = `SELECT org, offered_release FROM device WHERE app = $1 AND device = $2 AND offered = $3 AND offered_release > 0`
	putFailureSQL     = `INSERT INTO failure (app, device, version, org, release, at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (app, device, version) DO UPDATE SET release = excluded.release, at = excluded.at
		WHERE failure.release < excluded.release`
	failuresSQL      = `SELECT app, device, version, release FROM failure WHERE app = $1 AND device = $2 ORDER BY release`
	allFailuresSQL   = `SELECT app, device, version, release FROM failure`
	clearFailuresSQL = `DELETE FROM failure WHERE app = $1 AND device = $2`
)

func scanFailure(s scanner) (f capstan.Failure, err error) {
	var device []byte
	err = s.Scan(&f.App, &device, &f.Version, &f.Release)
	copy(f.Device[:], device)
	return f, err
}

// AddFailures keeps those reports whose version is the one last offered to the
// device, and returns them with the release that offered it, in the order of
// reports. Anybody can send a report; that bounds what it can do to a version
// that the device was really offered. It is durable on return and no change.
func (db *DB) AddFailures(ctx context.Context, reports []FailureReport) ([]capstan.Failure, error) {
	if len(reports) == 0 {
		return nil, nil
	}
	var accepted []capstan.Failure
	err := db.transact(ctx, "write failures", func(tx *sql.Tx) error {
		accepted = nil
		for _, r := range reports {
			var org string
			var release int64
			err := tx.QueryRowContext(ctx, offeredReleaseSQL, r.App, r.Device[:], r.Version).Scan(&org, &release)
			if err == sql.ErrNoRows {
				continue
			}
			if err != nil {
				return err
			}
			at := r.At
			if at.IsZero() {
				at = db.now()
			}
			if _, err := tx.ExecContext(ctx, putFailureSQL, r.App, r.Device[:], r.Version, org, release, ms(at)); err != nil {
				return err
			}
			accepted = append(accepted, capstan.Failure{App: r.App, Device: r.Device, Version: r.Version, Release: release})
		}
		return nil
	})
	return accepted, err
}

// Failures returns what one device reported, oldest release first.
func (db *DB) Failures(ctx context.Context, app string, device capstan.DeviceID) ([]capstan.Failure, error) {
	list, err := collect(ctx, db.reader, scanFailure, failuresSQL, app, device[:])
	return list, db.fail("read failures", err)
}

// EachFailure calls fn with every failure of every app, in no order. The error
// of fn ends it and comes back.
func (db *DB) EachFailure(ctx context.Context, fn func(capstan.Failure) error) error {
	return db.fail("read failures", each(ctx, db.reader, scanFailure, fn, allFailuresSQL))
}

// ClearFailures forgets the failures of one device.
func (db *DB) ClearFailures(ctx context.Context, app string, device capstan.DeviceID) error {
	return db.transact(ctx, "clear failures", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, clearFailuresSQL, app, device[:])
		return err
	})
}
