// Package ingest takes what devices write: that they asked, what they report,
// and which channel a legacy plugin chose for itself. It never slows a check:
// last-seen goes through a bounded queue and is coalesced; events are answered
// only once they are durable, many requests in one commit.
package ingest

import (
	"context"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

// Ingest is safe for concurrent use.
type Ingest struct{}

// Seen records that a device asked and what it was told. It never blocks; when
// the queue is full the record is dropped and counted.
func (in *Ingest) Seen(s Sighting) { panic("todo") }

// Sighting is one update check of one device.
type Sighting struct {
	Device   capstan.Device // FirstSeen, Offered* and Reason are filled from Decision
	Decision decide.Decision
}

// Events stores events and returns once they are durable. The error has code
// unavailable or storage_full; then nothing of the batch was kept.
func (in *Ingest) Events(ctx context.Context, events []capstan.Event) error { panic("todo") }

// SetSelfPin records that a legacy plugin chose a channel; it is durable and
// visible to the next check when the call returns. "" removes the choice.
func (in *Ingest) SetSelfPin(ctx context.Context, app string, id capstan.DeviceID, channel string) error {
	panic("todo")
}
