package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/capstan-ota/capstan"
)

// dayFiles keeps events in one database file per day:
//
//	DIR/events/2026-11-25.db    table event, in the order of arrival
//
// Retention drops a file, and a full or damaged one spoils one day. At most
// [maxDayFiles] are open for writing, each with one connection; readers open
// a file for the time of one question, one at a time.
type dayFiles struct {
	dir string
	now func() time.Time

	mu      sync.Mutex // guards open, and is the order of writers
	open    []*dayFile // least recently used first
	reading sync.Mutex // one reader at a time
	closed  bool       // guarded by mu
}

type dayFile struct {
	day  int64
	pool *sql.DB
}

// maxDayFiles is 2 for the minutes around midnight.
const maxDayFiles = 2

const dayFileSQL = `CREATE TABLE IF NOT EXISTS event (
	id TEXT NOT NULL, app TEXT NOT NULL, device BLOB NOT NULL, action TEXT NOT NULL,
	version TEXT NOT NULL, file TEXT NOT NULL, old_version TEXT NOT NULL,
	platform TEXT NOT NULL, native TEXT NOT NULL, plugin TEXT NOT NULL,
	prod BOOLEAN NOT NULL, emulator BOOLEAN NOT NULL,
	at BIGINT NOT NULL, received_at BIGINT NOT NULL, metadata TEXT NOT NULL)`

const dayEventsSQL = `SELECT ` + eventColumns + ` FROM event
	WHERE app = $1 AND device = $2 AND id < $3 ORDER BY id DESC LIMIT $4`

func (sqliteDialect) events(_ context.Context, db *DB) (eventLog, error) {
	dir := filepath.Join(db.dir, "events")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of events: %w", err)
	}
	// SQLite syncs the folder of a file that it makes, but not the folder's own
	// name in the one above.
	if err := syncDir(db.dir); err != nil {
		return nil, err
	}
	return &dayFiles{dir: dir, now: db.now}, nil
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // has no fsync of folders
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func dayName(day int64) string { return time.UnixMilli(day * dayMS).UTC().Format(time.DateOnly) }

func parseDay(name string) (int64, bool) {
	date, isDB := strings.CutSuffix(name, ".db")
	t, err := time.Parse(time.DateOnly, date)
	return t.UnixMilli() / dayMS, isDB && err == nil
}

func (l *dayFiles) append(ctx context.Context, events []capstan.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed { // opening the day's file again would leave it open
		return sql.ErrConnDone
	}
	f, err := l.writer(ctx, eventDay(events))
	if err != nil {
		return err
	}
	tx, err := f.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit this does nothing
	if err := (sqliteDialect{}).insertMany(ctx, tx, eventRows("event", events)); err != nil {
		return err
	}
	return tx.Commit()
}

// writer returns the file of a day, opening it when it is not and closing the
// one that was used least recently when there are too many.
func (l *dayFiles) writer(ctx context.Context, day int64) (*dayFile, error) {
	for i, f := range l.open {
		if f.day == day {
			l.open = append(slices.Delete(l.open, i, i+1), f)
			return f, nil
		}
	}
	if len(l.open) >= maxDayFiles {
		if err := l.open[0].pool.Close(); err != nil {
			return nil, err
		}
		l.open = slices.Delete(l.open, 0, 1)
	}
	path := filepath.Join(l.dir, dayName(day)+".db")
	pool, err := openPool(ctx, sqliteDSN(path, true), 1)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if _, err := pool.ExecContext(ctx, dayFileSQL); err != nil {
		return nil, errors.Join(fmt.Errorf("make table in %s: %w", path, err), pool.Close())
	}
	f := &dayFile{day, pool}
	l.open = append(l.open, f)
	return f, nil
}

func (l *dayFiles) read(ctx context.Context, app string, device capstan.DeviceID, n int, before string) ([]capstan.Event, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	days, err := l.days()
	if err != nil {
		return nil, err
	}
	events := []capstan.Event{}
	for _, day := range days {
		if len(events) >= n {
			break
		}
		list, err := l.find(ctx, day, app, device, n-len(events), before)
		if err != nil {
			return nil, err
		}
		events = append(events, list...)
	}
	return events, nil
}

// days lists the days that there are files of, newest first.
func (l *dayFiles) days() ([]int64, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, err
	}
	var days []int64
	for _, e := range entries {
		if day, ok := parseDay(e.Name()); ok {
			days = append(days, day)
		}
	}
	slices.Sort(days)
	slices.Reverse(days)
	return days[:min(len(days), maxEventDays)], nil
}

func (l *dayFiles) find(ctx context.Context, day int64, app string, device capstan.DeviceID, n int, before string) ([]capstan.Event, error) {
	path := filepath.Join(l.dir, dayName(day)+".db")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) { // retention dropped it just now
		return nil, nil
	}
	pool, err := openPool(ctx, sqliteDSN(path, true), 1)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer pool.Close()
	// The file may have been made a moment ago, before its table.
	if _, err := pool.ExecContext(ctx, dayFileSQL); err != nil {
		return nil, err
	}
	if day < ms(l.now())/dayMS {
		if _, err := pool.ExecContext(ctx, fmt.Sprintf(eventIndex, "event")); err != nil {
			return nil, fmt.Errorf("index %s: %w", path, err)
		}
	}
	return collect(ctx, pool, scanEvent, dayEventsSQL, app, device[:], eventBefore(before), n)
}

func (l *dayFiles) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, f := range l.open {
		errs = append(errs, f.pool.Close())
	}
	l.open, l.closed = nil, true
	return errors.Join(errs...)
}
