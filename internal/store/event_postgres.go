package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/capstan-ota/capstan"
)

// partitions keeps events in one partition per day of the table event:
//
//	event_20261125    of event, for day = 20783 (days since 1970)
//
// Retention drops a partition. Each is made when the first batch of its day
// comes, by whichever process that is.
type partitions struct {
	pool *sql.DB
	now  func() time.Time

	mu      sync.Mutex
	made    map[int64]bool // days whose partition is known to be there
	indexed map[int64]bool // days whose partition is known to have its index
}

const partitionPrefix = "event_"

const partitionsSQL = `SELECT c.relname FROM pg_inherits i
	JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'event'::regclass ORDER BY c.relname DESC LIMIT $1`

const partitionEventsSQL = `SELECT ` + eventColumns + ` FROM %s
	WHERE app = $1 AND device = $2 AND id < $3 ORDER BY id DESC LIMIT $4`

func (postgresDialect) events(_ context.Context, db *DB) (eventLog, error) {
	return &partitions{pool: db.writer, now: db.now, made: map[int64]bool{}, indexed: map[int64]bool{}}, nil
}

func partitionName(day int64) string {
	return partitionPrefix + time.UnixMilli(day*dayMS).UTC().Format("20060102")
}

func parsePartition(name string) (day int64, ok bool) {
	date, ours := strings.CutPrefix(name, partitionPrefix)
	t, err := time.Parse("20060102", date)
	return t.UnixMilli() / dayMS, ours && err == nil
}

func (p *partitions) append(ctx context.Context, events []capstan.Event) error {
	day := eventDay(events)
	if err := p.ensure(ctx, day); err != nil {
		return fmt.Errorf("make partition %s: %w", partitionName(day), err)
	}
	tx, err := p.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit this does nothing
	rows := eventRows("event", events)
	rows.columns = append(rows.columns, column{name: "day", ints: slices.Repeat([]int64{day}, len(events))})
	if err := (postgresDialect{}).insertMany(ctx, tx, rows); err != nil {
		p.forget(day) // it may have been dropped by another process
		return err
	}
	return tx.Commit()
}

// ensure makes the partition of a day unless it is known to be there.
func (p *partitions) ensure(ctx context.Context, day int64) error {
	return p.once(ctx, day, p.made,
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s PARTITION OF event FOR VALUES IN (%d)`, partitionName(day), day))
}

// index makes the index of a partition whose day is over.
func (p *partitions) index(ctx context.Context, day int64) error {
	return p.once(ctx, day, p.indexed, fmt.Sprintf(eventIndex, partitionName(day)))
}

// once runs a statement for a day unless done says that it has run. The
// advisory lock lets one process run it while others wait: two IF NOT EXISTS
// at the same moment collide.
func (p *partitions) once(ctx context.Context, day int64, done map[int64]bool, text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if done[day] {
		return nil
	}
	tx, err := p.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit this does nothing
	for _, text := range [...]string{`SELECT pg_advisory_xact_lock(hashtext('capstan event partition'))`, text} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	done[day] = true
	return nil
}

func (p *partitions) forget(day int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.made, day)
}

func (p *partitions) read(ctx context.Context, app string, device capstan.DeviceID, n int, before string) ([]capstan.Event, error) {
	names, err := collect(ctx, p.pool, scanString, partitionsSQL, maxEventDays)
	if err != nil {
		return nil, err
	}
	today := ms(p.now()) / dayMS
	events := []capstan.Event{}
	for _, name := range names {
		day, ok := parsePartition(name)
		if !ok {
			continue // not one of ours, and not to be put into a statement
		}
		if len(events) >= n {
			break
		}
		if day < today {
			if err := p.index(ctx, day); err != nil {
				return nil, fmt.Errorf("index %s: %w", name, err)
			}
		}
		list, err := collect(ctx, p.pool, scanEvent, fmt.Sprintf(partitionEventsSQL, name), app, device[:], eventBefore(before), n-len(events))
		if err != nil {
			return nil, err
		}
		events = append(events, list...)
	}
	return events, nil
}

func (p *partitions) close() error { return nil } // the pool is the store's
