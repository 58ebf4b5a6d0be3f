package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/capstan-ota/capstan"
)

// Query is one hot query with the arguments to explain it with.
type Query struct {
	Name string
	SQL  string
	Args []any
	// Index is the one that the plan must use, where the primary key or a
	// shorter index would also do, slowly.
	Index string
}

// HotQueries are those that run per request, per batch or per publish. Not
// here: what reads a whole table on purpose (pins and failures at start, app
// ids, the collector's look for candidates).
func HotQueries() []Query {
	id := make([]byte, 16)
	in := func(text string, first int) string { return fmt.Sprintf(text, placeholders(first, 3)) }
	return []Query{
		{"app", appSQL, []any{"a"}, ""},
		{"apps", appsSQL, []any{"o", "", 10}, "app_org"},
		{"channel", channelSQL, []any{"a", "c"}, ""},
		{"channels", channelsSQL, []any{"a"}, ""},
		{"bundle", bundleSQL, []any{"a", "1.0.0"}, ""},
		{"bundle by id", bundleByIDSQL, []any{"a", "b"}, ""},
		{"bundles", bundlesSQL, []any{"a", "~", 10}, "bundle_newest"},
		{"bundles in a state", bundlesInSQL, []any{"a", "~", "ready", 10}, ""},
		{"ready bundles", readyBundlesSQL, []any{"a"}, ""},
		{"bundles by ids", in(nativeMinSQL, 1), []any{"a", "b", "c"}, ""},
		{"files", filesSQL, []any{"b"}, ""},
		{"files of bundles", in(filesInSQL, 1), []any{"a", "b", "c"}, ""},
		{"release", releaseSQL, []any{"a", 1}, ""},
		{"releases of app", appReleasesSQL, []any{"a", 1, 10}, ""},
		{"releases of channel", releasesSQL, []any{"a", "c", 1, 10}, "release_newest"},
		{"ended releases", releasesEndSQL, []any{"a", "c", 1}, "release_ended"},
		{"lost blobs", lostBlobsSQL, []any{"b"}, ""},
		{"changes", changesSQL, []any{1, 10}, ""},
		{"changes of an app", appChangesSQL, []any{"o", "a", 1, 10}, ""},
		{"token", tokenSQL, []any{"t"}, ""},
		{"tokens", tokensSQL, []any{"o"}, "token_org"},
		{"pin", pinSQL, []any{"a", id, "self"}, ""},
		{"pins of app", appPinsSQL, []any{"a"}, ""},
		{"oldest self-set pins", oldestPinsSQL, []any{"a", 5}, "pin_self_oldest"},
		{"device", deviceSQL, []any{"a", id}, ""},
		{"device by custom id", deviceByCustomSQL, []any{"a", "c"}, "device_custom"},
		{"devices", devicesSQL, []any{"a", 20000, id, 10}, "device_recent"},
		{"devices on a channel name", onChannelSQL, []any{"a", "c"}, "device_channel"},
		{"words", in(wordsSQL, 2), []any{"a", id, id, id}, ""},
		{"apps by ids", in(appsInSQL, 1), []any{"a", "b", "c"}, ""},
		{"offered release", offeredReleaseSQL, []any{"a", id, "1.0.0"}, ""},
		{"failures", failuresSQL, []any{"a", id}, ""},
		{"contents", in(contentsSQL, 2), []any{"o", "a", "b", "c"}, ""},
		{"lock blobs", in(lockBlobsSQL, 1), []any{"a", "b", "c"}, ""},
		{"lease blobs", in(leaseSQL, 2), []any{1, "a", "b", "c"}, ""},
		{"mark blobs", in(markDeletingSQL, 3), []any{1, 1, "a", "b", "c"}, "bundle_file_blob"},
		{"deleting blobs", deletingSQL, nil, "blob_deleting"},
		{"forget contents", in(forgetOfSQL, 1), []any{"a", "b", "c"}, "content_blob"},
	}
}

// Plan returns the lines of the engine's plan for q, and those among them that
// read a whole table.
func (db *DB) Plan(ctx context.Context, q Query) (plan, scans []string, err error) {
	tx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	defer tx.Rollback()
	if db.Engine() == "postgres" {
		// On empty tables a scan is cheapest; this leaves it only where nothing
		// else can be done.
		if _, err := tx.ExecContext(ctx, `SET LOCAL enable_seqscan = off`); err != nil {
			return nil, nil, err
		}
		plan, err = collect(ctx, tx, scanString, "EXPLAIN "+q.SQL, q.Args...)
	} else {
		plan, err = collect(ctx, tx, func(s scanner) (detail string, err error) {
			var id, parent, unused int
			return detail, s.Scan(&id, &parent, &unused, &detail)
		}, "EXPLAIN QUERY PLAN "+q.SQL, q.Args...)
	}
	for _, line := range plan {
		// n is the name of a subquery; blob_deleting holds only the rows asked for.
		allowed := strings.HasPrefix(line, "SCAN n") || strings.HasSuffix(line, "INDEX blob_deleting")
		if (strings.Contains(line, "Seq Scan") || strings.HasPrefix(line, "SCAN")) && !allowed {
			scans = append(scans, line)
		}
	}
	return plan, scans, err
}

// SetSelfPinMax is SetSelfPin with another bound.
func (db *DB) SetSelfPinMax(ctx context.Context, p capstan.Pin, most int64) (removed []capstan.DeviceID, err error) {
	err = db.transact(ctx, "set a self-set pin", func(tx *sql.Tx) (err error) {
		removed, err = db.setSelfPin(ctx, tx, p, most)
		return err
	})
	return removed, err
}

// Exec runs a statement on the writer.
func (db *DB) Exec(ctx context.Context, text string, args ...any) error {
	_, err := db.writer.ExecContext(ctx, text, args...)
	return db.fail("exec", err)
}

// Value reads one value.
func (db *DB) Value(ctx context.Context, into any, text string, args ...any) error {
	return db.reader.QueryRowContext(ctx, text, args...).Scan(into)
}

// Kind classifies the error of a statement.
func (db *DB) Kind(ctx context.Context, text string, args ...any) string {
	_, err := db.writer.ExecContext(ctx, text, args...)
	return [...]string{"other", "unique", "foreign key", "retryable", "full", "unavailable"}[db.dialect.kind(err)]
}

// EventFiles is how many event files are open; 0 on PostgreSQL.
func (db *DB) EventFiles() int {
	l, ok := db.log.(*dayFiles)
	if !ok {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// Blocked reports whether somebody waits for a lock or for the writer that
// another transaction holds.
func (db *DB) Blocked(ctx context.Context) (blocked bool, err error) {
	if db.Engine() == "sqlite" {
		return db.writer.Stats().WaitCount > 0, nil
	}
	err = db.reader.QueryRowContext(ctx, `SELECT COUNT(*) > 0 FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&blocked)
	return blocked, err
}

// Settings returns SQLite's settings of the writer and of an event file.
func (db *DB) Settings(ctx context.Context, name string) (values []string, err error) {
	l := db.log.(*dayFiles)
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.writer(ctx, 1)
	if err != nil {
		return nil, err
	}
	for _, pool := range []*sql.DB{db.writer, f.pool} {
		var value string
		if err := pool.QueryRowContext(ctx, "PRAGMA "+name).Scan(&value); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}
