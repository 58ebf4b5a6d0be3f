package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/capstan-ota/capstan"
)

type sqliteDialect struct{}

// sqliteDSN names a database file together with the settings that every
// connection to it has:
//
//   - busy_timeout first, since the settings after it may have to wait for a
//     lock themselves;
//   - WAL, so that readers never wait for the writer;
//   - synchronous FULL, since NORMAL acknowledges a commit before its WAL is
//     durable; FULL costs about 0.3 ms a commit;
//   - wal_autocheckpoint 16384 pages (64 MiB): a batch of sightings touches as
//     many pages as it has devices, and a page that is written several times
//     between two checkpoints is copied and synced once;
//   - the writer caches 32 MiB of pages, taken as it needs them: with the 2 MiB
//     that are SQLite's default, a batch of sightings of 100 000 devices reads
//     every page back from the disk and spills others before it commits, at
//     two thirds of the rows per second;
//   - writers begin immediate: a transaction that reads first and then writes
//     would else fail with SQLITE_BUSY, whatever the timeout.
func sqliteDSN(path string, write bool) string {
	settings := []string{
		"_pragma=busy_timeout(10000)",
		"_pragma=journal_mode(WAL)",
		"_pragma=synchronous(FULL)",
		"_pragma=wal_autocheckpoint(16384)",
		"_pragma=foreign_keys(ON)",
		"_pragma=temp_store(MEMORY)",
	}
	if write {
		settings = append(settings, "_pragma=cache_size(-32768)", "_txlock=immediate")
	} else {
		settings = append(settings, "_pragma=query_only(ON)")
	}
	return "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() + "?" + strings.Join(settings, "&")
}

// openSQLite opens the writer pool, which is one connection since SQLite has
// one writer and database/sql's queue is fairer than its busy handler, and the
// reader pool.
func openSQLite(ctx context.Context, dir string) (writer, reader *sql.DB, lock *sql.DB, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, nil, fmt.Errorf("make data directory: %w", err)
	}
	if lock, err = lockDir(ctx, dir); err != nil {
		return nil, nil, nil, err
	}
	path := filepath.Join(dir, "capstan.db")
	if writer, err = openPool(ctx, sqliteDSN(path, true), 1); err == nil {
		reader, err = openPool(ctx, sqliteDSN(path, false), max(4, 2*runtime.GOMAXPROCS(0)))
	}
	if err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("open %s: %w", path, err), closeAll(writer, lock))
	}
	return writer, reader, lock, nil
}

func openPool(ctx context.Context, dsn string, connections int) (*sql.DB, error) {
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return pool, nil
}

// lockDir keeps other processes out of dir for as long as the returned pool is
// open. The lock is SQLite's own, on a database of no tables, so it works
// wherever SQLite does and is gone when the process is.
func lockDir(ctx context.Context, dir string) (*sql.DB, error) {
	path := filepath.Join(dir, "lock.db")
	dsn := "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() + "?_pragma=busy_timeout(0)"
	lock, err := openPool(ctx, dsn, 1)
	if err == nil {
		_, err = lock.ExecContext(ctx, "BEGIN EXCLUSIVE")
	}
	switch {
	case err == nil:
		return lock, nil
	case sqliteDialect{}.kind(err) == kindRetryable:
		err = &capstan.Error{
			Code: capstan.CodeUnavailable, Err: err,
			Message: fmt.Sprintf("the data directory %s is in use by another capstan process", dir),
			Hints:   []string{"Stop the other process, or give this one its own directory: capstan serve --data DIR"},
		}
	default:
		err = fmt.Errorf("lock %s: %w", path, err)
	}
	return nil, errors.Join(err, closeAll(lock))
}

func closeAll(pools ...*sql.DB) error {
	var errs []error
	for _, p := range pools {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

func (sqliteDialect) name() string             { return "sqlite" }
func (sqliteDialect) lockRow() string          { return "" } // the transaction holds the whole database
func (sqliteDialect) snapshot() *sql.TxOptions { return &sql.TxOptions{ReadOnly: true} }

func (sqliteDialect) migrations(fsys fs.FS) (goose.Dialect, fs.FS, []goose.ProviderOption, error) {
	return goose.DialectSQLite3, markedFS{fsys, func(text string) string {
		for {
			before, rest, found := strings.Cut(text, "/* postgres:")
			if !found {
				return strings.ReplaceAll(text, "/* narrow */", "WITHOUT ROWID")
			}
			_, after, _ := strings.Cut(rest, ":postgres */")
			text = before + after
		}
	}}, nil, nil
}

// insertMany runs one prepared statement per row: inside a transaction that is
// as fast as SQLite gets, and has no limit on the number of values.
func (sqliteDialect) insertMany(ctx context.Context, tx *sql.Tx, b bulk) error {
	names, places := make([]string, len(b.columns)), make([]string, len(b.columns))
	for i, c := range b.columns {
		names[i], places[i] = c.name, fmt.Sprintf("$%d", i+1)
	}
	text := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) %s",
		b.table, strings.Join(names, ", "), strings.Join(places, ", "), b.conflict)
	stmt, err := tx.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer stmt.Close()
	args := make([]any, len(b.columns))
	for row := range b.rows() {
		for i := range b.columns {
			args[i] = b.columns[i].value(row)
		}
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func (sqliteDialect) kind(err error) errorKind {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return kindOther
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return kindUnique
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return kindForeignKey
	}
	switch e.Code() & 0xff { // the primary code; the rest says more about it
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return kindRetryable
	case sqlite3.SQLITE_FULL:
		return kindFull
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return kindUnavailable
	}
	return kindOther
}
