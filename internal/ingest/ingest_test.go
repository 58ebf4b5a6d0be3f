package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/catalog"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/ingest"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

const app = "com.example.app"

var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

type world struct {
	*ingest.Ingest
	t   *testing.T
	db  *store.DB
	cat *catalog.Catalog
}

// newWorld has an app, and an Ingest that writes when it is told to.
func newWorld(t *testing.T, db *store.DB) *world {
	t.Helper()
	_, err := db.Write(t.Context(), "system", func(tx *store.Tx) error {
		return tx.CreateApp(capstan.App{ID: app, Org: capstan.DefaultOrg, Name: app})
	})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	cat := catalog.New(db, func(_, _ *decide.App) {}, log)
	if err := cat.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	in := ingest.New(ingest.Options{DB: db, Catalog: cat, Log: log, Now: func() time.Time { return start }, FlushEvery: time.Hour})
	t.Cleanup(in.Close)
	return &world{Ingest: in, t: t, db: db, cat: cat}
}

func id(n int) capstan.DeviceID {
	return capstan.DeviceID{byte(n >> 8), byte(n), 0x40, 15: byte(n)}
}

// sighting is a check of device n at the given second.
func sighting(n, second int, running string) ingest.Sighting {
	return ingest.Sighting{
		Device: capstan.Device{
			App: app, ID: id(n), Platform: capstan.Android, NativeVersion: "1.0.0", PluginVersion: "8.51.23", Prod: true,
			Running: running, LastSeen: start.Add(time.Duration(second) * time.Second),
		},
		Decision: decide.Decision{Outcome: capstan.UpToDate, Reason: capstan.ReasonSameVersion},
	}
}

func offer(n, second int, version string, release int64) ingest.Sighting {
	s := sighting(n, second, "1.0.0")
	s.Decision = decide.Decision{
		Outcome: capstan.Offer, Reason: capstan.ReasonNewRelease,
		Bundle: &decide.Bundle{Version: version}, Release: &capstan.Release{Number: release},
	}
	return s
}

func (w *world) flush() {
	w.t.Helper()
	if err := w.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) device(n int) capstan.Device {
	w.t.Helper()
	d, err := w.db.Device(w.t.Context(), app, id(n).String())
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func event(n int, action, version string, at time.Time) capstan.Event {
	return capstan.Event{
		ID: fmt.Sprintf("%d-%s-%s-%d", n, action, version, at.UnixNano()), App: app, Device: id(n), Action: action, Version: version,
		Platform: capstan.Android, Prod: true, At: at, ReceivedAt: start,
	}
}

func (w *world) stored(n int) []string {
	w.t.Helper()
	events, err := w.db.Events(w.t.Context(), app, id(n), 100, "")
	if err != nil {
		w.t.Fatal(err)
	}
	var actions []string
	for _, e := range events {
		actions = append(actions, e.Action)
	}
	return actions
}

func TestSightingKeepsOfferedApartFromRunning(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.Seen(offer(1, 0, "1.0.1", 7))
		w.Seen(sighting(1, 1, "1.0.0"))
		w.flush()
		d := w.device(1)
		if d.Running != "1.0.0" || d.Offered != "1.0.1" || d.OfferedRelease != 7 || d.Reason != capstan.ReasonSameVersion {
			t.Errorf("device %+v: an offer that a later check overtook in the queue was lost", d)
		}
		w.Seen(sighting(1, 2, "1.0.1"))
		w.flush()
		if d = w.device(1); d.Running != "1.0.1" || d.Offered != "1.0.1" || !d.LastSeen.Equal(start.Add(2*time.Second)) {
			t.Errorf("device %+v, want it to run what it was offered", d)
		}
	})
}

func TestDeviceThatSaysNothingNewIsWrittenOnceAMinute(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		seen := func(second int) time.Duration {
			w.Seen(sighting(1, second, "1.0.0"))
			w.flush()
			return w.device(1).LastSeen.Sub(start)
		}
		for _, step := range []struct {
			second int
			want   time.Duration
		}{{0, 0}, {30, 0}, {59, 0}, {60, time.Minute}, {61, time.Minute}, {125, 125 * time.Second}} {
			if got := seen(step.second); got != step.want {
				t.Errorf("after a check at second %d the device was last seen at %v, want %v", step.second, got, step.want)
			}
		}
	})
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		const devices = 20_000
		for n := range devices {
			w.Seen(sighting(n, 0, "1.0.0"))
		}
		dropped := w.Counts().DroppedSightings
		if dropped != devices-16_384 {
			t.Errorf("%d of %d sightings were dropped, want %d", dropped, devices, devices-16_384)
		}
		w.flush()
		w.Seen(sighting(devices-1, 1, "1.0.0"))
		w.flush()
		if d := w.device(devices - 1); d.Running != "1.0.0" {
			t.Errorf("a dropped device is not recorded at its next check: %+v", d)
		}
	})
}

