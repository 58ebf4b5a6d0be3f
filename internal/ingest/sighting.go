package ingest

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
)

const (
	// maxQueued sightings wait to be written, one per device; a device that
	// asks again takes the place of its older one. About 8 MB when full.
	maxQueued = 16_384
	// batchSize keeps a check's p99 low: one transaction of 5 000 rows adds
	// 20 ms to it on a single core.
	batchSize = 500
	// touchEvery is how often the last-seen time of a device that says nothing
	// new is written.
	touchEvery = time.Minute
	// maxRecent devices are remembered for that, in two generations.
	maxRecent = 65_536
)

type deviceKey struct {
	app string
	id  capstan.DeviceID
}

// Seen records that a device asked and what it was told. It never blocks on
// the store; when the queue is full the record is dropped and counted.
func (in *Ingest) Seen(s Sighting) {
	d := &s.Device
	d.Reason = s.Decision.Reason
	row := store.Sighting{}
	if s.Decision.Outcome == capstan.Offer {
		row.Offered = true
		d.Offered, d.OfferedRelease, d.OfferedAt = s.Decision.Bundle.Version, s.Decision.Release.Number, d.LastSeen
	}
	key := deviceKey{d.App, d.ID}
	if !in.recent.news(key, d) {
		return
	}
	row.Device = *d
	if !in.queue.put(key, row) {
		in.recent.forget(key)
		in.dropped.Add(1)
	}
}

// queue holds at most one sighting per device, in the order of arrival.
type queue struct {
	mu    sync.Mutex
	index map[deviceKey]int
	list  []store.Sighting
	spare []store.Sighting // the list before, to be filled again
}

func (q *queue) put(key deviceKey, s store.Sighting) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i, ok := q.index[key]; ok {
		if !s.Offered && q.list[i].Offered {
			old := &q.list[i].Device
			s.Offered = true
			s.Device.Offered, s.Device.OfferedRelease, s.Device.OfferedAt = old.Offered, old.OfferedRelease, old.OfferedAt
		}
		q.list[i] = s
		return true
	}
	if len(q.list) == maxQueued {
		return false
	}
	if q.index == nil {
		q.index = make(map[deviceKey]int)
	}
	q.index[key] = len(q.list)
	q.list = append(q.list, s)
	return true
}

// take empties the queue. What it returns is valid until the next take.
func (q *queue) take() []store.Sighting {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list, q.spare = q.spare[:0], list
	clear(q.index)
	return list
}

// recent remembers what was last queued about a device, so that a device that
// says the same again costs no write.
type recent struct {
	mu       sync.Mutex
	now, old map[deviceKey]memory
}

type memory struct {
	sum uint64 // of everything but the time
	at  int64  // unix seconds
}

var seed = maphash.MakeSeed()

// news reports whether d is worth a write: unknown, changed, or not written
// for touchEvery.
func (r *recent) news(key deviceKey, d *capstan.Device) bool {
	bare := *d
	bare.LastSeen, bare.OfferedAt = time.Time{}, time.Time{}
	m := memory{maphash.Comparable(seed, bare), d.LastSeen.Unix()}
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.now[key]
	if !ok {
		last, ok = r.old[key]
	}
	if ok && last.sum == m.sum && m.at-last.at < int64(touchEvery/time.Second) && m.at >= last.at {
		return false
	}
	if r.now == nil || len(r.now) >= maxRecent/2 {
		r.old, r.now = r.now, make(map[deviceKey]memory)
	}
	r.now[key] = m
	return true
}

func (r *recent) forget(key deviceKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.now, key)
	delete(r.old, key)
}

// writeSightings writes the queue each FlushEvery, and when asked.
func (in *Ingest) writeSightings() {
	tick := time.NewTicker(in.o.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := in.flush(); err != nil {
				in.o.Log.Error("cannot record which devices asked", "error", err)
			}
		case done := <-in.flushes:
			done <- in.flush()
		case <-in.stop:
			if err := in.flush(); err != nil {
				in.o.Log.Error("cannot record which devices asked", "error", err)
			}
			return
		}
	}
}

func (in *Ingest) flush() error {
	list := in.queue.take()
	for len(list) > 0 {
		n := min(len(list), batchSize)
		if err := in.o.DB.WriteSightings(context.Background(), list[:n]); err != nil {
			for i := range list {
				in.recent.forget(deviceKey{list[i].Device.App, list[i].Device.ID})
			}
			in.dropped.Add(int64(len(list)))
			return err
		}
		list = list[n:]
	}
	return nil
}

// Flush writes every sighting that is queued when it is called.
func (in *Ingest) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case in.flushes <- done:
	case <-ctx.Done():
		return ctx.Err()
	case <-in.stop:
		return capstan.Errorf(capstan.CodeUnavailable, "the server is stopping")
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
