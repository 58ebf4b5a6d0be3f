package store

import (
	"context"
	"math"
	"strconv"

	"github.com/capstan-ota/capstan"
)

const releaseColumns = `app, number, channel, bundle, version, share_bp, salt, paused, at, made_by, ended_at, end_reason`

const (
	releaseSQL     = `SELECT ` + releaseColumns + ` FROM release WHERE app = $1 AND number = $2`
	appReleasesSQL = `SELECT ` + releaseColumns + ` FROM release WHERE app = $1 AND number < $2 ORDER BY number DESC LIMIT $3`
	releasesSQL    = `SELECT ` + releaseColumns + ` FROM release WHERE app = $1 AND channel = $2 AND number < $3 ORDER BY number DESC LIMIT $4`
	releasesEndSQL = `SELECT ` + releaseColumns + ` FROM release WHERE app = $1 AND channel = $2 AND number < $3 AND ended_at > 0 ORDER BY number DESC`
	bundleOfSQL    = `SELECT version, state FROM bundle WHERE app = $1 AND id = $2`
	lostBlobsSQL   = `SELECT COUNT(*) FROM (
			SELECT blob FROM bundle_file WHERE bundle = $1 UNION SELECT archive FROM bundle WHERE id = $1 AND archive <> '') n
		WHERE NOT EXISTS (SELECT 1 FROM blob b WHERE b.digest = n.blob AND b.state = 'ready')`
	nextReleaseSQL  = `UPDATE app SET last_release = last_release + 1 WHERE id = $1 RETURNING last_release`
	newestNumberCap = math.MaxInt64
)

func scanRelease(s scanner) (r capstan.Release, err error) {
	var at, ended int64
	err = s.Scan(&r.App, &r.Number, &r.Channel, &r.Bundle, &r.Version, &r.ShareBP, &r.Salt, &r.Paused, &at, &r.By, &ended, &r.EndReason)
	r.At, r.EndedAt = fromMS(at), fromMS(ended)
	return r, err
}

func releaseNotFound(app string, number int64) *capstan.Error {
	return capstan.Errorf(capstan.CodeReleaseNotFound, "the app %q has no release %d", app, number).On("release")
}

// ReleaseFilter pages releases, newest first.
type ReleaseFilter struct {
	Channel string // "" for all channels
	Before  int64  // number of the last release of the page before, 0 for the newest
	Limit   int    // 0: 100, at most 1000
}

// Releases returns one page of releases, newest first.
func (db *DB) Releases(ctx context.Context, app string, f ReleaseFilter) ([]capstan.Release, error) {
	list, err := readReleases(ctx, db.reader, app, f)
	return list, db.fail("read releases of "+app, err)
}

func readReleases(ctx context.Context, q querier, app string, f ReleaseFilter) ([]capstan.Release, error) {
	if f.Before == 0 {
		f.Before = newestNumberCap
	}
	if f.Channel == "" {
		return collect(ctx, q, scanRelease, appReleasesSQL, app, f.Before, limit(f.Limit))
	}
	return collect(ctx, q, scanRelease, releasesSQL, app, f.Channel, f.Before, limit(f.Limit))
}

// Release returns a release. Error: release_not_found.
func (db *DB) Release(ctx context.Context, app string, number int64) (capstan.Release, error) {
	r, err := readRelease(ctx, db.reader, app, number)
	return r, db.fail("read release "+strconv.FormatInt(number, 10), err)
}

func readRelease(ctx context.Context, q querier, app string, number int64) (capstan.Release, error) {
	r, err := scanRelease(q.QueryRowContext(ctx, releaseSQL, app, number))
	return r, notFound(err, releaseNotFound(app, number))
}

// Release returns a release. Errors: app_not_found, release_not_found.
func (tx *Tx) Release(app string, number int64) (capstan.Release, error) {
	if _, err := tx.lockApp(app); err != nil {
		return capstan.Release{}, err
	}
	return readRelease(tx.ctx, tx.sql, app, number)
}

// Releases returns one page of releases, newest first. Error: app_not_found.
func (tx *Tx) Releases(app string, f ReleaseFilter) ([]capstan.Release, error) {
	if _, err := tx.lockApp(app); err != nil {
		return nil, err
	}
	return readReleases(tx.ctx, tx.sql, app, f)
}

