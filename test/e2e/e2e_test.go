// Package e2e runs scripts with server, command line and devices together. It
// knows nothing but what a user types and sees: the scripts under testdata are
// sessions at a shell, against a server of their own.
package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json/v2"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/cli"
	"github.com/capstan-ota/capstan/internal/server"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"capstan": func() { os.Exit(cli.Main()) }})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir+"/home")
			e.Setenv("TZ", "UTC")
			return os.Mkdir(e.WorkDir+"/home", 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server": startServer, "exits": exits, "devices": devices, "save": save,
		},
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
	})
}

// startServer is the command "server": it starts one on a fresh data directory,
// and sets CAPSTAN_URL and TOKEN.
func startServer(ts *testscript.TestScript, neg bool, _ []string) {
	if neg {
		ts.Fatalf("server cannot be negated")
	}
	token, _, err := auth.NewToken(rand.Reader, "admin")
	ts.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	srv, err := server.New(ctx, server.Config{Data: ts.MkAbs("data"), Listen: "127.0.0.1:0", BootstrapToken: token, Version: "test"})
	if err != nil {
		stop()
		ts.Check(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	ts.Defer(func() {
		stop()
		if err := <-done; err != nil {
			ts.Logf("the server ended with %v", err)
		}
	})
	ts.Setenv("CAPSTAN_URL", srv.PublicURL())
	ts.Setenv("TOKEN", token)
}

// exits is the command "exits CODE program args…".
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program args…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if want, _ := strconv.Atoi(args[0]); code != want {
		ts.Fatalf("exit code %d, want %d\n%s%s", code, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// devices is the command "devices N app": it returns once the server recorded N
// devices, which it does in batches.
func devices(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	c, err := client.New(ts.Getenv("CAPSTAN_URL"), ts.Getenv("TOKEN"), client.Options{})
	ts.Check(err)
	for start := time.Now(); time.Since(start) < 10*time.Second; {
		list, _, err := c.Devices(context.Background(), args[1], client.Page{})
		ts.Check(err)
		if len(list) >= want {
			return
		}
	}
	ts.Fatalf("the server did not record %d devices", want)
}

// save is the command "save NAME key…": it takes a value out of the JSON on
// stdout and keeps it in a variable.
func save(ts *testscript.TestScript, _ bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for _, key := range args[1:] {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			i, err := strconv.Atoi(key)
			ts.Check(err)
			v = x[i]
		default:
			ts.Fatalf("there is no %s in %v", key, v)
		}
	}
	text, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		ts.Check(err)
		text = string(b)
	}
	ts.Setenv(args[0], text)
}
