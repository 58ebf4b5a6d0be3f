// Package storetest opens a store on every engine, for tests.
package storetest

import (
	"testing"

	"github.com/capstan-ota/capstan/internal/store"
)

// Run runs fn once per engine, each on a fresh, migrated store.
func Run(t *testing.T, fn func(t *testing.T, db *store.DB)) { t.Helper(); panic("skeleton") }

// SQLite opens a fresh SQLite store in t.TempDir.
func SQLite(t testing.TB) *store.DB { t.Helper(); panic("skeleton") }

// Postgres returns the URL of a fresh database of a real PostgreSQL.
func Postgres(t testing.TB) string { t.Helper(); panic("skeleton") }

// Main runs the tests of a package and stops the server that they started.
func Main(m *testing.M) { panic("skeleton") }
