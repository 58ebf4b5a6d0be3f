// Package ingest takes what devices write: that they asked, what they report,
// and which channel a legacy plugin chose for itself. It never slows a check:
// last-seen goes through a bounded, coalescing queue; events are answered only
// once they are durable, many requests in one commit.
//
// It refuses to know what the numbers mean: it keeps rows, it counts nothing.
// The subtle thing is the order: a failure report counts only for a version
// that we offered to that device, so the sightings that are still queued are
// written before a failure is judged.
package ingest

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/catalog"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/store"
)

// Options are what an Ingest needs. Every field must be set.
type Options struct {
	DB      *store.DB
	Catalog *catalog.Catalog
	Log     *slog.Logger
	Now     func() time.Time
	// FlushEvery is how often queued sightings are written; 200 ms in the server.
	FlushEvery time.Duration
}

// Ingest is safe for concurrent use.
type Ingest struct {
	o      Options
	queue  queue
	recent recent
	window window

	commits chan *commit
	flushes chan chan error
	stop    chan struct{}
	wg      sync.WaitGroup

	dropped    atomic.Int64
	duplicates atomic.Int64
}

// Sighting is one update check of one device.
type Sighting struct {
	Device   capstan.Device // FirstSeen, Offered* and Reason are filled from Decision
	Decision decide.Decision
}

// New starts an Ingest; Close ends it.
func New(o Options) *Ingest {
	in := &Ingest{
		o: o, commits: make(chan *commit, 1024), flushes: make(chan chan error), stop: make(chan struct{}),
	}
	in.wg.Go(in.writeSightings)
	in.wg.Go(in.writeEvents)
	return in
}

// Close writes what is queued and stops. Nothing may be called after it.
func (in *Ingest) Close() {
	close(in.stop)
	in.wg.Wait()
}

// Counts are what was not written, since the start.
type Counts struct {
	DroppedSightings int64 // the queue was full
	DuplicateEvents  int64 // seen before within the window
}

// Counts returns the counters.
func (in *Ingest) Counts() Counts {
	return Counts{DroppedSightings: in.dropped.Load(), DuplicateEvents: in.duplicates.Load()}
}

// SetSelfPin records that a legacy plugin chose a channel; it is durable and
// visible to the next check when the call returns. "" removes the choice.
func (in *Ingest) SetSelfPin(ctx context.Context, app string, id capstan.DeviceID, channel string) error {
	if channel == "" {
		if err := in.o.DB.UnsetSelfPin(ctx, app, id); err != nil {
			return err
		}
		in.o.Catalog.RemovePin(app, id, capstan.PinSelf)
		return nil
	}
	pin := capstan.Pin{App: app, Device: id, Kind: capstan.PinSelf, Channel: channel, At: in.o.Now()}
	removed, err := in.o.DB.SetSelfPin(ctx, pin)
	if err != nil {
		return err
	}
	for _, gone := range removed {
		in.o.Catalog.RemovePin(app, gone, capstan.PinSelf)
	}
	in.o.Catalog.SetPin(pin)
	return nil
}
