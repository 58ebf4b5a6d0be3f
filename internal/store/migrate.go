package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/pressly/goose/v3"
)

// migrations is the one folder for both engines. Migrations only add. Where
// the engines need other words, the text carries a marker in a comment that
// the dialect replaces:
//
//	/* narrow */                    after the last ")" of a table of few, short
//	                                columns: WITHOUT ROWID on SQLite, which
//	                                spares the second tree
//	/* postgres: … :postgres */     words for PostgreSQL only
//
//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. Each migration is one transaction.
func migrate(ctx context.Context, d dialect, pool *sql.DB, log *slog.Logger) error {
	folder, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	kind, folder, options, err := d.migrations(folder)
	if err != nil {
		return err
	}
	options = append(options, goose.WithDisableGlobalRegistry(true), goose.WithTableName("schema_version"))
	provider, err := goose.NewProvider(kind, pool, folder, options...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	// The provider is not closed: that would close the pool.
	done, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, m := range done {
		log.InfoContext(ctx, "migrated the store", "engine", d.name(), "version", m.Source.Version, "took", m.Duration)
	}
	return nil
}

// markedFS is a folder of SQL that is rewritten as files are read.
type markedFS struct {
	fs.FS
	rewrite func(text string) string
}

func (m markedFS) Open(name string) (fs.File, error) {
	f, err := m.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return f, err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	return markedFile{f, strings.NewReader(m.rewrite(string(text)))}, nil
}

type markedFile struct {
	fs.File
	text *strings.Reader
}

func (f markedFile) Read(p []byte) (int, error) { return f.text.Read(p) }
