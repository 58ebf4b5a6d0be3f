package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver named pgx

	"github.com/capstan-ota/capstan/internal/store"
)

// server is the one PostgreSQL of this test binary.
type server struct {
	dir   string
	admin *sql.DB
	stop  func() error
	made  atomic.Int64 // databases
}

// theServer is started by the first test that asks. It is the one variable of
// a test binary that outlives a test: starting a server takes a second.
var theServer = sync.OnceValues(startServer)

// Postgres returns the address of a fresh, migrated database, dropped when the
// test ends. It fails the test when PostgreSQL is not installed.
func Postgres(t testing.TB) string {
	t.Helper()
	return database(t, "TEMPLATE "+template)
}

// EmptyPostgres is Postgres without tables.
func EmptyPostgres(t testing.TB) string {
	t.Helper()
	return database(t, "")
}

const template = "capstan_template"

func database(t testing.TB, options string) string {
	t.Helper()
	s, err := theServer()
	if err != nil {
		t.Fatalf("start PostgreSQL for tests: %v", err)
	}
	name := fmt.Sprintf("test_%d", s.made.Add(1))
	if _, err := s.admin.Exec("CREATE DATABASE " + name + " " + options); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		if _, err := s.admin.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	return s.url(name)
}

// Durable makes the server sync its files, as it does in production, for what
// is measured. Tests go without, since none of them cuts the power.
func Durable(t testing.TB) {
	t.Helper()
	s, err := theServer()
	if err != nil {
		t.Fatalf("start PostgreSQL for tests: %v", err)
	}
	for _, text := range [...]string{"ALTER SYSTEM SET fsync = on", "ALTER SYSTEM SET full_page_writes = on", "SELECT pg_reload_conf()"} {
		if _, err := s.admin.Exec(text); err != nil {
			t.Fatalf("make PostgreSQL durable: %v", err)
		}
	}
}

// Main runs the tests of a package and then stops the server that they
// started and removes its files: func TestMain(m *testing.M) { storetest.Main(m) }.
func Main(m *testing.M) {
	code := m.Run()
	if started.Load() {
		if s, err := theServer(); err == nil {
			if err := s.stop(); err != nil {
				fmt.Fprintln(os.Stderr, "stop PostgreSQL for tests:", err)
				code = max(code, 1)
			}
		}
	}
	os.Exit(code)
}

func (s *server) url(database string) string {
	return "postgres://postgres@/" + database + "?" + url.Values{"host": {s.dir}, "port": {socketPort}}.Encode()
}

// socketPort is part of the socket's file name and nothing more: the server
// does not listen on the network.
const socketPort = "5432"

// started says whether anybody asked for the server.
var started atomic.Bool

func startServer() (*server, error) {
	started.Store(true)
	bin, err := find()
	if err != nil {
		return nil, err
	}
	// Not t.TempDir: its path may be too long for a socket, which has 107 bytes.
	dir, err := os.MkdirTemp("", "capstan-pg-")
	if err != nil {
		return nil, err
	}
	user, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir}
	if err := s.run(bin, user); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// find returns the folder of initdb and postgres.
func find() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed, and tests of the store run on both engines: " +
			"apt-get install postgresql (version 15 or later), or put its initdb and postgres on PATH")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// script makes a cluster, runs the server and stops it when standard input
// ends, which it does when the test binary is gone, whatever ended it.
// max_connections is for many tests in parallel, each with a pool.
const script = `set -e
"$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$2/log" 2>&1
"$1/postgres" -D "$2/data" -k "$2" -p ` + socketPort + ` -c listen_addresses= -c max_connections=300 -c shared_buffers=64MB \
	-c timezone=UTC >>"$2/log" 2>&1 </dev/null &
pid=$!
cat >/dev/null
kill -INT $pid
wait $pid || true
rm -rf "$2"/data "$2"/log "$2"/.s.PGSQL* || true
`

func (s *server) run(bin string, as func(*exec.Cmd)) error {
	cmd := exec.Command("/bin/sh", "-c", script, "sh", bin, s.dir)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	as(cmd)
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.stop = func() error {
		if s.admin != nil {
			s.admin.Close()
		}
		input.Close()
		return errors.Join(<-ended, os.RemoveAll(s.dir))
	}
	return s.wait(ended, &complaints)
}

// wait returns when the server answers, or with its log when it ended.
func (s *server) wait(ended chan error, complaints *bytes.Buffer) error {
	admin, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return err
	}
	s.admin = admin
	deadline := time.After(2 * time.Minute)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if err = admin.Ping(); err == nil {
			tick.Stop()
			return nil
		}
		select {
		case end := <-ended:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("PostgreSQL ended: %w: %s%s", end, complaints, log)
		case <-deadline:
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// prepare makes the template and turns off what tests do not need.
func (s *server) prepare() error {
	for _, text := range [...]string{
		"ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()",
		"CREATE DATABASE " + template,
	} {
		if _, err := s.admin.Exec(text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	db, err := store.Open(context.Background(), store.Options{PostgresURL: s.url(template), Now: time.Now})
	if err != nil {
		return err
	}
	return db.Close()
}
