package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/capstan-ota/capstan"
)

// Keep says what holds bytes. The zero value is the house's rule.
type Keep struct {
	Grace    time.Duration // no blob younger than this is taken; 0: [Grace]
	Releases int           // last releases per channel; 0: [KeepReleases]
	Seen     time.Duration // bundles that devices seen within this run or were offered; 0: 30 days
	Unnamed  time.Duration // bundles that no release ever named; 0: 30 days
	Limit    int           // blobs to mark per call; 0: 1000
}

func (k Keep) defaults() Keep {
	const month = 30 * 24 * time.Hour
	if k.Grace == 0 {
		k.Grace = Grace
	}
	if k.Releases == 0 {
		k.Releases = KeepReleases
	}
	if k.Seen == 0 {
		k.Seen = month
	}
	if k.Unnamed == 0 {
		k.Unnamed = month
	}
	if k.Limit == 0 {
		k.Limit = 1000
	}
	return k
}

const (
	readyBundlesSQL = `SELECT id, version, created_at FROM bundle WHERE app = $1 AND state = 'ready'`
	everNamedSQL    = `SELECT DISTINCT bundle FROM release WHERE app = $1 AND bundle <> ''`
	runningSQL      = `SELECT DISTINCT running FROM seen WHERE app = $1 AND at >= $2`
	offeredSQL      = `SELECT DISTINCT offered FROM device WHERE app = $1 AND last_day >= $2 AND offered <> ''`

	// unnamed is the condition of a blob that nothing holds: $1 is now, $2 the
	// youngest creation that may be taken.
	unnamed = `state = 'ready' AND lease_until < $1 AND created_at <= $2
		AND NOT EXISTS (SELECT 1 FROM bundle_file f JOIN bundle b ON b.id = f.bundle
			WHERE f.blob = blob.digest AND b.state = 'ready')
		AND NOT EXISTS (SELECT 1 FROM bundle b WHERE b.archive = blob.digest AND b.state = 'ready')`

	unnamedSQL      = `SELECT digest FROM blob WHERE ` + unnamed + ` LIMIT $3`
	markDeletingSQL = `UPDATE blob SET state = 'deleting' WHERE ` + unnamed + ` AND digest IN (%s)`
	deletingSQL     = `SELECT digest FROM blob WHERE state = 'deleting' ORDER BY digest`
	forgetSQL       = `DELETE FROM blob WHERE state = 'deleting' AND digest IN (%s)`
	forgetOfSQL     = `DELETE FROM content WHERE blob IN (SELECT digest FROM blob WHERE state = 'deleting' AND digest IN (%s))`
)

// MarkCollectable marks bundles gone that nothing holds, then marks blobs that
// no ready bundle names deleting, and returns the digests of every blob in that
// state. The caller deletes their bytes, then calls [DB.ForgetBlobs]; the
// drawing above [Grace] has the states.
//
// A bundle holds its bytes while it is live on a channel, is among a channel's
// last releases, is run by or was offered to a device seen lately, or is young
// and was never released. A blob is held by a ready bundle, a lease, or its
// youth. Marking a bundle gone is a change, made by "system".
func (db *DB) MarkCollectable(ctx context.Context, keep Keep) ([]capstan.Digest, error) {
	keep = keep.defaults()
	apps, err := db.AppIDs(ctx)
	if err != nil {
		return nil, err
	}
	for _, app := range apps {
		if err := db.markGone(ctx, app, keep); err != nil {
			return nil, err
		}
	}
	// The long look for candidates holds no lock.
	now, youngest := ms(db.now()), ms(db.now().Add(-keep.Grace))
	candidates, err := collect(ctx, db.reader, scanString, unnamedSQL, now, youngest, keep.Limit)
	if err != nil {
		return nil, db.fail("look for blobs to collect", err)
	}
	err = db.transact(ctx, "mark blobs to collect", func(tx *sql.Tx) error {
		return db.markDeleting(ctx, tx, candidates, now, youngest)
	})
	if err != nil {
		return nil, err
	}
	marked, err := collect(ctx, db.reader, scanString, deletingSQL)
	digests := make([]capstan.Digest, len(marked))
	for i, d := range marked {
		digests[i] = capstan.Digest(d)
	}
	return digests, db.fail("read blobs to collect", err)
}