// CreateRelease inserts r under the app's next number. Version is that of the
// bundle; At is the time of the transaction and By the actor when not given. A
// bundle whose bytes the collector may have begun to take is refused. Errors:
// app_not_found, channel_not_found, bundle_not_found, bytes_gone, invalid.
func (tx *Tx) CreateRelease(r capstan.Release) (capstan.Release, error) {
	if _, err := tx.Channel(r.App, r.Channel); err != nil {
		return r, err
	}
	if r.ShareBP < 0 || r.ShareBP > capstan.ShareAll {
		return r, badShare(r.ShareBP)
	}
	if err := tx.releasable(&r); err != nil {
		return r, err
	}
	if r.At.IsZero() {
		r.At = tx.now
	}
	if r.By == "" {
		r.By = tx.actor
	}
	err := tx.sql.QueryRowContext(tx.ctx, nextReleaseSQL, r.App).Scan(&r.Number)
	if err != nil {
		return r, err
	}
	err = tx.exec(`INSERT INTO release (app, number, org, channel, bundle, version, share_bp, salt, paused, at, made_by, ended_at, end_reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		r.App, r.Number, tx.orgs[r.App], r.Channel, r.Bundle, r.Version, r.ShareBP, r.Salt, r.Paused, ms(r.At), r.By,
		ms(r.EndedAt), string(r.EndReason))
	if err != nil {
		return r, err
	}
	return r, tx.releaseChange(nil, r)
}

// releasable fills the version of r's bundle in and refuses a bundle that is
// gone. The app's lock keeps the collector, which takes it too, from marking
// the bundle gone until commit.
func (tx *Tx) releasable(r *capstan.Release) error {
	r.Version = ""
	if r.Builtin() {
		return nil
	}
	var state capstan.BundleState
	err := tx.sql.QueryRowContext(tx.ctx, bundleOfSQL, r.App, r.Bundle).Scan(&r.Version, &state)
	if err != nil {
		return notFound(err, bundleNotFound(r.App, r.Bundle))
	}
	if state != capstan.BundleReady {
		return bytesGone(r.Version)
	}
	var lost int64
	if err := tx.sql.QueryRowContext(tx.ctx, lostBlobsSQL, r.Bundle).Scan(&lost); err != nil {
		return err
	}
	if lost > 0 {
		return bytesGone(r.Version)
	}
	return nil
}

func bytesGone(version string) error {
	return capstan.Errorf(capstan.CodeBytesGone, "the bytes of bundle %q were collected; only its record is left", version).On("bundle").
		Hint("capstan bundle upload -b " + version)
}

func badShare(bp int) error {
	return capstan.Errorf(capstan.CodeInvalid, "share %d is not between 0 and 10000 basis points", bp).On("share_bp")
}

// EndRelease takes a release back. One that is ended already does not change.
// Errors: app_not_found, release_not_found.
func (tx *Tx) EndRelease(app string, number int64, why capstan.EndReason) error {
	old, err := tx.Release(app, number)
	if err != nil || old.Ended() {
		return err
	}
	r := old
	r.EndedAt, r.EndReason = tx.now, why
	err = tx.exec(`UPDATE release SET ended_at = $1, end_reason = $2 WHERE app = $3 AND number = $4`,
		ms(r.EndedAt), string(why), app, number)
	if err != nil {
		return err
	}
	return tx.releaseChange(&old, r)
}

// SetRollout says how far a release reaches: shareBP in basis points, 0 to
// 10 000. When the row says the same already, nothing changes. Errors:
// app_not_found, release_not_found, invalid.
func (tx *Tx) SetRollout(app string, number int64, shareBP int, paused bool) error {
	if shareBP < 0 || shareBP > capstan.ShareAll {
		return badShare(shareBP)
	}
	old, err := tx.Release(app, number)
	if err != nil || old.ShareBP == shareBP && old.Paused == paused {
		return err
	}
	r := old
	r.ShareBP, r.Paused = shareBP, paused
	err = tx.exec(`UPDATE release SET share_bp = $1, paused = $2 WHERE app = $3 AND number = $4`, shareBP, paused, app, number)
	if err != nil {
		return err
	}
	return tx.releaseChange(&old, r)
}

// releaseChange touches the channel: what a channel serves is part of what its
// ETag stands for.
func (tx *Tx) releaseChange(before *capstan.Release, after capstan.Release) error {
	var old any
	if before != nil {
		old = releaseShape(*before)
	}
	return tx.change(tx.orgs[after.App], after.App, capstan.NounRelease, strconv.FormatInt(after.Number, 10),
		old, releaseShape(after), touched{capstan.NounChannel, after.App, after.Channel})
}
