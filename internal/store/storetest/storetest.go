// Package storetest opens a store on every engine, for tests.
//
// SQLite lives in t.TempDir. PostgreSQL is a real server, found on PATH or
// where Debian installs it, started once per test binary on a temporary
// directory and a Unix socket, so there is no port to collide on; each test
// gets its own database, copied from a migrated template. A missing engine
// fails the test and never skips it.
//
// The server ends with the test binary, however that ends: it is run by a
// shell that waits for the end of a pipe which only the binary holds open.
package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/capstan-ota/capstan/internal/store"
)

// Run runs fn once per engine, each time on a fresh, migrated store, in
// parallel.
func Run(t *testing.T, fn func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); fn(t, PostgresDB(t)) })
}

// Clock is a time that tests move; it stands still else. It is safe for
// concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at noon of 25 November 2026, UTC.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)} }

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// RunClock is Run with a clock that the test moves.
func RunClock(t *testing.T, fn func(t *testing.T, db *store.DB, clock *Clock)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		clock := NewClock()
		fn(t, Open(t, store.Options{Dir: t.TempDir(), Now: clock.Now}), clock)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		clock := NewClock()
		fn(t, Open(t, store.Options{PostgresURL: Postgres(t), Now: clock.Now}), clock)
	})
}

// SQLite opens a fresh SQLite store in t.TempDir.
func SQLite(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, store.Options{Dir: t.TempDir(), Now: time.Now})
}

// PostgresDB opens a store on a fresh PostgreSQL database.
func PostgresDB(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, store.Options{PostgresURL: Postgres(t), Now: time.Now})
}

// Open opens a store and closes it when the test ends.
func Open(t testing.TB, o store.Options) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return db
}
