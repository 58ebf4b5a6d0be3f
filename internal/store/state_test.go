package store_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func stateNumbers(t testing.TB, db *store.DB) (got []int64, state capstan.AppState) {
	t.Helper()
	state, err := db.AppState(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range state.Releases {
		got = append(got, r.Number)
	}
	return got, state
}

func TestAppStateHoldsWhatAnswersDependOn(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		bundles := fill(t, db)
		plain := makeBundle(t, db, "1.1.0", func(b *capstan.Bundle) { b.DeltaOffered = false })
		release(t, db, "beta", plain)
		makeBundle(t, db, "1.2.0") // never released: not part of it
		numbers, got := stateNumbers(t, db)
		diff(t, "releases", []int64{1, 2, 3}, numbers)
		a, _ := db.App(t.Context(), app)
		channels, _ := db.Channels(t.Context(), app)
		want := capstan.AppState{
			Number: number(t, db), App: a, Channels: channels, Releases: got.Releases,
			Bundles: append(bundles, plain), Files: map[string][]capstan.StoredFile{},
		}
		for _, b := range bundles {
			want.Files[b.ID], _ = db.BundleFiles(t.Context(), b.ID)
		}
		diff(t, "state", want, got, cmpopts.EquateEmpty())
	})
}

func TestAppStateKeepsLiveLastTenAndEndedReleases(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		makeChannel(t, db, "production")
		old := makeBundle(t, db, "1.0.0")
		ended := release(t, db, "production", old)    // 1: kept, it was ended
		release(t, db, "production", old)             // 2: covered by 3
		covering := release(t, db, "production", old) // 3: live for old iOS apps, 4 to 33 need a newer one
		newer := makeBundle(t, db, "2.0.0", func(b *capstan.Bundle) {
			b.NativeMin = map[capstan.Platform]string{capstan.IOS: "2.0.0"}
		})
		for range 30 {
			release(t, db, "production", newer)
		}
		write(t, db, func(tx *store.Tx) error { return tx.EndRelease(app, ended.Number, capstan.EndRolledBack) })
		got, _ := stateNumbers(t, db)
		want := []int64{ended.Number, covering.Number}
		for n := int64(24); n <= 33; n++ { // the last ten; of these 33 alone is live
			want = append(want, n)
		}
		diff(t, "live for old apps", want, got)

		release(t, db, "production", old) // 34 covers everything
		got, _ = stateNumbers(t, db)
		want = []int64{ended.Number}
		for n := int64(25); n <= 34; n++ {
			want = append(want, n)
		}
		diff(t, "covered", want, got)
	})
}

func TestAppStateIsOneMoment(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		makeChannel(t, db, "production")
		b := makeBundle(t, db, "1.0.0")
		base := number(t, db)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 25 { // each write makes the channel and the release agree
				_, err := db.Write(t.Context(), "tester", func(tx *store.Tx) error {
					if err := tx.UpdateApp(capstan.App{ID: app, Name: fmt.Sprint(i + 1)}); err != nil {
						return err
					}
					_, err := tx.CreateRelease(capstan.Release{App: app, Channel: "production", Bundle: b.ID, ShareBP: capstan.ShareAll})
					return err
				})
				if err != nil {
					t.Errorf("write: %v", err)
				}
			}
		}()
		for reading := true; reading; {
			select {
			case <-done:
				reading = false
			default:
			}
			_, state := stateNumbers(t, db)
			var newest int64
			if n := len(state.Releases); n > 0 {
				newest = state.Releases[n-1].Number
			}
			if newest > 0 && state.App.Name != fmt.Sprint(newest) || state.Number != base+2*newest {
				t.Fatalf("app of write %q, releases of write %d, number %d", state.App.Name, newest, state.Number)
			}
		}
	})
}
