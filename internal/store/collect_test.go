package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

const day = 24 * time.Hour

func mark(t testing.TB, db *store.DB) []capstan.Digest {
	t.Helper()
	marked, err := db.MarkCollectable(t.Context(), store.Keep{})
	if err != nil {
		t.Fatalf("mark: %v", err)
	}
	return marked
}

func state(t testing.TB, db *store.DB, b capstan.Bundle) capstan.BundleState {
	t.Helper()
	got, err := db.BundleByID(t.Context(), app, b.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got.State
}

func TestCollectorKeepsWhatANameHolds(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		makeChannel(t, db, "production")
		makeChannel(t, db, "quiet")
		at := func(version string, change ...func(*capstan.Bundle)) capstan.Bundle {
			b, files := newBundle(t, db, version, clock.Now().Add(time.Hour))
			for _, f := range change {
				f(&b)
			}
			write(t, db, func(tx *store.Tx) error { return tx.CreateBundle(b, files) })
			return b
		}
		live := at("1.0.0")
		release(t, db, "quiet", live) // the newest of a quiet channel
		old := at("1.0.1")
		release(t, db, "production", old)
		running, offered, forgotten := at("1.0.2"), at("1.0.3"), at("1.0.4")
		for _, b := range []capstan.Bundle{running, offered, forgotten} {
			release(t, db, "production", b)
		}
		unnamed := at("1.0.5")
		bounded := at("1.1.0", func(b *capstan.Bundle) { b.NativeMin = map[capstan.Platform]string{capstan.IOS: "1.1.0"} })
		base := at("1.1.1")
		release(t, db, "production", base) // live for old iOS apps, however many releases follow
		var last []capstan.Bundle
		for i := range 11 {
			b := at(fmt.Sprintf("1.2.%d", i), func(b *capstan.Bundle) { b.NativeMin = bounded.NativeMin })
			release(t, db, "production", b)
			last = append(last, b)
		}
		clock.Add(20 * day)
		see := func(n byte, running, offered string) store.Sighting {
			return store.Sighting{Offered: offered != "", Device: capstan.Device{
				App: app, ID: deviceID(n), Platform: capstan.IOS, NativeVersion: "1.0.0",
				Running: running, Offered: offered, OfferedRelease: 1, LastSeen: clock.Now(),
			}}
		}
		if err := db.WriteSightings(t.Context(), []store.Sighting{see(1, "1.0.2", ""), see(2, "1.0.0", "1.0.3")}); err != nil {
			t.Fatal(err)
		}
		mark(t, db)
		wantState := func(want capstan.BundleState, list ...capstan.Bundle) {
			t.Helper()
			for _, b := range list {
				if got := state(t, db, b); got != want {
					t.Errorf("bundle %s is %s, want %s", b.Version, got, want)
				}
			}
		}
		// The newest covers the native range of the ten before it: what is not among
		// the last ten goes.
		wantState(capstan.BundleGone, old, forgotten, last[0])
		wantState(capstan.BundleReady, live, running, offered, unnamed, base)
		wantState(capstan.BundleReady, last[1:]...)

		clock.Add(11 * day) // the unnamed are 31 days old, the devices were seen 11 days ago
		mark(t, db)
		wantState(capstan.BundleGone, unnamed, bounded)
		wantState(capstan.BundleReady, live, running, offered, base)

		clock.Add(20 * day) // and now the devices are silent, too
		mark(t, db)
		wantState(capstan.BundleGone, running, offered)
		wantState(capstan.BundleReady, live, base)
		changes, err := db.Changes(t.Context(), number(t, db)-1, 1)
		if err != nil || len(changes) != 1 || changes[0].Actor != "system" || changes[0].Noun != capstan.NounBundle {
			t.Errorf("collecting is a change of the system: %v, %v", changes, err)
		}
	})
}

