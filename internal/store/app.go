package store

import (
	"context"

	"github.com/capstan-ota/capstan"
)

const appColumns = `id, org, name, self_set, expose_metadata, created_at, number`

const (
	appSQL    = `SELECT ` + appColumns + ` FROM app WHERE id = $1`
	appsSQL   = `SELECT ` + appColumns + ` FROM app WHERE org = $1 AND id > $2 ORDER BY id LIMIT $3`
	appIDsSQL = `SELECT id FROM app ORDER BY id`
)

func scanApp(s scanner) (a capstan.App, err error) {
	var created int64
	err = s.Scan(&a.ID, &a.Org, &a.Name, &a.SelfSet, &a.ExposeMetadata, &created, &a.Number)
	a.CreatedAt = fromMS(created)
	return a, err
}

func appNotFound(id string) *capstan.Error {
	return capstan.Errorf(capstan.CodeAppNotFound, "there is no app %q", id).On("app").
		Hint("capstan app list", "capstan app add "+id)
}

// AppFilter pages apps by id.
type AppFilter struct {
	Org   string
	After string // id of the last app of the page before
	Limit int    // 0: 100, at most 1000
}

// Apps returns one page of an organisation's apps, ordered by id.
func (db *DB) Apps(ctx context.Context, f AppFilter) ([]capstan.App, error) {
	list, err := collect(ctx, db.reader, scanApp, appsSQL, f.Org, f.After, limit(f.Limit))
	return list, db.fail("read apps", err)
}

// App returns an app. Error: app_not_found.
func (db *DB) App(ctx context.Context, id string) (capstan.App, error) {
	a, err := readApp(ctx, db.reader, id)
	return a, db.fail("read app "+id, err)
}

func readApp(ctx context.Context, q querier, id string) (capstan.App, error) {
	a, err := scanApp(q.QueryRowContext(ctx, appSQL, id))
	return a, notFound(err, appNotFound(id))
}

// AppIDs returns the ids of all apps of all organisations, ordered.
func (db *DB) AppIDs(ctx context.Context) ([]string, error) {
	list, err := collect(ctx, db.reader, scanString, appIDsSQL)
	return list, db.fail("read app ids", err)
}

// App returns an app. Error: app_not_found.
func (tx *Tx) App(id string) (capstan.App, error) {
	if _, err := tx.lockApp(id); err != nil {
		return capstan.App{}, err
	}
	return readApp(tx.ctx, tx.sql, id)
}

// CreateApp inserts a; CreatedAt is the time of the transaction and Org
// [capstan.DefaultOrg] when not given. Errors: app_exists, invalid.
func (tx *Tx) CreateApp(a capstan.App) error {
	if err := a.Validate(); err != nil {
		return err
	}
	if a.Org == "" {
		a.Org = capstan.DefaultOrg
	}
	if a.CreatedAt.IsZero() {
		a.CreatedAt = tx.now
	}
	err := tx.exec(`INSERT INTO app (id, org, name, self_set, expose_metadata, created_at, number, last_seq, last_release)
		VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0)`,
		a.ID, a.Org, a.Name, a.SelfSet, a.ExposeMetadata, ms(a.CreatedAt))
	if tx.dialect.kind(err) == kindUnique {
		return capstan.Errorf(capstan.CodeAppExists, "the app %q exists already", a.ID).On("app").Hint("capstan app show " + a.ID)
	}
	if err != nil {
		return err
	}
	tx.orgs[a.ID] = a.Org // a row that we made is ours
	return tx.change(a.Org, a.ID, capstan.NounApp, a.ID, nil, appShape(a), touched{capstan.NounApp, "", a.ID})
}

// UpdateApp writes name and switches of a. When the row says the same already,
// nothing changes. Errors: app_not_found, invalid.
func (tx *Tx) UpdateApp(a capstan.App) error {
	if err := a.Validate(); err != nil {
		return err
	}
	old, err := tx.App(a.ID)
	if err != nil {
		return err
	}
	a.Org, a.CreatedAt, a.Number = old.Org, old.CreatedAt, old.Number
	if a == old {
		return nil
	}
	err = tx.exec(`UPDATE app SET name = $1, self_set = $2, expose_metadata = $3 WHERE id = $4`,
		a.Name, a.SelfSet, a.ExposeMetadata, a.ID)
	if err != nil {
		return err
	}
	return tx.change(old.Org, a.ID, capstan.NounApp, a.ID, appShape(old), appShape(a), touched{capstan.NounApp, "", a.ID})
}

// deleteAppSQL removes everything of an app, rows that point before rows that
// are pointed at. The blobs of its bundles stay for the collector; events stay
// until their day is dropped.
var deleteAppSQL = [...]string{
	`DELETE FROM release WHERE app = $1`,
	`DELETE FROM channel WHERE app = $1`,
	`DELETE FROM bundle_file WHERE bundle IN (SELECT id FROM bundle WHERE app = $1)`,
	`DELETE FROM bundle WHERE app = $1`,
	`DELETE FROM pin WHERE app = $1`,
	`DELETE FROM self_pins WHERE app = $1`,
	`DELETE FROM failure WHERE app = $1`,
	`DELETE FROM device WHERE app = $1`,
	`DELETE FROM seen WHERE app = $1`,
	`DELETE FROM app WHERE id = $1`,
}

// DeleteApp removes an app with everything of it: channels, bundles, releases,
// pins, devices. It is one change. Error: app_not_found.
func (tx *Tx) DeleteApp(id string) error {
	old, err := tx.App(id)
	if err != nil {
		return err
	}
	if err := tx.holdBlobs(`SELECT id FROM bundle WHERE app = $2`, id); err != nil {
		return err
	}
	for _, text := range deleteAppSQL {
		if err := tx.exec(text, id); err != nil {
			return err
		}
	}
	delete(tx.orgs, id)
	return tx.change(old.Org, id, capstan.NounApp, id, appShape(old), nil)
}
