// Package catalog keeps the compiled snapshots that device requests read. It
// loads an app's rows, compiles them, swaps the result in atomically and
// follows the change table; a reader pays one atomic load and one map look-up.
//
// Beside the snapshots it holds the overlays: pins and failed bundles, per
// device, in sharded maps that one change touches in one place.
//
// The subtle thing: an app's snapshot never goes back behind a change number
// that it has seen, however loads and changes overtake each other.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/store"
)

// Catalog is safe for concurrent use.
type Catalog struct {
	db      *store.DB
	prepare func(app, prev *decide.App)
	log     *slog.Logger

	apps     atomic.Pointer[map[string]*decide.App] // nil until the first load
	overlays atomic.Pointer[map[string]*overlay]

	mu       sync.Mutex // held while a snapshot is loaded and swapped in
	followed int64      // every change up to here is in the snapshots
	failed   atomic.Pointer[error]
}

// New returns a catalog of the apps in db. prepare encodes the answers of an
// app's bundles before the app is published; prev is the snapshot that it
// replaces, nil for the first. Load must succeed once before App answers.
func New(db *store.DB, prepare func(app, prev *decide.App), log *slog.Logger) *Catalog {
	c := &Catalog{db: db, prepare: prepare, log: log}
	c.overlays.Store(&map[string]*overlay{})
	return c
}

// Load reads every app and every overlay.
func (c *Catalog) Load(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The number first: what changes while we load is followed again later.
	number, err := c.db.Number(ctx)
	if err != nil {
		return fmt.Errorf("read change number: %w", err)
	}
	ids, err := c.db.AppIDs(ctx)
	if err != nil {
		return fmt.Errorf("list apps: %w", err)
	}
	apps := make(map[string]*decide.App, len(ids))
	for _, id := range ids {
		app, err := c.compile(ctx, id, nil)
		if err != nil {
			return err
		}
		if app != nil {
			apps[id] = app
		}
	}
	if err := c.loadOverlays(ctx); err != nil {
		return err
	}
	c.followed = number
	c.apps.Store(&apps)
	return nil
}

// compile loads and compiles one app; nil when the store has no such app.
func (c *Catalog) compile(ctx context.Context, id string, prev *decide.App) (*decide.App, error) {
	rows, err := c.db.AppState(ctx, id)
	if capstan.CodeOf(err) == capstan.CodeAppNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read app %s: %w", id, err)
	}
	app, err := decide.Compile(rows)
	if err != nil {
		return nil, fmt.Errorf("compile app %s: %w", id, err)
	}
	c.prepare(app, prev)
	return app, nil
}

// App returns the snapshot of the app with the given id. known is false when
// the store holds no such app; err is set (code unavailable) when the catalog
// has never been able to load, so that a store failure is never reported as
// an unknown app.
func (c *Catalog) App(id string) (app *decide.App, known bool, err error) {
	apps := c.apps.Load()
	if apps == nil {
		return nil, false, capstan.Errorf(capstan.CodeUnavailable, "the server has not read its apps yet")
	}
	app, known = (*apps)[id]
	return app, known, nil
}

// Sync returns once devices are answered from a snapshot of the app that holds
// the change with the given number, which must be committed.
func (c *Catalog) Sync(ctx context.Context, id string, number int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	apps := c.apps.Load()
	if apps == nil {
		return capstan.Errorf(capstan.CodeUnavailable, "the server has not read its apps yet")
	}
	prev := (*apps)[id]
	if prev != nil && prev.Number >= number {
		return nil
	}
	// The rows are committed: a caller that goes away must not leave devices on
	// the old snapshot.
	app, err := c.compile(context.WithoutCancel(ctx), id, prev)
	if err != nil {
		c.failed.Store(&err)
		return err
	}
	c.failed.Store(nil)
	if app != nil && prev != nil && app.Number < prev.Number {
		return nil
	}
	next := maps.Clone(*apps)
	if app == nil {
		delete(next, id)
		c.forget(id)
	} else {
		next[id] = app
	}
	c.apps.Store(&next)
	return nil
}

// Follow applies the changes of other nodes until ctx ends, looking for new
// ones each interval.
func (c *Catalog) Follow(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := c.catchUp(ctx)
		if err != nil && !errors.Is(err, ctx.Err()) {
			c.failed.Store(&err)
			c.log.Error("cannot follow changes", "error", err)
		}
	}
}

// catchUp loads what is new since the last call.
func (c *Catalog) catchUp(ctx context.Context) error {
	c.mu.Lock()
	after, loaded := c.followed, c.apps.Load() != nil
	c.mu.Unlock()
	if !loaded {
		return c.Load(ctx)
	}
	for {
		changes, err := c.db.Changes(ctx, after, 1000)
		if err != nil {
			return err
		}
		last := map[string]int64{}
		for _, change := range changes {
			last[change.App] = change.Number
			after = change.Number
		}
		delete(last, "")
		for id, number := range last {
			if err := c.Sync(ctx, id, number); err != nil {
				return err
			}
		}
		c.mu.Lock()
		c.followed = max(c.followed, after)
		c.mu.Unlock()
		if len(changes) < 1000 {
			c.failed.Store(nil)
			return nil
		}
	}
}

// Stale returns what keeps the snapshots from being current, nil when nothing
// is known to.
func (c *Catalog) Stale() error {
	if c.apps.Load() == nil {
		return capstan.Errorf(capstan.CodeUnavailable, "the server has not read its apps yet")
	}
	if err := c.failed.Load(); err != nil {
		return *err
	}
	return nil
}
