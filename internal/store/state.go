package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/capstan-ota/capstan"
)

// KeepReleases is how many releases of each channel keep their bytes, whether
// anything serves them or not, so that they can be gone back to.
const KeepReleases = 10

const (
	nativeMinSQL = `SELECT ` + bundleColumns + ` FROM bundle WHERE id IN (%s)`
	filesInSQL   = `SELECT bundle, path, digest, size, encoding, blob, blob_bytes FROM bundle_file WHERE bundle IN (%s)`
)

// AppState reads everything that can change an answer to one of the app's
// devices, besides pins and failures, in one read transaction. Of each
// channel's releases it holds the live ones, the last [KeepReleases] and all
// that were ended, since a device may run what was taken back. Bundles are all
// that these name; Files those of ready bundles with DeltaOffered. Channels
// are ordered by name, releases by number. Error: app_not_found.
func (db *DB) AppState(ctx context.Context, app string) (capstan.AppState, error) {
	var state capstan.AppState
	err := db.read(ctx, "read app "+app, func(tx *sql.Tx) (err error) {
		state, err = readAppState(ctx, tx, app)
		return err
	})
	if err != nil {
		return capstan.AppState{}, err
	}
	return state, nil
}

func readAppState(ctx context.Context, tx *sql.Tx, app string) (state capstan.AppState, err error) {
	if state.Number, err = readNumber(ctx, tx); err != nil {
		return state, err
	}
	if state.App, err = readApp(ctx, tx, app); err != nil {
		return state, err
	}
	if state.Channels, err = readChannels(ctx, tx, app); err != nil {
		return state, err
	}
	bundles := bundleCache{ctx: ctx, tx: tx, rows: map[string]capstan.Bundle{}}
	for _, c := range state.Channels {
		list, err := stateReleases(ctx, tx, app, c.Name, &bundles)
		if err != nil {
			return state, err
		}
		state.Releases = append(state.Releases, list...)
	}
	slices.SortFunc(state.Releases, func(a, b capstan.Release) int { return int(a.Number - b.Number) })
	if err := bundles.load(state.Releases); err != nil {
		return state, err
	}
	state.Bundles, state.Files, err = bundles.finish()
	return state, err
}

// stateReleases returns the releases of one channel that a snapshot needs.
func stateReleases(ctx context.Context, tx *sql.Tx, app, channel string, bundles *bundleCache) ([]capstan.Release, error) {
	list, _, err := channelReleases(ctx, tx, app, channel, KeepReleases, bundles.nativeMin)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	oldest := list[len(list)-1].Number
	have := map[int64]bool{}
	for _, r := range list {
		have[r.Number] = true
	}
	// The walk passes over ended releases that are older than the last few.
	ended, err := collect(ctx, tx, scanRelease, releasesEndSQL, app, channel, int64(newestNumberCap))
	for _, r := range ended {
		if r.Number < oldest || !have[r.Number] {
			list = append(list, r)
		}
	}
	return list, err
}

// bundleCache reads bundles as releases name them.
type bundleCache struct {
	ctx  context.Context
	tx   *sql.Tx
	rows map[string]capstan.Bundle
}

func (c *bundleCache) nativeMin(id string) (map[capstan.Platform]string, error) {
	if id == "" {
		return nil, nil
	}
	if b, ok := c.rows[id]; ok {
		return b.NativeMin, nil
	}
	err := c.read([]string{id})
	return c.rows[id].NativeMin, err
}

func (c *bundleCache) load(releases []capstan.Release) error {
	var ids []string
	for _, r := range releases {
		if _, ok := c.rows[r.Bundle]; !ok && r.Bundle != "" {
			ids = append(ids, r.Bundle)
		}
	}
	slices.Sort(ids)
	return c.read(slices.Compact(ids))
}

func (c *bundleCache) read(ids []string) error {
	return chunks(ids, 1, func(list string, args []any) error {
		return each(c.ctx, c.tx, scanBundle, func(b capstan.Bundle) error {
			c.rows[b.ID] = b
			return nil
		}, fmt.Sprintf(nativeMinSQL, list), args...)
	})
}

// finish returns the bundles, ordered by id, and the files of those that are
// offered as deltas.
func (c *bundleCache) finish() ([]capstan.Bundle, map[string][]capstan.StoredFile, error) {
	bundles, files := []capstan.Bundle{}, map[string][]capstan.StoredFile{}
	var ids []string
	for _, b := range c.rows {
		bundles = append(bundles, b)
		if b.DeltaOffered && b.State == capstan.BundleReady {
			ids = append(ids, b.ID)
		}
	}
	slices.SortFunc(bundles, func(a, b capstan.Bundle) int { return strings.Compare(a.ID, b.ID) })
	slices.Sort(ids)
	err := chunks(ids, 1, func(list string, args []any) error {
		rows, err := c.tx.QueryContext(c.ctx, fmt.Sprintf(filesInSQL, list), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			var f capstan.StoredFile
			if err := rows.Scan(&id, &f.Path, &f.Digest, &f.Size, &f.Encoding, &f.Blob, &f.BlobBytes); err != nil {
				return err
			}
			files[id] = append(files[id], f)
		}
		return rows.Err()
	})
	for _, list := range files {
		slices.SortFunc(list, func(a, b capstan.StoredFile) int { return strings.Compare(a.Path, b.Path) })
	}
	return bundles, files, err
}
