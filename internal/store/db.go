package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-ota/capstan"
)

// Options says where the rows live.
type Options struct {
	// Dir is the data directory: the SQLite database and the event files. It
	// is made when missing and locked against other processes. Not used with
	// PostgresURL.
	Dir         string
	PostgresURL string // postgres://…; "" means SQLite in Dir
	Now         func() time.Time
	Log         *slog.Logger // told of migrations; nil discards
}

// DB is the store. It is safe for concurrent use.
type DB struct {
	dialect dialect
	writer  *sql.DB
	reader  *sql.DB // the same as writer on PostgreSQL
	lock    *sql.DB // holds the data directory; nil on PostgreSQL
	log     eventLog
	dir     string
	now     func() time.Time
}

// Open opens the store and brings its schema up to date. The error has code
// unavailable when another process holds the data directory or the database
// server does not answer, and storage_full when the disk is full.
func Open(ctx context.Context, o Options) (*DB, error) {
	db := &DB{dir: o.Dir, now: o.Now}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if o.PostgresURL != "" {
		db.dialect = postgresDialect{}
		db.writer, err = openPostgres(ctx, o.PostgresURL)
		db.reader = db.writer
	} else {
		db.dialect = sqliteDialect{}
		db.writer, db.reader, db.lock, err = openSQLite(ctx, o.Dir)
	}
	if err != nil {
		return nil, db.fail("open the store", err)
	}
	if err = migrate(ctx, db.dialect, db.writer, o.Log); err == nil {
		db.log, err = db.dialect.events(ctx, db)
	}
	if err != nil {
		return nil, errors.Join(db.fail("open the store", err), db.Close())
	}
	return db, nil
}

// Close waits for what is being read or written and closes every file.
func (db *DB) Close() error {
	var errs []error
	if db.log != nil {
		errs = append(errs, db.log.close())
	}
	if db.reader != db.writer {
		errs = append(errs, closeAll(db.reader))
	}
	return errors.Join(append(errs, closeAll(db.writer, db.lock))...)
}

// Engine returns "sqlite" or "postgres".
func (db *DB) Engine() string { return db.dialect.name() }

// writeAttempts is how often a transaction is tried before its retryable error
// is given back.
const writeAttempts = 12

// transact runs fn in a transaction on the writer, again while the engine
// asks for it.
func (db *DB) transact(ctx context.Context, doing string, fn func(*sql.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := db.transactOnce(ctx, fn)
		if err == nil || attempt == writeAttempts || db.dialect.kind(err) != kindRetryable {
			return db.fail(doing, err)
		}
		select { // give the other transaction time to end
		case <-ctx.Done():
			return db.fail(doing, ctx.Err())
		case <-time.After(time.Duration(attempt) * 3 * time.Millisecond):
		}
	}
}

func (db *DB) transactOnce(ctx context.Context, fn func(*sql.Tx) error) (err error) {
	tx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit this does nothing
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// read runs fn in a transaction that sees one state of the store.
func (db *DB) read(ctx context.Context, doing string, fn func(*sql.Tx) error) error {
	tx, err := db.reader.BeginTx(ctx, db.dialect.snapshot())
	if err != nil {
		return db.fail(doing, err)
	}
	defer tx.Rollback()
	if err := fn(tx); err != nil {
		return db.fail(doing, err)
	}
	return nil
}

// fail turns an engine's error into one that people see where there is one for
// it, and says else what was being done. A [capstan.Error] passes unchanged.
func (db *DB) fail(doing string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*capstan.Error](err); ok {
		return err
	}
	switch db.dialect.kind(err) {
	case kindFull:
		return &capstan.Error{
			Code: capstan.CodeStorageFull, Err: fmt.Errorf("%s: %w", doing, err),
			Message: "the disk of the database is full; nothing was changed",
		}
	case kindRetryable, kindUnavailable:
		return &capstan.Error{
			Code: capstan.CodeUnavailable, Err: fmt.Errorf("%s: %w", doing, err),
			Message: "the database cannot do this now",
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// querier is what [sql.DB] and [sql.Tx] share, so that a read is written once
// for both.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// scanner is one row that can be scanned.
type scanner interface{ Scan(dest ...any) error }

// collect runs a query and scans every row of it.
func collect[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

func scanString(s scanner) (v string, err error) { return v, s.Scan(&v) }

// inChunk is how many values one IN list holds; SQLite takes 32 766 values in
// one statement, but a statement is parsed anew for each length.
const inChunk = 500

// chunks calls fn with pieces of values and the placeholders for each: an IN
// list is what both engines understand. first is the number of the first
// placeholder. Short pieces are filled up by repeating a value, so that there
// are two texts to prepare and not five hundred.
func chunks[S ~string](values []S, first int, fn func(list string, args []any) error) error {
	for len(values) > 0 {
		n := min(inChunk, len(values))
		args := make([]any, 0, inChunk)
		for _, v := range values[:n] {
			args = append(args, string(v))
		}
		for size := 8; len(args) < size || size < n; {
			if size < n {
				size = inChunk
				continue
			}
			args = append(args, args[0])
		}
		if err := fn(placeholders(first, len(args)), args); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

// placeholders returns "$first, … " for n values.
func placeholders(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(first + i))
	}
	return b.String()
}

// limit applies the bounds that every list has: 100 when not given, 1 000 at
// most.
func limit(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, 1000)
}

// Times are milliseconds since 1970, the zero time is 0.

func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMS(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

const dayMS = 24 * 60 * 60 * 1000
