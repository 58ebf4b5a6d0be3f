package store

import (
	"context"
	"database/sql"
	"encoding/json/v2"
	"errors"
	"fmt"
	"time"

	"github.com/capstan-ota/capstan"
)

// Tx is a write transaction. It is used by one goroutine, inside
// [DB.Write]. Whatever reads or changes an app's rows through it locks the app
// first, so what was read stays true until commit: comparing a channel's
// Number here is a compare-and-set.
type Tx struct {
	ctx     context.Context // of the Write that the Tx lives in
	sql     *sql.Tx
	dialect dialect
	actor   string
	now     time.Time
	orgs    map[string]string // of the apps that are locked
	pending []pending
}

// pending is a change that has no number yet.
type pending struct {
	org, app string
	noun     capstan.Noun
	id       string
	before   string
	after    string
	touched  []touched
}

// touched is a row whose ETag the change moves.
type touched struct {
	noun    capstan.Noun
	app, id string
}

// Write runs fn in one transaction and commits it. Every mutation that fn
// makes through the Tx appends one change row with its own number; number is
// that of the last one, and 0 when fn changed nothing: then no number is
// taken. A verb makes the change of the object that it is named for last, so
// number is also that object's new ETag.
//
// actor is a token id, or "system". fn is called again when the engine asks
// for it, so it must not keep state of an earlier call. Its error comes back
// and undoes everything; beside it come storage_full and unavailable.
func (db *DB) Write(ctx context.Context, actor string, fn func(*Tx) error) (number int64, err error) {
	err = db.transact(ctx, "write", func(sqlTx *sql.Tx) error {
		tx := &Tx{ctx: ctx, sql: sqlTx, dialect: db.dialect, actor: actor, now: db.now(), orgs: map[string]string{}}
		if err := fn(tx); err != nil {
			return err
		}
		number, err = tx.finish()
		return err
	})
	if err != nil {
		return 0, err
	}
	return number, nil
}

// Now is the time of the transaction, the one that its rows carry.
func (tx *Tx) Now() time.Time { return tx.now }

func (tx *Tx) exec(query string, args ...any) error {
	_, err := tx.sql.ExecContext(tx.ctx, query, args...)
	return err
}

// lockApp holds the app's row until commit and returns its organisation.
func (tx *Tx) lockApp(app string) (org string, err error) {
	if org, ok := tx.orgs[app]; ok {
		return org, nil
	}
	err = tx.sql.QueryRowContext(tx.ctx, `SELECT org FROM app WHERE id = $1`+tx.dialect.lockRow(), app).Scan(&org)
	if err != nil {
		return "", notFound(err, appNotFound(app))
	}
	tx.orgs[app] = org
	return org, nil
}

// change notes a mutation. before and after are row shapes, nil for none.
func (tx *Tx) change(org, app string, noun capstan.Noun, id string, before, after any, touch ...touched) error {
	p := pending{org: org, app: app, noun: noun, id: id, touched: touch}
	for _, side := range []struct {
		row  any
		text *string
	}{{before, &p.before}, {after, &p.after}} {
		if side.row == nil {
			continue
		}
		b, err := json.Marshal(side.row)
		if err != nil {
			return fmt.Errorf("encode %s %s for its change: %w", noun, id, err)
		}
		*side.text = string(b)
	}
	tx.pending = append(tx.pending, p)
	return nil
}

// finish takes the numbers and writes the change rows. From the first
// statement on the counter is locked, so nothing that may wait for another
// transaction comes after it but the rows that this one already holds.
func (tx *Tx) finish() (int64, error) {
	n := int64(len(tx.pending))
	if n == 0 {
		return 0, nil
	}
	var last int64
	err := tx.sql.QueryRowContext(tx.ctx, `UPDATE counter SET n = n + $1 WHERE id = 1 RETURNING n`, n).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("take a change number: %w", err)
	}
	if err := tx.insertChanges(last - n + 1); err != nil {
		return 0, fmt.Errorf("write changes: %w", err)
	}
	numbers := map[touched]int64{} // a row that several changes touched gets the last number
	for i, p := range tx.pending {
		for _, t := range p.touched {
			numbers[t] = last - n + 1 + int64(i)
		}
	}
	for t, number := range numbers {
		if err := tx.number(t, number); err != nil {
			return 0, fmt.Errorf("number %s %s: %w", t.noun, t.id, err)
		}
	}
	return last, nil
}

