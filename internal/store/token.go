package store

import (
	"context"
	"encoding/json/v2"
	"fmt"

	"github.com/capstan-ota/capstan"
)

const tokenColumns = `id, org, name, hash, scopes, created_at, expires_at, revoked_at`

const (
	tokenSQL  = `SELECT ` + tokenColumns + ` FROM token WHERE id = $1`
	tokensSQL = `SELECT ` + tokenColumns + ` FROM token WHERE org = $1 ORDER BY id`
)

func scanToken(s scanner) (t capstan.Token, err error) {
	var created, expires, revoked int64
	var scopes string
	if err := s.Scan(&t.ID, &t.Org, &t.Name, &t.Hash, &scopes, &created, &expires, &revoked); err != nil {
		return t, err
	}
	t.CreatedAt, t.ExpiresAt, t.RevokedAt = fromMS(created), fromMS(expires), fromMS(revoked)
	if err := json.Unmarshal([]byte(scopes), &t.Scopes); err != nil {
		return t, fmt.Errorf("read scopes of token %s: %w", t.ID, err)
	}
	return t, nil
}

func tokenNotFound(id string) *capstan.Error {
	return capstan.Errorf(capstan.CodeNotFound, "there is no token %.20q", id).On("token")
}

// Token returns a token by its public part, revoked and expired ones too.
// Error: not_found.
func (db *DB) Token(ctx context.Context, id string) (capstan.Token, error) {
	t, err := readToken(ctx, db.reader, id)
	return t, db.fail("read a token", err)
}

func readToken(ctx context.Context, q querier, id string) (capstan.Token, error) {
	t, err := scanToken(q.QueryRowContext(ctx, tokenSQL, id))
	return t, notFound(err, tokenNotFound(id))
}

// Tokens returns all tokens of an organisation, ordered by id.
func (db *DB) Tokens(ctx context.Context, org string) ([]capstan.Token, error) {
	list, err := collect(ctx, db.reader, scanToken, tokensSQL, org)
	return list, db.fail("read tokens", err)
}

// CreateToken inserts t. CreatedAt is the time of the transaction when not
// given. Error: invalid when the id is taken.
func (tx *Tx) CreateToken(t capstan.Token) error {
	if t.CreatedAt.IsZero() {
		t.CreatedAt = tx.now
	}
	if t.Org == "" {
		t.Org = capstan.DefaultOrg
	}
	if t.Scopes == nil {
		t.Scopes = []string{}
	}
	scopes, err := json.Marshal(t.Scopes)
	if err != nil {
		return err
	}
	err = tx.exec(`INSERT INTO token (id, org, name, hash, scopes, created_at, expires_at, revoked_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		t.ID, t.Org, t.Name, string(t.Hash), string(scopes), ms(t.CreatedAt), ms(t.ExpiresAt), ms(t.RevokedAt))
	if tx.dialect.kind(err) == kindUnique {
		return capstan.Errorf(capstan.CodeInvalid, "the token id %q is taken", t.ID).On("token")
	}
	if err != nil {
		return err
	}
	return tx.change(t.Org, "", capstan.NounToken, t.ID, nil, tokenShape(t))
}

// RevokeToken ends a token from now on. One that is revoked already does not
// change. Error: not_found.
func (tx *Tx) RevokeToken(id string) error {
	old, err := scanToken(tx.sql.QueryRowContext(tx.ctx, tokenSQL+tx.dialect.lockRow(), id))
	if err != nil {
		return notFound(err, tokenNotFound(id))
	}
	if !old.RevokedAt.IsZero() {
		return nil
	}
	t := old
	t.RevokedAt = tx.now.UTC()
	if err := tx.exec(`UPDATE token SET revoked_at = $1 WHERE id = $2`, ms(t.RevokedAt), id); err != nil {
		return err
	}
	return tx.change(t.Org, "", capstan.NounToken, id, tokenShape(old), tokenShape(t))
}
