package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/capstan-ota/capstan/internal/term"
)

// World is everything a command takes from outside, so that tests can give
// their own. Zero fields other than Dir stand for nothing: no input, no
// environment, no terminal.
type World struct {
	In       io.Reader
	Out, Err io.Writer

	InTTY, OutTTY, ErrTTY bool

	Environ []string // "KEY=value", the last one wins
	Dir     string   // working directory, absolute

	Now    func() time.Time
	Random io.Reader
	Wait   func(context.Context, time.Duration) error // between two tries
	HTTP   *http.Client
}

// RealWorld is the one of the process.
func RealWorld() (World, error) {
	dir, err := os.Getwd()
	if err != nil {
		return World{}, fmt.Errorf("find the working directory: %w", err)
	}
	return World{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTTY: term.IsTerminal(os.Stdin), OutTTY: term.IsTerminal(os.Stdout), ErrTTY: term.IsTerminal(os.Stderr),
		Environ: os.Environ(), Dir: dir,
		Now: time.Now, Random: rand.Reader, Wait: wait, HTTP: newHTTP(),
	}, nil
}

// newHTTP has no limit for a whole request, since a bundle takes as long as
// it takes; every single step of one has.
func newHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 5 * time.Minute, // the server reads a whole bundle before it answers
		MaxIdleConnsPerHost:   senders,
		IdleConnTimeout:       90 * time.Second,
	}}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// env returns a variable of the environment, "" when it is not set.
func (w World) env(name string) string {
	value := ""
	for _, kv := range w.Environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}

// home is the user's home directory, "" when there is none.
func (w World) home() string {
	if h := w.env("HOME"); h != "" {
		return h
	}
	return w.env("USERPROFILE")
}

// path makes a path that somebody typed absolute.
func (w World) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(w.Dir, name)
}

// Version is what the program calls itself: the module's version, and the
// commit where it was built from a checkout.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := strings.TrimPrefix(info.Main.Version, "v")
	if version == "" || version == "(devel)" {
		version = "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && !strings.Contains(version, s.Value[:12]) {
			version += "+" + s.Value[:12]
		}
	}
	return version
}

func userAgent() string {
	return "capstan/" + Version() + " (" + runtime.GOOS + "/" + runtime.GOARCH + ")"
}