func TestCollectorWaitsForGraceAndLeases(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		b, files := newBundle(t, db, "1.0.0", clock.Now().Add(time.Hour))
		write(t, db, func(tx *store.Tx) error { return tx.CreateBundle(b, files) })
		idle := upload(t, db, "o", "idle", capstan.Identity, clock.Now().Add(2*day))
		clock.Add(36 * time.Hour)
		if marked := mark(t, db); len(marked) != 0 {
			t.Errorf("held bytes were marked: %v", marked)
		}
		write(t, db, func(tx *store.Tx) error { return tx.MarkBundleGone(app, b.ID) })
		clock.Add(13 * time.Hour) // the lease of idle is over, downloads of b may be running
		diff(t, "marked", []capstan.Digest{idle.Blob}, mark(t, db))
		clock.Add(12 * time.Hour)
		want := []capstan.Digest{idle.Blob, b.Archive, files[0].Blob, files[1].Blob}
		slices.Sort(want)
		diff(t, "marked with those of the last mark", want, mark(t, db))

		if err := db.ForgetBlobs(t.Context(), want[1:]); err != nil {
			t.Fatal(err)
		}
		diff(t, "still to delete", want[:1], mark(t, db))
		contents, err := db.Contents(t.Context(), capstan.DefaultOrg, []capstan.Digest{files[0].Digest, files[1].Digest, b.Archive})
		if err != nil || len(contents) != 0 {
			t.Errorf("contents of deleted bytes: %v, %v", contents, err)
		}
	})
}

func TestDeletedAppsBytesWaitForGraceToo(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		b, files := newBundle(t, db, "1.0.0", clock.Now().Add(time.Hour))
		write(t, db, func(tx *store.Tx) error { return tx.CreateBundle(b, files) })
		clock.Add(40 * day)
		write(t, db, func(tx *store.Tx) error { return tx.DeleteApp(app) })
		clock.Add(23 * time.Hour)
		if marked := mark(t, db); len(marked) != 0 {
			t.Errorf("bytes that may be downloading were marked: %v", marked)
		}
		clock.Add(2 * time.Hour)
		if marked := mark(t, db); len(marked) != 3 {
			t.Errorf("marked %v", marked)
		}
	})
}

func TestBlobBeingDeletedCannotBeUsed(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		b, files := newBundle(t, db, "1.0.0", clock.Now().Add(time.Hour))
		clock.Add(2 * day)
		marked := mark(t, db)
		if len(marked) != 3 {
			t.Fatalf("marked %v", marked)
		}
		lease := clock.Now().Add(time.Hour)
		c := store.Content{Org: capstan.DefaultOrg, Digest: files[0].Digest, Encoding: capstan.Identity, Blob: files[0].Blob}
		for name, err := range map[string]error{
			"claim": db.ClaimBlob(t.Context(), c.Blob, c.BlobBytes, lease),
			"put":   db.PutContent(t.Context(), c, lease),
		} {
			if capstan.CodeOf(err) != capstan.CodeUnavailable {
				t.Errorf("%s: %v", name, err)
			}
		}
		missing, err := db.MissingContents(t.Context(), capstan.DefaultOrg, []store.Want{{Digest: c.Digest}}, lease)
		if err != nil || len(missing) != 1 {
			t.Errorf("missing: %v, %v", missing, err)
		}
		wantCode(t, db, capstan.CodeBlobMissing, func(tx *store.Tx) error { return tx.CreateBundle(b, files) })
		wantCode(t, db, capstan.CodeBlobMissing, func(tx *store.Tx) error { return tx.CheckBlobs(marked) })
		if list, err := db.Contents(t.Context(), capstan.DefaultOrg, []capstan.Digest{c.Digest}); err != nil || len(list) != 0 {
			t.Errorf("contents: %v, %v", list, err)
		}

		if err := db.ForgetBlobs(t.Context(), marked); err != nil {
			t.Fatal(err)
		}
		again, files := newBundle(t, db, "1.0.0", lease) // the same bytes once more
		write(t, db, func(tx *store.Tx) error { return tx.CreateBundle(again, files) })
		if err := db.ForgetBlobs(t.Context(), marked); err != nil { // a collector that is late
			t.Fatal(err)
		}
		write(t, db, func(tx *store.Tx) error { return tx.CheckBlobs(marked) })
	})
}

func TestReleaseOfABundleThatLostBytesIsRefused(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		makeChannel(t, db, "production")
		b := makeBundle(t, db, "1.0.0")
		if err := db.Exec(t.Context(), `DELETE FROM blob WHERE digest = $1`, string(b.Archive)); err != nil {
			t.Fatal(err)
		}
		wantCode(t, db, capstan.CodeBytesGone, func(tx *store.Tx) error {
			_, err := tx.CreateRelease(capstan.Release{App: app, Channel: "production", Bundle: b.ID})
			return err
		})
	})
}

