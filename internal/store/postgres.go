package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/capstan-ota/capstan"
)

type postgresDialect struct{}

// postgresConnections bounds the pool. Devices never wait for it, since checks
// are answered from memory; PostgreSQL allows 100 connections by default.
const postgresConnections = 16

func openPostgres(ctx context.Context, url string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		// The text may hold the password, so the cause stays out of the message.
		return nil, &capstan.Error{
			Code: capstan.CodeInvalid, Field: "database", Err: err,
			Message: "the address of the database cannot be read",
			Hints:   []string{"capstan serve --database postgres://user:password@host:5432/capstan"},
		}
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "capstan"
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(postgresConnections)
	pool.SetMaxIdleConns(postgresConnections / 2)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(&capstan.Error{
			Code: capstan.CodeUnavailable, Err: err,
			Message: fmt.Sprintf("the database at %s does not answer", config.Host),
		}, pool.Close())
	}
	return pool, nil
}

func (postgresDialect) name() string { return "postgres" }

// lockRow leaves foreign keys that point at the row free to be checked.
func (postgresDialect) lockRow() string { return " FOR NO KEY UPDATE" }

func (postgresDialect) snapshot() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

// migrations makes text compare by bytes, as SQLite does, so that order and
// paging are the same on both; and runs under a session lock, so that of many
// processes that start at once one migrates and the others wait.
func (postgresDialect) migrations(fsys fs.FS) (goose.Dialect, fs.FS, []goose.ProviderOption, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 60))
	if err != nil {
		return "", nil, nil, err
	}
	return goose.DialectPostgres, markedFS{fsys, strings.NewReplacer(
		"/* narrow */", "",
		" TEXT", ` TEXT COLLATE "C"`,
		"/* postgres:", "",
		":postgres */", "",
	).Replace}, []goose.ProviderOption{goose.WithSessionLocker(locker)}, nil
}

// insertMany sends each column as one array: one statement, one round trip and
// one plan for any number of rows.
func (postgresDialect) insertMany(ctx context.Context, tx *sql.Tx, b bulk) error {
	names, arrays, args := make([]string, len(b.columns)), make([]string, len(b.columns)), make([]any, len(b.columns))
	for i, c := range b.columns {
		kind := "bytea"
		args[i] = c.bytes
		switch {
		case c.texts != nil:
			kind, args[i] = "text", c.texts
		case c.ints != nil:
			kind, args[i] = "bigint", c.ints
		case c.bools != nil:
			kind, args[i] = "boolean", c.bools
		}
		names[i], arrays[i] = c.name, fmt.Sprintf("$%d::%s[]", i+1, kind)
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT * FROM unnest(%s) %s",
		b.table, strings.Join(names, ", "), strings.Join(arrays, ", "), b.conflict), args...)
	return err
}

func (postgresDialect) kind(err error) errorKind {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		if _, isNet := errors.AsType[net.Error](err); isNet ||
			errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, net.ErrClosed) {
			return kindUnavailable
		}
		return kindOther
	}
	switch e.Code {
	case "23505": // unique_violation
		return kindUnique
	case "23503": // foreign_key_violation
		return kindForeignKey
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
		return kindRetryable
	case "53100": // disk_full
		return kindFull
	case "25006": // read_only_sql_transaction: we are connected to a standby
		return kindUnavailable
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "53", "57", "58": // connection, resources, operator intervention, system error
		return kindUnavailable
	}
	return kindOther
}
