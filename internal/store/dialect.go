package store

import (
	"context"
	"database/sql"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/capstan-ota/capstan"
)

// dialect is what the two engines do differently. Everything else is one SQL
// text for both.
type dialect interface {
	name() string

	// migrations wraps the folder so that its markers fit the engine, and says
	// how goose is to run it.
	migrations(fsys fs.FS) (goose.Dialect, fs.FS, []goose.ProviderOption, error)

	// lockRow ends a SELECT whose row must stay as it is until commit.
	lockRow() string
	// snapshot opens a transaction that reads one state of the store.
	snapshot() *sql.TxOptions

	// insertMany inserts every row of b.
	insertMany(ctx context.Context, tx *sql.Tx, b bulk) error

	// kind classifies an error by its code, never by its text.
	kind(err error) errorKind

	// events keeps the event log; it is made once, by Open.
	events(ctx context.Context, db *DB) (eventLog, error)
}

// eventLog is an append-only log of events in pieces of one day, so that
// keeping them for a limited time drops pieces.
type eventLog interface {
	// append keeps all events or none and returns once they are durable.
	append(ctx context.Context, events []capstan.Event) error
	// read returns the newest events of a device with an id below before ("":
	// no bound), newest first.
	read(ctx context.Context, app string, device capstan.DeviceID, limit int, before string) ([]capstan.Event, error)
	close() error
}

// errorKind is what the store makes of an engine's error code.
type errorKind int

const (
	kindOther       errorKind = iota
	kindUnique                // a unique constraint refused a row
	kindForeignKey            // a row names one that is not there
	kindRetryable             // the transaction may be run again as it is
	kindFull                  // the disk is full
	kindUnavailable           // the engine cannot be reached or is stopping
)

// bulk is many rows for one INSERT, column by column.
type bulk struct {
	table    string
	columns  []column
	conflict string // "", or ON CONFLICT …
}

// column is one column of a bulk; exactly one of the slices is set.
type column struct {
	name  string
	texts []string
	ints  []int64
	bools []bool
	bytes [][]byte
}

func (b bulk) rows() int {
	c := b.columns[0]
	return max(len(c.texts), len(c.ints), len(c.bools), len(c.bytes))
}

// value returns the value of row i.
func (c *column) value(i int) any {
	switch {
	case c.texts != nil:
		return c.texts[i]
	case c.ints != nil:
		return c.ints[i]
	case c.bools != nil:
		return c.bools[i]
	}
	return c.bytes[i]
}
