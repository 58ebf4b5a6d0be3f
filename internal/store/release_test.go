package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestReleaseIsNumberedEndedAndSteered(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		makeChannel(t, db, "production")
		makeChannel(t, db, "beta")
		b := makeBundle(t, db, "1.0.0")
		release(t, db, "beta", b)
		var r capstan.Release
		n := write(t, db, func(tx *store.Tx) (err error) {
			r, err = tx.CreateRelease(capstan.Release{App: app, Channel: "production", Bundle: b.ID, Version: "made up", ShareBP: 100, Salt: "salt"})
			return err
		})
		want := capstan.Release{
			App: app, Number: 2, Channel: "production", Bundle: b.ID, Version: "1.0.0", ShareBP: 100, Salt: "salt",
			At: clock.Now(), By: "tester",
		}
		diff(t, "returned release", want, r)
		if c := channel(t, db, "production"); c.Number != n {
			t.Errorf("channel has number %d, want %d", c.Number, n)
		}
		clock.Add(time.Minute)
		write(t, db, func(tx *store.Tx) error { return tx.SetRollout(app, 2, 2500, true) })
		want.ShareBP, want.Paused = 2500, true
		got, err := db.Release(t.Context(), app, 2)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "paused release", want, got)
		write(t, db, func(tx *store.Tx) error { return tx.EndRelease(app, 2, capstan.EndQuarantined) })
		want.EndedAt, want.EndReason = clock.Now(), capstan.EndQuarantined
		got, err = db.Release(t.Context(), app, 2)
		diff(t, "ended release", want, got)
		if err != nil {
			t.Error(err)
		}
		clock.Add(time.Minute)
		if n := write(t, db, func(tx *store.Tx) error { return tx.EndRelease(app, 2, capstan.EndAborted) }); n != 0 {
			t.Errorf("ending an ended release took number %d", n)
		}
	})
}

func TestReleaseNumbersHaveNoGapsUnderConcurrency(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		b := makeBundle(t, db, "1.0.0")
		var group sync.WaitGroup
		for i := range 4 {
			makeChannel(t, db, fmt.Sprint("c", i))
			group.Go(func() {
				for range 5 {
					release(t, db, fmt.Sprint("c", i), b)
				}
			})
		}
		group.Wait()
		list, err := db.Releases(t.Context(), app, store.ReleaseFilter{})
		if err != nil || len(list) != 20 {
			t.Fatalf("%d releases, %v", len(list), err)
		}
		for i, r := range list {
			if r.Number != int64(20-i) {
				t.Errorf("release %d from the end has number %d", i, r.Number)
			}
		}
	})
}

func TestReleasesArePagedNewestFirst(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		makeChannel(t, db, "a")
		makeChannel(t, db, "b")
		bundle := makeBundle(t, db, "1.0.0")
		for i := range 6 {
			release(t, db, []string{"a", "b"}[i%2], bundle)
		}
		numbers := func(f store.ReleaseFilter) (got []int64) {
			list, err := db.Releases(t.Context(), app, f)
			if err != nil {
				t.Error(err)
			}
			for _, r := range list {
				got = append(got, r.Number)
			}
			return got
		}
		diff(t, "all", []int64{6, 5, 4, 3, 2, 1}, numbers(store.ReleaseFilter{}))
		diff(t, "first of a", []int64{5, 3}, numbers(store.ReleaseFilter{Channel: "a", Limit: 2}))
		diff(t, "rest of a", []int64{1}, numbers(store.ReleaseFilter{Channel: "a", Limit: 2, Before: 3}))
	})
}

func TestReleaseRefusals(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		makeApp(t, db, "com.example.other")
		makeChannel(t, db, "a")
		b := makeBundle(t, db, "1.0.0")
		write(t, db, func(tx *store.Tx) error {
			_, err := tx.CreateChannel(capstan.NewChannel("com.example.other", "a"))
			return err
		})
		create := func(r capstan.Release) func(tx *store.Tx) error {
			return func(tx *store.Tx) error { _, err := tx.CreateRelease(r); return err }
		}
		wantCode(t, db, capstan.CodeChannelNotFound, create(capstan.Release{App: app, Channel: "none", Bundle: b.ID}))
		wantCode(t, db, capstan.CodeBundleNotFound, create(capstan.Release{App: app, Channel: "a", Bundle: "none"}))
		wantCode(t, db, capstan.CodeBundleNotFound, create(capstan.Release{App: "com.example.other", Channel: "a", Bundle: b.ID}))
		wantCode(t, db, capstan.CodeInvalid, create(capstan.Release{App: app, Channel: "a", ShareBP: 10_001}))
		wantCode(t, db, capstan.CodeInvalid, func(tx *store.Tx) error { return tx.SetRollout(app, 1, -1, false) })
		wantCode(t, db, capstan.CodeReleaseNotFound, func(tx *store.Tx) error { return tx.SetRollout(app, 1, 1, false) })
		wantCode(t, db, capstan.CodeReleaseNotFound, func(tx *store.Tx) error { return tx.EndRelease(app, 1, capstan.EndAborted) })
		if _, err := db.Release(t.Context(), app, 1); capstan.CodeOf(err) != capstan.CodeReleaseNotFound {
			t.Errorf("reading: %v", err)
		}
	})
}
