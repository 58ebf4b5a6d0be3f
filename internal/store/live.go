package store

import (
	"context"
	"database/sql"

	"github.com/capstan-ota/capstan"
)

// liveWalk goes over the releases of one channel, newest first, and finds those that
// may still serve somebody: until newer finished ones cover every platform
// for every native version. A finished release covers the platforms for which
// its bundle has no lowest native version. Whether a release is replaced is
// never written down: it follows from the rows.
type liveWalk struct {
	covered capstan.PlatformSet
}

// done reports whether no older release can be live.
func (w *liveWalk) done() bool { return w.covered == capstan.AllPlatforms }

// next takes the next older release and reports whether it is live. nativeMin
// belongs to its bundle.
func (w *liveWalk) next(r capstan.Release, nativeMin map[capstan.Platform]string) bool {
	if w.done() || r.Ended() {
		return false
	}
	if r.Finished() {
		for _, p := range capstan.Platforms {
			if _, bounded := nativeMin[p]; !bounded {
				w.covered = w.covered.With(p, true)
			}
		}
	}
	return true
}

// walkPage is how many releases are read at a time; most channels are covered
// by their newest.
const walkPage = 20

// channelReleases returns the releases of a channel, newest first, that are
// live or among its last few, with live telling which are live. nativeMin
// gives the bounds of a bundle.
func channelReleases(ctx context.Context, tx *sql.Tx, app, channel string, last int,
	nativeMin func(bundle string) (map[capstan.Platform]string, error),
) (list []capstan.Release, live map[int64]bool, err error) {
	var walk liveWalk
	live = map[int64]bool{}
	seen := 0
	for before := int64(0); ; {
		page, err := readReleases(ctx, tx, app, ReleaseFilter{Channel: channel, Before: before, Limit: walkPage})
		if err != nil {
			return nil, nil, err
		}
		for _, r := range page {
			if seen >= last && walk.done() {
				return list, live, nil
			}
			bounds, err := nativeMin(r.Bundle)
			if err != nil {
				return nil, nil, err
			}
			isLive := walk.next(r, bounds)
			if isLive {
				live[r.Number] = true
			}
			if isLive || seen < last {
				list = append(list, r)
			}
			seen++
			before = r.Number
		}
		if len(page) < walkPage {
			return list, live, nil
		}
	}
}
