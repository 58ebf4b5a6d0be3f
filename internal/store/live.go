package store

import (
	"context"
	"database/sql"

	"github.com/capstan-ota/capstan"
)

// walkPage is how many releases are read at a time; most channels are covered
// by their newest.
const walkPage = 20

// channelReleases returns the releases of a channel, newest first, that are
// live or among its last few, with live telling which are live. nativeMin
// gives the bounds of a bundle.
func channelReleases(ctx context.Context, tx *sql.Tx, app, channel string, last int,
	nativeMin func(bundle string) (map[capstan.Platform]string, error),
) (list []capstan.Release, live map[int64]bool, err error) {
	var walk capstan.LiveWalk
	live = map[int64]bool{}
	seen := 0
	for before := int64(0); ; {
		page, err := readReleases(ctx, tx, app, ReleaseFilter{Channel: channel, Before: before, Limit: walkPage})
		if err != nil {
			return nil, nil, err
		}
		for _, r := range page {
			if seen >= last && walk.Done() {
				return list, live, nil
			}
			bounds, err := nativeMin(r.Bundle)
			if err != nil {
				return nil, nil, err
			}
			isLive := walk.Next(r, bounds)
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
