package ingest

import (
	"context"
	"hash/maphash"
	"sync"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
)

const (
	// maxCommit bounds the events of one commit.
	maxCommit = 10_000
	// windowSize is how many events are remembered to find repetitions.
	windowSize = 131_072
)

// commit is one request's events on their way to the disk.
type commit struct {
	events []capstan.Event
	done   chan error // buffered
}

// Events stores events and returns once they are durable. An event that was
// stored before, as plugins send when they did not hear our answer, is left
// out. The error has code unavailable or storage_full; then nothing of the
// batch was kept, or (with unavailable) it may have been kept and the caller
// must send it again.
func (in *Ingest) Events(ctx context.Context, events []capstan.Event) error {
	fresh := in.window.fresh(events)
	in.duplicates.Add(int64(len(events) - len(fresh)))
	if len(fresh) == 0 {
		return nil
	}
	c := &commit{events: fresh, done: make(chan error, 1)}
	select {
	case in.commits <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-in.stop:
		return capstan.Errorf(capstan.CodeUnavailable, "the server is stopping")
	}
	select {
	case err := <-c.done:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := in.failures(ctx, fresh); err != nil {
		return err
	}
	in.window.remember(fresh)
	return nil
}

// writeEvents commits whatever has gathered while the commit before ran.
func (in *Ingest) writeEvents() {
	var waiting []*commit
	var events []capstan.Event
	for {
		waiting, events = waiting[:0], events[:0]
		select {
		case c := <-in.commits:
			waiting, events = append(waiting, c), append(events, c.events...)
		case <-in.stop:
			return
		}
	gather:
		for len(events) < maxCommit {
			select {
			case c := <-in.commits:
				waiting, events = append(waiting, c), append(events, c.events...)
			default:
				break gather
			}
		}
		err := in.o.DB.AppendEvents(context.Background(), events)
		for _, c := range waiting {
			c.done <- err
		}
		clear(events) // drop the strings
	}
}

// failures records versions that devices could not activate, so that they are
// not offered to them again. Only a version that we offered to that device
// counts, so the sightings that are still queued are written first.
func (in *Ingest) failures(ctx context.Context, events []capstan.Event) error {
	var reports []store.FailureReport
	for _, e := range events {
		if e.FailsBundle() && e.Version != "" {
			reports = append(reports, store.FailureReport{App: e.App, Device: e.Device, Version: e.Version, At: e.ReceivedAt})
		}
	}
	if len(reports) == 0 {
		return nil
	}
	if err := in.Flush(ctx); err != nil {
		return err
	}
	kept, err := in.o.DB.AddFailures(ctx, reports)
	for _, f := range kept {
		in.o.Catalog.AddFailure(f)
	}
	return err
}

// window finds events that were stored a short while ago. Plugins repeat a
// batch whose answer they did not hear; there is no event id, so the device's
// own clock stands in for one (device-clients.md §5.3). An event without a
// timestamp is never taken for a repetition.
type window struct {
	mu       sync.Mutex
	now, old map[uint64]struct{}
}

type eventKey struct {
	app                        string
	device                     capstan.DeviceID
	action, version, old, file string
	at                         int64
}

func sum(e *capstan.Event) uint64 {
	return maphash.Comparable(seed, eventKey{
		e.App, e.Device, e.Action, e.Version, e.OldVersion, e.File, e.At.UnixMilli(),
	})
}

// fresh returns the events that are not remembered, each once.
func (w *window) fresh(events []capstan.Event) []capstan.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]capstan.Event, 0, len(events))
	var here map[uint64]struct{}
	for i := range events {
		if events[i].At.IsZero() {
			out = append(out, events[i])
			continue
		}
		key := sum(&events[i])
		_, a := w.now[key]
		_, b := w.old[key]
		_, c := here[key]
		if a || b || c {
			continue
		}
		if here == nil {
			here = make(map[uint64]struct{}, len(events))
		}
		here[key] = struct{}{}
		out = append(out, events[i])
	}
	return out
}

// remember takes events that are durable.
func (w *window) remember(events []capstan.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range events {
		if events[i].At.IsZero() {
			continue
		}
		if w.now == nil || len(w.now) >= windowSize/2 {
			w.old, w.now = w.now, make(map[uint64]struct{})
		}
		w.now[sum(&events[i])] = struct{}{}
	}
}