func (tx *Tx) insertChanges(first int64) error {
	n := len(tx.pending)
	number, at := make([]int64, n), make([]int64, n)
	org, app, actor, noun := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	id, before, after := make([]string, n), make([]string, n), make([]string, n)
	for i, p := range tx.pending {
		number[i], at[i], actor[i] = first+int64(i), ms(tx.now), tx.actor
		org[i], app[i], noun[i], id[i], before[i], after[i] = p.org, p.app, string(p.noun), p.id, p.before, p.after
	}
	return tx.dialect.insertMany(tx.ctx, tx.sql, bulk{table: "change", columns: []column{
		{name: "number", ints: number}, {name: "org", texts: org}, {name: "app", texts: app},
		{name: "at", ints: at}, {name: "actor", texts: actor}, {name: "noun", texts: noun},
		{name: "id", texts: id}, {name: "before", texts: before}, {name: "after", texts: after},
	}})
}

func (tx *Tx) number(t touched, number int64) error {
	switch t.noun {
	case capstan.NounApp:
		return tx.exec(`UPDATE app SET number = $1 WHERE id = $2`, number, t.id)
	case capstan.NounChannel:
		return tx.exec(`UPDATE channel SET number = $1 WHERE app = $2 AND name = $3`, number, t.app, t.id)
	case capstan.NounBundle:
		return tx.exec(`UPDATE bundle SET number = $1 WHERE id = $2`, number, t.id)
	}
	return nil
}

// Number is the number of the last change, 0 before the first.
func (db *DB) Number(ctx context.Context) (int64, error) {
	n, err := readNumber(ctx, db.reader)
	return n, db.fail("read the change number", err)
}

func readNumber(ctx context.Context, q querier) (n int64, err error) {
	return n, q.QueryRowContext(ctx, `SELECT n FROM counter WHERE id = 1`).Scan(&n)
}

const (
	changeColumns = `number, app, at, actor, noun, id, before, after`
	changesSQL    = `SELECT ` + changeColumns + ` FROM change WHERE number > $1 ORDER BY number LIMIT $2`
	appChangesSQL = `SELECT ` + changeColumns + ` FROM change
		WHERE org = $1 AND app = $2 AND number > $3 ORDER BY number LIMIT $4`
)

func scanChange(s scanner) (c capstan.Change, err error) {
	var at int64
	err = s.Scan(&c.Number, &c.App, &at, &c.Actor, &c.Noun, &c.ID, &c.Before, &c.After)
	c.At = fromMS(at)
	return c, err
}

// Changes returns the changes with a number above after, in number order, at
// most n (0: 100, at most 1 000).
func (db *DB) Changes(ctx context.Context, after int64, n int) ([]capstan.Change, error) {
	list, err := collect(ctx, db.reader, scanChange, changesSQL, after, limit(n))
	return list, db.fail("read changes", err)
}

// AppChanges is [DB.Changes] of one app. An id that was deleted may come to
// belong to another organisation: each sees only its own changes.
func (db *DB) AppChanges(ctx context.Context, org, app string, after int64, n int) ([]capstan.Change, error) {
	list, err := collect(ctx, db.reader, scanChange, appChangesSQL, org, app, after, limit(n))
	return list, db.fail("read changes of "+app, err)
}

// notFound replaces "no row" by an error that people see.
func notFound(err error, instead *capstan.Error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return instead
	}
	return err
}
