package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

// event makes an event whose id is in the order of time, as UUIDv7 are.
func event(n int, device byte, at time.Time) capstan.Event {
	return capstan.Event{
		ID: fmt.Sprintf("%08x-%04x-7000-8000-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, n), App: app, Device: deviceID(device),
		Action: "set", Version: "1.0.1", File: "a/b.js", OldVersion: "1.0.0", Platform: capstan.Android, Native: "1.0.0", Plugin: "8.44.1",
		Prod: true, Emulator: true, At: at.Add(-time.Second), ReceivedAt: at, Metadata: `{"a":"b"}`,
	}
}

func TestEventsAreReadNewestFirstOverDays(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		var all []capstan.Event
		for i := range 5 { // days, with two batches each
			for j := range 2 {
				var batch []capstan.Event
				for k := range 3 {
					batch = append(batch, event(i*100+j*10+k, 1, clock.Now()))
				}
				other := event(99, 2, clock.Now())
				foreign := event(98, 1, clock.Now())
				foreign.App = "com.example.other"
				if err := db.AppendEvents(t.Context(), append(batch, other, foreign)); err != nil {
					t.Fatal(err)
				}
				all = append(all, batch...)
				clock.Add(time.Minute)
			}
			clock.Add(day)
		}
		all[0].At, all[0].Metadata = time.Time{}, ""
		bare := capstan.Event{ID: "ffffffff-0000-7000-8000-000000000000", App: app, Device: deviceID(1), Action: "unknown to us", ReceivedAt: clock.Now()}
		if err := db.AppendEvents(t.Context(), []capstan.Event{bare}); err != nil {
			t.Fatal(err)
		}
		want := []capstan.Event{bare}
		for i := range all {
			want = append(want, all[len(all)-1-i])
		}
		want[len(want)-1] = event(0, 1, all[0].ReceivedAt)
		for range 2 { // the second time past days have their index
			var got []capstan.Event
			for before := ""; ; {
				page, err := db.Events(t.Context(), app, deviceID(1), 7, before)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, page...)
				if len(page) < 7 {
					break
				}
				before = page[6].ID
			}
			diff(t, "events", want, got)
		}
		if open := db.EventFiles(); open > 2 {
			t.Errorf("%d event files are open", open)
		}
		none, err := db.Events(t.Context(), app, deviceID(7), 0, "")
		diff(t, "of a silent device", []capstan.Event(nil), none, cmpopts.EquateEmpty())
		if err := errors.Join(err, db.AppendEvents(t.Context(), nil)); err != nil {
			t.Error(err)
		}
	})
}

func TestBatchAtMidnightIsOnePiece(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clock := storetest.NewClock()
	db := storetest.Open(t, store.Options{Dir: dir, Now: clock.Now})
	midnight := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	batch := []capstan.Event{event(1, 1, midnight.Add(-time.Millisecond)), event(2, 1, midnight)}
	if err := db.AppendEvents(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "events", "*.db"))
	if err != nil || len(files) != 1 || filepath.Base(files[0]) != "2026-11-26.db" {
		t.Errorf("files %v, %v", files, err)
	}
}

func TestEventsOfADroppedDayAreGoneAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clock := storetest.NewClock()
	db := storetest.Open(t, store.Options{Dir: dir, Now: clock.Now})
	for n := range 4 {
		if err := db.AppendEvents(t.Context(), []capstan.Event{event(n, 1, clock.Now())}); err != nil {
			t.Fatal(err)
		}
		clock.Add(day)
	}
	if err := os.Remove(filepath.Join(dir, "events", "2026-11-25.db")); err != nil {
		t.Fatal(err)
	}
	// What does not look like a day is none of ours.
	if err := os.WriteFile(filepath.Join(dir, "events", "notes.db"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := db.Events(t.Context(), app, deviceID(1), 0, "")
	if err != nil || len(list) != 3 {
		t.Errorf("%d events, %v", len(list), err)
	}
}

func TestEventsAreAppendedConcurrently(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		now := time.Now()
		var group sync.WaitGroup
		for w := range 4 {
			group.Go(func() {
				for i := range 10 {
					at := now.Add(time.Duration(i%3) * day) // partitions are made by several at once
					if err := db.AppendEvents(t.Context(), []capstan.Event{event(w*100+i, 1, at)}); err != nil {
						t.Errorf("append: %v", err)
					}
					if _, err := db.Events(t.Context(), app, deviceID(1), 5, ""); err != nil {
						t.Errorf("read: %v", err)
					}
				}
			})
		}
		group.Wait()
		list, err := db.Events(t.Context(), app, deviceID(1), 100, "")
		if err != nil || len(list) != 40 {
			t.Errorf("%d events, %v", len(list), err)
		}
	})
}

func TestTwoProcessesMakeOnePartition(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	db := storetest.Open(t, store.Options{PostgresURL: url, Now: time.Now})
	pool, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	tx, err := pool.BeginTx(t.Context(), nil) // the other process
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for _, text := range []string{
		`SELECT pg_advisory_xact_lock(hashtext('capstan event partition'))`,
		fmt.Sprintf(`CREATE TABLE event_20261125 PARTITION OF event FOR VALUES IN (%d)`, at.Unix()/86400),
	} {
		if _, err := tx.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := db.AppendEvents(t.Context(), []capstan.Event{event(1, 1, at)}); err != nil {
			t.Errorf("append: %v", err)
		}
	}()
	untilBlocked(t, db, done)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	<-done
}
