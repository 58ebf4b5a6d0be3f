package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

// overlay is what is known about single devices of one app. Devices without
// pin or failure have no entry, and an app without any costs two atomic loads.
type overlay struct {
	pinned atomic.Int64 // entries over all shards
	failed atomic.Int64
	shards [64]shard
}

type shard struct {
	mu     sync.RWMutex
	pins   map[capstan.DeviceID]pins
	failed map[capstan.DeviceID][]capstan.Failure // slices are replaced, never written
}

// pins of one device. An operator's beats the device's own, which shows again
// when the operator's is lifted.
type pins struct {
	operator string
	self     string
}

func (o *overlay) shard(id capstan.DeviceID) *shard {
	// UUIDs of version 4 are random in every byte but the 7th and 9th.
	return &o.shards[id[15]%64]
}

// Overlay returns what is known about one device of the app. Its slices are
// read only.
func (c *Catalog) Overlay(app string, id capstan.DeviceID) decide.Overlay {
	o := (*c.overlays.Load())[app]
	if o == nil || o.pinned.Load() == 0 && o.failed.Load() == 0 {
		return decide.Overlay{}
	}
	s := o.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := decide.Overlay{Failures: s.failed[id]}
	switch p := s.pins[id]; {
	case p.operator != "":
		out.Pin, out.PinKind = p.operator, capstan.PinOperator
	case p.self != "":
		out.Pin, out.PinKind = p.self, capstan.PinSelf
	}
	return out
}

// SetPin makes a committed pin count from the next check on.
func (c *Catalog) SetPin(p capstan.Pin) { c.overlay(p.App).setPin(p.Device, p.Kind, p.Channel) }

// RemovePin lifts a pin of the given kind.
func (c *Catalog) RemovePin(app string, id capstan.DeviceID, kind capstan.PinKind) {
	c.overlay(app).setPin(id, kind, "")
}

func (o *overlay) setPin(id capstan.DeviceID, kind capstan.PinKind, channel string) {
	s := o.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, had := s.pins[id]
	if kind == capstan.PinOperator {
		p.operator = channel
	} else {
		p.self = channel
	}
	switch {
	case p == (pins{}) && had:
		delete(s.pins, id)
		o.pinned.Add(-1)
	case p != (pins{}):
		if s.pins == nil {
			s.pins = map[capstan.DeviceID]pins{}
		}
		s.pins[id] = p
		if !had {
			o.pinned.Add(1)
		}
	}
}

// AddFailure makes a committed failure count from the next check on.
func (c *Catalog) AddFailure(f capstan.Failure) { c.overlay(f.App).addFailure(f) }

func (o *overlay) addFailure(f capstan.Failure) {
	s := o.shard(f.Device)
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.failed[f.Device]
	next := slices.DeleteFunc(slices.Clone(old), func(g capstan.Failure) bool { return g.Version == f.Version })
	if s.failed == nil {
		s.failed = map[capstan.DeviceID][]capstan.Failure{}
	}
	s.failed[f.Device] = append(next, f)
	if len(old) == 0 {
		o.failed.Add(1)
	}
}

// ClearFailures forgets the failures of one device.
func (c *Catalog) ClearFailures(app string, id capstan.DeviceID) {
	o := c.overlay(app)
	s := o.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failed[id]) > 0 {
		delete(s.failed, id)
		o.failed.Add(-1)
	}
}

// overlay returns the overlay of an app, making it first when there is none.
func (c *Catalog) overlay(app string) *overlay {
	for {
		all := c.overlays.Load()
		if o := (*all)[app]; o != nil {
			return o
		}
		next := maps.Clone(*all)
		o := &overlay{}
		next[app] = o
		if c.overlays.CompareAndSwap(all, &next) {
			return o
		}
	}
}

// forget drops the overlay of a deleted app.
func (c *Catalog) forget(app string) {
	for {
		all := c.overlays.Load()
		next := maps.Clone(*all)
		delete(next, app)
		if c.overlays.CompareAndSwap(all, &next) {
			return
		}
	}
}

// loadOverlays reads every pin and failure into new overlays.
func (c *Catalog) loadOverlays(ctx context.Context) error {
	all := map[string]*overlay{}
	of := func(app string) *overlay {
		if all[app] == nil {
			all[app] = &overlay{}
		}
		return all[app]
	}
	names := map[string]string{} // one string per channel name, not one per pin
	err := c.db.EachPin(ctx, func(p capstan.Pin) error {
		if _, ok := names[p.Channel]; !ok {
			names[p.Channel] = p.Channel
		}
		of(p.App).setPin(p.Device, p.Kind, names[p.Channel])
		return nil
	})
	if err != nil {
		return fmt.Errorf("read pins: %w", err)
	}
	err = c.db.EachFailure(ctx, func(f capstan.Failure) error {
		of(f.App).addFailure(f)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read failures: %w", err)
	}
	c.overlays.Store(&all)
	return nil
}
