package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3/lock"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestRowsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			o := store.Options{Now: storetest.NewClock().Now}
			if engine == "sqlite" {
				o.Dir = filepath.Join(t.TempDir(), "a b?c#d%20ü", "data")
			} else {
				o.PostgresURL = storetest.EmptyPostgres(t)
			}
			db, err := store.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if db.Engine() != engine {
				t.Errorf("engine %q", db.Engine())
			}
			fill(t, db)
			read := func(db *store.DB) (state capstan.AppState, d capstan.Device, c []capstan.Change, e []capstan.Event) {
				t.Helper()
				state, err1 := db.AppState(t.Context(), app)
				d, err2 := db.Device(t.Context(), app, "alice")
				c, err3 := db.Changes(t.Context(), 0, 0)
				e, err4 := db.Events(t.Context(), app, deviceID(1), 0, "")
				if err := errors.Join(err1, err2, err3, err4); err != nil {
					t.Fatal(err)
				}
				return state, d, c, e
			}
			state, d, changes, events := read(db)
			if len(events) != 1 || len(state.Releases) != 2 {
				t.Errorf("%d events, %d releases", len(events), len(state.Releases))
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			// Opening runs the migrations on a store that has rows.
			again := storetest.Open(t, o)
			state2, d2, changes2, events2 := read(again)
			diff(t, "state", state, state2)
			diff(t, "device", d, d2)
			diff(t, "changes", changes, changes2)
			diff(t, "events", events, events2)
		})
	}
}

func TestManyProcessesMigrateOnce(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyPostgres(t)
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			db, err := store.Open(t.Context(), store.Options{PostgresURL: url, Now: time.Now})
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			if err := db.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	group.Wait()
}

func TestMigrationWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyPostgres(t)
	pool, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	other, err := pool.Conn(t.Context()) // another process, in the middle of a migration
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.ExecContext(t.Context(), `SELECT pg_advisory_lock($1)`, lock.DefaultLockID); err != nil {
		t.Fatal(err)
	}
	brief, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if db, err := store.Open(brief, store.Options{PostgresURL: url, Now: time.Now}); err == nil {
		t.Error("opened while another process migrates")
		db.Close()
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	pool.Close() // the lock goes with the connection
	storetest.Open(t, store.Options{PostgresURL: url, Now: time.Now})
}

func TestDataDirectoryIsLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := storetest.Open(t, store.Options{Dir: dir, Now: time.Now})
	makeApp(t, db, app)
	// In this process and in another one: SQLite's locks differ between the two.
	_, err := store.Open(t.Context(), store.Options{Dir: dir, Now: time.Now})
	if capstan.CodeOf(err) != capstan.CodeUnavailable || !strings.Contains(err.Error(), "in use by another capstan process") {
		t.Errorf("same process: %v", err)
	}
	if out := openElsewhere(t, dir); !strings.Contains(out, "in use by another capstan process") {
		t.Errorf("other process: %s", out)
	}
	makeApp(t, db, "com.example.still") // and ours goes on
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if out := openElsewhere(t, dir); out != "opened\n" {
		t.Errorf("after closing: %s", out)
	}
}

// openElsewhere opens dir in another process and returns what that prints.
func openElsewhere(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestOpenHelper$")
	cmd.Env = append(os.Environ(), "CAPSTAN_STORE_TEST_DIR="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run helper: %v", err)
	}
	text, _, _ := strings.Cut(string(out), "PASS")
	return text
}

// TestOpenHelper is the other process of [openElsewhere] and does nothing else.
func TestOpenHelper(t *testing.T) {
	dir := os.Getenv("CAPSTAN_STORE_TEST_DIR")
	if dir == "" {
		return
	}
	db, err := store.Open(t.Context(), store.Options{Dir: dir, Now: time.Now})
	if err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		return
	}
	os.Stdout.WriteString("opened\n")
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options store.Options
		code    capstan.Code
	}{
		"a file in place of the directory": {store.Options{Dir: file}, capstan.CodeInternal},
		"an address that is none":          {store.Options{PostgresURL: "postgres://u:geheim@[::1"}, capstan.CodeInvalid},
		"nobody listens":                   {store.Options{PostgresURL: "postgres://u:geheim@/x?host=" + t.TempDir()}, capstan.CodeUnavailable},
	} {
		c.options.Now = time.Now
		_, err := store.Open(t.Context(), c.options)
		if capstan.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the message holds the password: %v", name, err)
		}
	}
}

func TestErrorsAreToldApartByCode(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		for _, c := range []struct{ text, want string }{
			{`INSERT INTO self_pins (app, n) VALUES ('a', 1)`, "other"}, // no error
			{`INSERT INTO self_pins (app, n) VALUES ('a', 2)`, "unique"},
			{`INSERT INTO counter (id, n) VALUES (2, 0)`, "other"}, // refused by a check
			{`INSERT INTO nowhere (id) VALUES (1)`, "other"},
			{`INSERT INTO bundle_file (bundle, path, org, digest, size, encoding, blob, blob_bytes) VALUES ('x', '', '', '', 0, '', '', 0)`, "foreign key"},
		} {
			if got := db.Kind(t.Context(), c.text); got != c.want {
				t.Errorf("%s: %s, want %s", c.text, got, c.want)
			}
		}
		if db.Engine() == "postgres" {
			for code, want := range map[string]string{"40001": "retryable", "40P01": "retryable", "53100": "full", "57P01": "unavailable", "53300": "unavailable"} {
				if got := db.Kind(t.Context(), `DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '`+code+`'; END $$`); got != want {
					t.Errorf("%s: %s, want %s", code, got, want)
				}
			}
		}
	})
}

func TestFullDiskIsSaidAndChangesNothing(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	makeApp(t, db, app)
	if err := db.Exec(t.Context(), `PRAGMA max_page_count = 1`); err != nil { // the least is what there is
		t.Fatal(err)
	}
	before := number(t, db)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		before = number(t, db)
		_, err = db.Write(t.Context(), "tester", func(tx *store.Tx) error {
			return tx.UpdateApp(capstan.App{ID: app, Name: strings.Repeat("x", 100-i%2)})
		})
	}
	if capstan.CodeOf(err) != capstan.CodeStorageFull {
		t.Fatalf("got %v", err)
	}
	if number(t, db) != before {
		t.Error("the number moved")
	}
}

func TestFullDiskOfPostgresIsSaid(t *testing.T) {
	t.Parallel()
	db := storetest.PostgresDB(t)
	err := db.Exec(t.Context(), `DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$`)
	if capstan.CodeOf(err) != capstan.CodeStorageFull {
		t.Errorf("got %v", err)
	}
}

func TestSQLiteIsDurableAtCommit(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	for name, want := range map[string]string{
		"synchronous": "2", "journal_mode": "wal", "wal_autocheckpoint": "16384", "foreign_keys": "1", "busy_timeout": "10000",
	} {
		got, err := db.Settings(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, name+" of the database and of an event file", []string{want, want}, got)
	}
}
