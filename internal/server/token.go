package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/store"
)

// TokenFile is the file in the data directory that holds the first token.
const TokenFile = "admin-token"

// bootstrap makes sure that somebody can sign in. It registers a given token,
// or at the first start makes one, and returns the file that holds it ("" when
// there was nothing to do).
func bootstrap(ctx context.Context, db *store.DB, cfg Config, random io.Reader, now time.Time) (file string, err error) {
	if cfg.BootstrapToken != "" {
		return "", register(ctx, db, cfg.BootstrapToken, "bootstrap", now)
	}
	tokens, err := db.Tokens(ctx, capstan.DefaultOrg)
	if err != nil || len(tokens) > 0 {
		return "", err
	}
	text, _, err := auth.NewToken(random, "admin")
	if err != nil {
		return "", err
	}
	file = filepath.Join(cfg.Data, TokenFile)
	// The file first: a token in the store that nobody can read would lock
	// everybody out, a file whose token is unknown is overwritten next time.
	if err := writeSecret(file, text); err != nil {
		return "", err
	}
	return file, register(ctx, db, text, "first token", now)
}

func register(ctx context.Context, db *store.DB, text, name string, now time.Time) error {
	id, err := auth.ParseToken(text)
	if err != nil {
		return fmt.Errorf("bootstrap token: %w", err)
	}
	old, err := db.Token(ctx, id)
	switch {
	case err == nil && old.Hash == auth.Hash(text):
		return nil
	case err == nil:
		return capstan.Errorf(capstan.CodeInvalid, "another token has the id %s of the bootstrap token", id).
			Hint("capstan token generate")
	case capstan.CodeOf(err) != capstan.CodeNotFound:
		return err
	}
	_, err = db.Write(ctx, "system", func(tx *store.Tx) error {
		return tx.CreateToken(capstan.Token{
			ID: id, Org: capstan.DefaultOrg, Name: name, Hash: auth.Hash(text), Scopes: []string{capstan.ScopeAdmin}, CreatedAt: now,
		})
	})
	return err
}

// writeSecret replaces a file that only its owner may read.
func writeSecret(file, text string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replace %s: %w", file, err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write first token: %w", err)
	}
	_, err = f.WriteString(text + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}
