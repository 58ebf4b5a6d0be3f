package catalog_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/catalog"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

const app = "com.example.app"

func TestMain(m *testing.M) { storetest.Main(m) }

func open(t *testing.T, db *store.DB) *catalog.Catalog {
	t.Helper()
	c := catalog.New(db, func(_, _ *decide.App) {}, slog.New(slog.DiscardHandler))
	if err := c.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, db *store.DB, fn func(*store.Tx) error) int64 {
	t.Helper()
	n, err := db.Write(t.Context(), "system", fn)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func addApp(t *testing.T, db *store.DB) int64 {
	t.Helper()
	return write(t, db, func(tx *store.Tx) error {
		return tx.CreateApp(capstan.App{ID: app, Org: capstan.DefaultOrg, Name: "before"})
	})
}

func rename(t *testing.T, db *store.DB, name string) int64 {
	t.Helper()
	return write(t, db, func(tx *store.Tx) error {
		a, err := tx.App(app)
		if err != nil {
			return err
		}
		a.Name = name
		return tx.UpdateApp(a)
	})
}

func name(t *testing.T, c *catalog.Catalog) string {
	t.Helper()
	a, known, err := c.App(app)
	if err != nil {
		t.Fatal(err)
	}
	if !known {
		return "unknown"
	}
	return a.Row.Name
}

func TestUnloadedCatalogIsNotAnUnknownApp(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	c := catalog.New(db, func(_, _ *decide.App) {}, slog.New(slog.DiscardHandler))
	if _, _, err := c.App(app); capstan.CodeOf(err) != capstan.CodeUnavailable {
		t.Errorf("App = %v, want code unavailable", err)
	}
	if err := c.Sync(t.Context(), app, 1); capstan.CodeOf(err) != capstan.CodeUnavailable {
		t.Errorf("Sync = %v, want code unavailable", err)
	}
	if c.Stale() == nil {
		t.Error("a catalog that never loaded is not stale")
	}
}

func TestSyncShowsAChangeAtOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := open(t, db)
		if got := name(t, c); got != "unknown" {
			t.Errorf("an empty store has the app %q", got)
		}
		if err := c.Sync(t.Context(), app, addApp(t, db)); err != nil || name(t, c) != "before" {
			t.Errorf("after it was made the app is %q, %v", name(t, c), err)
		}
		n := rename(t, db, "after")
		if got := name(t, c); got != "before" {
			t.Errorf("before Sync the app is %q: a snapshot changed under its readers", got)
		}
		if err := c.Sync(t.Context(), app, n); err != nil || name(t, c) != "after" {
			t.Errorf("after Sync the app is %q, %v", name(t, c), err)
		}
		n = write(t, db, func(tx *store.Tx) error { return tx.DeleteApp(app) })
		c.SetPin(capstan.Pin{App: app, Device: capstan.DeviceID{1}, Kind: capstan.PinOperator, Channel: "x"})
		if err := c.Sync(t.Context(), app, n); err != nil || name(t, c) != "unknown" {
			t.Errorf("after deletion the app is %q, %v", name(t, c), err)
		}
		if o := c.Overlay(app, capstan.DeviceID{1}); o.Pin != "" {
			t.Errorf("a deleted app left the pin %q", o.Pin)
		}
	})
}

// A caller that goes away after its commit must not leave devices behind.
func TestSyncOutlivesItsCaller(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := open(t, db)
		n := addApp(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Sync(ctx, app, n); err != nil || name(t, c) != "before" {
			t.Errorf("after a cancelled Sync the app is %q, %v", name(t, c), err)
		}
	})
}

func TestSnapshotNeverGoesBack(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := open(t, db)
		if err := c.Sync(t.Context(), app, addApp(t, db)); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		stop := make(chan struct{})
		looks := 0
		wg.Go(func() {
			last := int64(0)
			for {
				a, _, err := c.App(app)
				if err != nil {
					t.Error(err)
					return
				}
				if a.Number < last {
					t.Errorf("the snapshot went from %d back to %d", last, a.Number)
					return
				}
				last = a.Number
				looks++
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				for i := range 5 {
					n := rename(t, db, string(rune('a'+w))+string(rune('0'+i)))
					if err := c.Sync(t.Context(), app, n); err != nil {
						t.Error(err)
					}
					if a, _, _ := c.App(app); a.Number < n {
						t.Errorf("Sync to %d left the snapshot at %d", n, a.Number)
					}
				}
			})
		}
		writers.Wait()
		close(stop)
		wg.Wait()
		t.Logf("looked %d times", looks)
		if looks < 10 {
			t.Errorf("looked only %d times", looks)
		}
	})
}

// Another node's changes come in by the number.
func TestFollowSeesOtherNodes(t *testing.T) {
	t.Parallel()
	db := storetest.PostgresDB(t)
	c := open(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Follow(ctx, time.Millisecond)
	}()
	addApp(t, db)
	deadline := time.Now().Add(20 * time.Second)
	for name(t, c) != "before" {
		if time.Now().After(deadline) {
			t.Fatal("another node's app did not come in")
		}
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
		}
	}
	cancel()
	<-done
	if err := c.Stale(); err != nil {
		t.Errorf("stale: %v", err)
	}
}

func TestFailureOfAVersionIsReplacedNotAdded(t *testing.T) {
	t.Parallel()
	c := open(t, storetest.SQLite(t))
	id := capstan.DeviceID{7}
	for release := range int64(3) {
		c.AddFailure(capstan.Failure{App: app, Device: id, Version: "1.0.0", Release: release})
	}
	before := c.Overlay(app, id).Failures
	c.AddFailure(capstan.Failure{App: app, Device: id, Version: "2.0.0", Release: 9})
	if len(before) != 1 || before[0].Release != 2 {
		t.Errorf("failures %+v, want the newest of 1.0.0; and a slice that was handed out must not change", before)
	}
	if got := c.Overlay(app, id).Failures; len(got) != 2 {
		t.Errorf("failures %+v, want two versions", got)
	}
	c.ClearFailures(app, id)
	if got := c.Overlay(app, id); len(got.Failures) != 0 {
		t.Errorf("after clearing: %+v", got)
	}
}