func TestEventsAreDurableWhenAcknowledged(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var wg sync.WaitGroup
		const phones = 40
		for n := range phones {
			wg.Go(func() {
				if err := w.Events(t.Context(), []capstan.Event{event(n, "set", "1.0.1", start), event(n, "app_launch_ready", "1.0.1", start)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for n := range phones {
			if got := w.stored(n); len(got) != 2 {
				t.Errorf("phone %d has %v stored, want 2 events", n, got)
			}
		}
	})
}

func TestRepeatedBatchIsStoredOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		batch := []capstan.Event{event(1, "set", "1.0.1", start), event(1, "set", "1.0.1", start), event(1, "set", "1.0.1", start.Add(time.Millisecond))}
		for range 3 {
			if err := w.Events(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.stored(1); len(got) != 2 {
			t.Errorf("stored %v, want the two that differ in time", got)
		}
		if got := w.Counts().DuplicateEvents; got != 7 {
			t.Errorf("counted %d duplicates, want 7", got)
		}
	})
}

// Worker events of Android carry no timestamp, so two that look alike are two.
func TestEventWithoutTimestampIsNeverADuplicate(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		for n := range 3 {
			e := event(1, "download_zip_start", "1.0.1", time.Time{})
			e.ID = fmt.Sprint("worker-", n)
			if err := w.Events(t.Context(), []capstan.Event{e}); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.stored(1); len(got) != 3 {
			t.Errorf("stored %v, want 3", got)
		}
	})
}

func TestFailureCountsOnlyForWhatWasOffered(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		// The offer is still queued when the report arrives.
		w.Seen(offer(1, 0, "1.0.1", 7))
		for _, e := range []capstan.Event{
			event(1, "update_fail", "1.0.1", start),
			event(1, "update_fail", "6.6.6", start), // never offered
			event(2, "update_fail", "1.0.1", start), // never asked
			event(1, "download_fail", "1.0.1", start),
		} {
			if err := w.Events(t.Context(), []capstan.Event{e}); err != nil {
				t.Fatal(err)
			}
		}
		got := w.cat.Overlay(app, id(1)).Failures
		if len(got) != 1 || got[0].Version != "1.0.1" || got[0].Release != 7 {
			t.Errorf("failures of the device %+v, want 1.0.1 up to release 7", got)
		}
		if got := w.cat.Overlay(app, id(2)).Failures; len(got) != 0 {
			t.Errorf("a device that was never offered anything has failures %+v", got)
		}

		again := catalog.New(w.db, func(_, _ *decide.App) {}, slog.New(slog.DiscardHandler))
		if err := again.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := again.Overlay(app, id(1)).Failures; len(got) != 1 {
			t.Errorf("after a restart the failures are %+v", got)
		}
	})
}

func TestElectronFailsWithSetFail(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		s := offer(1, 0, "1.0.1", 7)
		s.Device.Platform = capstan.Electron
		w.Seen(s)
		e := event(1, "set_fail", "1.0.1", time.Time{})
		e.Platform = capstan.Electron
		if err := w.Events(t.Context(), []capstan.Event{e}); err != nil {
			t.Fatal(err)
		}
		if got := w.cat.Overlay(app, id(1)).Failures; len(got) != 1 {
			t.Errorf("failures %+v, want one", got)
		}
	})
}

func TestSelfPinIsVisibleAtOnceAndAfterARestart(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		_, err := db.Write(t.Context(), "system", func(tx *store.Tx) error {
			_, err := tx.CreateChannel(capstan.NewChannel(app, "beta"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.SetSelfPin(t.Context(), app, id(1), "beta"); err != nil {
			t.Fatal(err)
		}
		if o := w.cat.Overlay(app, id(1)); o.Pin != "beta" || o.PinKind != capstan.PinSelf {
			t.Errorf("overlay %+v, want the device's own pin to beta", o)
		}
		w.cat.SetPin(capstan.Pin{App: app, Device: id(1), Kind: capstan.PinOperator, Channel: "production"})
		if o := w.cat.Overlay(app, id(1)); o.Pin != "production" || o.PinKind != capstan.PinOperator {
			t.Errorf("overlay %+v: an operator's pin must beat the device's own", o)
		}
		w.cat.RemovePin(app, id(1), capstan.PinOperator)
		if o := w.cat.Overlay(app, id(1)); o.Pin != "beta" {
			t.Errorf("overlay %+v: the device's own pin must show again", o)
		}
		again := catalog.New(w.db, func(_, _ *decide.App) {}, slog.New(slog.DiscardHandler))
		if err := again.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o := again.Overlay(app, id(1)); o.Pin != "beta" || o.PinKind != capstan.PinSelf {
			t.Errorf("after a restart the overlay is %+v", o)
		}
		if err := w.SetSelfPin(t.Context(), app, id(1), ""); err != nil {
			t.Fatal(err)
		}
		if o := w.cat.Overlay(app, id(1)); o.Pin != "" {
			t.Errorf("overlay %+v after the pin was lifted", o)
		}
	})
}

func TestStoppedStoreIsAnErrorNotALoss(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		err := w.Events(t.Context(), []capstan.Event{event(1, "set", "1.0.1", start)})
		if err == nil {
			t.Error("events were acknowledged although the store is closed")
		}
		if got := w.Counts().DuplicateEvents; got != 0 {
			t.Errorf("counted %d duplicates", got)
		}
	})
}

func TestGivingUpDoesNotBlock(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.Events(ctx, []capstan.Event{event(1, "update_fail", "1.0.1", start)}); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want none or context.Canceled", err)
		}
	})
}

func TestMain(m *testing.M) { storetest.Main(m) }