// markDeleting locks the candidates first and asks whether they are held in a
// second statement: the one statement alone would, on PostgreSQL, wait for a
// transaction that is naming the blob and then decide by what it saw before.
func (db *DB) markDeleting(ctx context.Context, tx *sql.Tx, candidates []string, now, youngest int64) error {
	slices.Sort(candidates)
	return chunks(candidates, 1, func(list string, args []any) error {
		if _, err := collect(ctx, tx, scanString,
			fmt.Sprintf(`SELECT digest FROM blob WHERE digest IN (%s) ORDER BY digest`, list)+db.dialect.lockRow(), args...); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf(markDeletingSQL, placeholders(3, len(args))), append([]any{now, youngest}, args...)...)
		return err
	})
}

// ForgetBlobs removes the rows of blobs whose bytes were deleted, and every
// organisation's contents that lay in them. Blobs that are not in deleting are
// left alone.
func (db *DB) ForgetBlobs(ctx context.Context, blobs []capstan.Digest) error {
	sorted := slices.Clone(blobs)
	slices.Sort(sorted)
	return db.transact(ctx, "forget deleted blobs", func(tx *sql.Tx) error {
		return chunks(sorted, 1, func(list string, args []any) error {
			for _, text := range [...]string{forgetOfSQL, forgetSQL} {
				if _, err := tx.ExecContext(ctx, fmt.Sprintf(text, list), args...); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// markGone marks the bundles of one app gone that nothing holds. What devices
// run is looked up first, without a lock; what releases hold is looked up
// again under the app's lock, since a release can name a bundle at any moment.
func (db *DB) markGone(ctx context.Context, app string, keep Keep) error {
	var devices map[string]bool
	err := db.read(ctx, "look for bundles to collect", func(tx *sql.Tx) error {
		loose, err := looseBundles(ctx, tx, app, keep, db.now(), nil)
		if err != nil || len(loose) == 0 {
			return err
		}
		devices, err = versionsOfDevices(ctx, tx, app, db.now().Add(-keep.Seen))
		return err
	})
	if err != nil || devices == nil {
		return err
	}
	_, err = db.Write(ctx, "system", func(tx *Tx) error {
		if _, err := tx.lockApp(app); err != nil {
			if capstan.CodeOf(err) == capstan.CodeAppNotFound {
				return nil // deleted meanwhile
			}
			return err
		}
		loose, err := looseBundles(tx.ctx, tx.sql, app, keep, tx.now, devices)
		if err != nil {
			return err
		}
		for _, id := range loose {
			if err := tx.MarkBundleGone(app, id); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// versionsOfDevices returns the versions that devices seen since then run or
// were offered.
func versionsOfDevices(ctx context.Context, tx *sql.Tx, app string, since time.Time) (map[string]bool, error) {
	versions := map[string]bool{}
	for _, q := range []struct {
		text string
		from int64
	}{{runningSQL, ms(since)}, {offeredSQL, ms(since) / dayMS}} {
		list, err := collect(ctx, tx, scanString, q.text, app, q.from)
		if err != nil {
			return nil, err
		}
		for _, v := range list {
			versions[v] = true
		}
	}
	return versions, nil
}

// looseBundles returns the ready bundles of an app that nothing holds, where
// devices are the versions that devices hold.
func looseBundles(ctx context.Context, tx *sql.Tx, app string, keep Keep, now time.Time, devices map[string]bool) ([]string, error) {
	held, err := heldByReleases(ctx, tx, app, keep.Releases)
	if err != nil {
		return nil, err
	}
	named, err := collect(ctx, tx, scanString, everNamedSQL, app)
	if err != nil {
		return nil, err
	}
	type row struct {
		id, version string
		created     int64
	}
	ready, err := collect(ctx, tx, func(s scanner) (r row, err error) {
		return r, s.Scan(&r.id, &r.version, &r.created)
	}, readyBundlesSQL, app)
	if err != nil {
		return nil, err
	}
	var loose []string
	for _, b := range ready {
		young := b.created > ms(now.Add(-keep.Unnamed)) && !slices.Contains(named, b.id)
		if !held[b.id] && !devices[b.version] && !young {
			loose = append(loose, b.id)
		}
	}
	return loose, nil
}

// heldByReleases returns the ids of bundles that are live or among the last
// releases of a channel. Pins hold nothing more: they name channels.
func heldByReleases(ctx context.Context, tx *sql.Tx, app string, last int) (map[string]bool, error) {
	channels, err := readChannels(ctx, tx, app)
	if err != nil {
		return nil, err
	}
	held := map[string]bool{}
	bundles := bundleCache{ctx: ctx, tx: tx, rows: map[string]capstan.Bundle{}}
	for _, c := range channels {
		list, _, err := channelReleases(ctx, tx, app, c.Name, last, bundles.nativeMin)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			held[r.Bundle] = true
		}
	}
	return held, nil
}