// The collector looks while a bundle is being made of blobs whose leases are
// over, and decides when the bundle is there.
func TestCollectorWaitsForABundleInTheMaking(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		b, files := newBundle(t, db, "1.0.0", clock.Now().Add(time.Hour))
		clock.Add(2 * day)
		var marked []capstan.Digest
		done := make(chan struct{})
		write(t, db, func(tx *store.Tx) error {
			if err := tx.CreateBundle(b, files); err != nil {
				return err
			}
			go func() {
				defer close(done)
				var err error
				if marked, err = db.MarkCollectable(t.Context(), store.Keep{}); err != nil {
					t.Errorf("mark: %v", err)
				}
			}()
			untilBlocked(t, db, done)
			return nil
		})
		<-done
		if len(marked) != 0 {
			t.Errorf("marked %d blobs of a bundle that is there", len(marked))
		}
	})
}

// disk stands for the blob store: a set of digests.
type disk struct {
	mu    sync.Mutex
	bytes map[capstan.Digest]bool
}

func (d *disk) set(blob capstan.Digest, there bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bytes[blob] = there
}

func (d *disk) has(blob capstan.Digest) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bytes[blob]
}

// Uploads whose leases are over at once race a collector that never waits; no
// bundle may ever name bytes that are gone.
func TestCollectingRacesPublishing(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		d := &disk{bytes: map[capstan.Digest]bool{}}
		stop := make(chan struct{})
		var collecting, publishing sync.WaitGroup
		collecting.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				marked, err := db.MarkCollectable(t.Context(), store.Keep{Grace: time.Nanosecond})
				if err != nil {
					t.Errorf("mark: %v", err)
					return
				}
				for _, blob := range marked {
					d.set(blob, false)
				}
				if err := db.ForgetBlobs(t.Context(), marked); err != nil {
					t.Errorf("forget: %v", err)
					return
				}
			}
		})
		published := make([]int, 3)
		for w := range published {
			publishing.Go(func() {
				for i := range 12 {
					// All upload the same contents, under leases that are over.
					b, files, ok := raceUpload(t, db, d, fmt.Sprintf("1.%d.%d", w, i), fmt.Sprint("content ", i%3))
					if !ok {
						continue
					}
					_, err := db.Write(t.Context(), "tester", func(tx *store.Tx) error { return tx.CreateBundle(b, files) })
					if capstan.CodeOf(err) == capstan.CodeBlobMissing {
						continue // the collector was first: the client uploads again
					}
					if err != nil {
						t.Errorf("create: %v", err)
						return
					}
					published[w]++
					for _, blob := range []capstan.Digest{b.Archive, files[0].Blob} {
						if !d.has(blob) {
							t.Errorf("bundle %s names bytes that were deleted", b.Version)
						}
					}
					// And let go, so that there is something to collect.
					if _, err := db.Write(t.Context(), "tester", func(tx *store.Tx) error { return tx.MarkBundleGone(app, b.ID) }); err != nil {
						t.Errorf("let go: %v", err)
					}
					if err := db.Exec(t.Context(), `UPDATE blob SET lease_until = 0`); err != nil && capstan.CodeOf(err) != capstan.CodeUnavailable {
						t.Errorf("end leases: %v", err)
					}
				}
			})
		}
		publishing.Wait()
		close(stop)
		collecting.Wait()
		t.Logf("published %v", published)
	})
}

// raceUpload uploads as control does: claim, put, record; false when the
// collector was in the way.
func raceUpload(t *testing.T, db *store.DB, d *disk, version, text string) (b capstan.Bundle, files []capstan.StoredFile, ok bool) {
	zip, file := capstan.DigestOf([]byte("zip "+text)), capstan.DigestOf([]byte(text))
	for blob, encoding := range map[capstan.Digest]capstan.Encoding{zip: capstan.Archive, file: capstan.Identity} {
		err := db.ClaimBlob(t.Context(), blob, 1, time.Now())
		if err == nil {
			d.set(blob, true)
			err = db.PutContent(t.Context(), store.Content{Org: capstan.DefaultOrg, Digest: blob, Encoding: encoding, Blob: blob}, time.Now())
		}
		if err != nil {
			if capstan.CodeOf(err) != capstan.CodeUnavailable {
				t.Errorf("upload: %v", err)
			}
			return b, nil, false
		}
	}
	b = capstan.Bundle{ID: version, App: app, Version: version, Archive: zip}
	return b, []capstan.StoredFile{{Path: "index.html", Digest: file, Encoding: capstan.Identity, Blob: file}}, true
}
