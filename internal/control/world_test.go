package control_test

import (
	"bytes"
	"context"
	"crypto/rand"

	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/blob/mem"
	"github.com/capstan-ota/capstan/internal/catalog"
	"github.com/capstan-ota/capstan/internal/control"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/pack"
	"github.com/capstan-ota/capstan/internal/store"
)

const app = "com.example.app"

// world is a store with everything above it that publishing needs.
type world struct {
	*control.Control
	t     *testing.T
	admin auth.Principal
}

func newWorld(t *testing.T, db *store.DB) *world {
	t.Helper()
	cat := catalog.New(db, func(_, _ *decide.App) {}, slog.New(slog.DiscardHandler))
	if err := cat.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &world{
		t:     t,
		admin: auth.Principal{Token: capstan.Token{ID: "test"}, Org: capstan.DefaultOrg, Scopes: []string{capstan.ScopeAdmin}},
		Control: &control.Control{
			DB: db, Blobs: mem.New(time.Now), Catalog: cat, Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: rand.Reader,
		},
	}
	w.must(ignore(w.CreateApp(t.Context(), w.admin, capstan.App{ID: app})))
	w.must(ignore(w.CreateChannel(t.Context(), w.admin, app, "production", func(c *capstan.Channel) { c.Default = capstan.AllPlatforms })))
	return w
}

func ignore[T any](_ T, err error) error { return err }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v (code %s)", err, capstan.CodeOf(err))
	}
}

// refused fails the test unless err has the code, and unless the store is
// where it was when number was read.
func (w *world) refused(err error, code capstan.Code, number int64) {
	w.t.Helper()
	if capstan.CodeOf(err) != code {
		w.t.Errorf("error %v with code %q, want code %q", err, capstan.CodeOf(err), code)
	}
	if now := w.number(); now != number {
		w.t.Errorf("the refusal made changes: number went from %d to %d", number, now)
	}
}

func (w *world) number() int64 {
	w.t.Helper()
	n, err := w.DB.Number(context.WithoutCancel(w.t.Context()))
	w.must(err)
	return n
}

// site is a small web build that differs from version to version.
func site(version string) map[string]string {
	return map[string]string{
		"index.html":       "<!doctype html><script src=app.js></script>",
		"app.js":           "CapacitorUpdater.notifyAppReady(); // " + version,
		"assets/logo.svg":  "<svg/>",
		"assets/übung.txt": "same in every version",
	}
}

// source packs files as the command line does.
func (w *world) source(files map[string]string) *pack.Source {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		w.must(os.MkdirAll(filepath.Dir(file), 0o755))
		w.must(os.WriteFile(file, []byte(content), 0o644))
	}
	src, err := pack.Folder(w.t.Context(), dir, pack.Options{})
	w.must(err)
	w.t.Cleanup(func() { src.Close() })
	return src
}

// send puts every byte of src that the server lacks and returns what
// registering needs.
func (w *world) send(version string, src *pack.Source) control.NewBundle {
	w.t.Helper()
	in, err := w.trySend(version, src)
	w.must(err)
	return in
}

func (w *world) trySend(version string, src *pack.Source) (control.NewBundle, error) {
	ctx := w.t.Context()
	var none control.NewBundle
	var wants []store.Want
	byDigest := map[capstan.Digest]pack.Content{}
	for _, c := range src.Contents() {
		wants = append(wants, store.Want{Digest: c.Digest, Bytes: c.Size, Encoding: c.Need()})
		byDigest[c.Digest] = c
	}
	missing, err := w.MissingContents(ctx, w.admin, app, wants)
	if err != nil {
		return none, err
	}
	for _, m := range missing {
		stored, err := src.Encode(ctx, byDigest[m.Digest])
		if err != nil {
			return none, err
		}
		body, err := stored.Open()
		if err != nil {
			return none, err
		}
		err = w.PutContent(ctx, w.admin, app, upload(stored), body)
		body.Close()
		if err != nil {
			return none, err
		}
	}
	var zip bytes.Buffer
	archive, err := src.WriteArchive(ctx, &zip)
	if err != nil {
		return none, err
	}
	if err := w.PutArchive(ctx, w.admin, app, archive.Digest, archive.Bytes, &zip); err != nil {
		return none, err
	}
	return control.NewBundle{Bundle: capstan.Bundle{Version: version, Archive: archive.Digest}, Files: src.Manifest}, nil
}

func upload(s *pack.Stored) control.Upload {
	return control.Upload{Digest: s.Digest, Size: s.Size, Encoding: s.Encoding, Blob: s.Blob, BlobSize: s.BlobBytes}
}

// bundle makes a ready bundle.
func (w *world) bundle(version string) capstan.Bundle {
	w.t.Helper()
	made, err := w.Register(w.t.Context(), w.admin, app, w.send(version, w.source(site(version))))
	w.must(err)
	return made.Bundle
}

// channelNumber is what a caller last read of the channel.
func (w *world) channelNumber() int64 {
	w.t.Helper()
	ch, err := w.DB.Channel(w.t.Context(), app, "production")
	w.must(err)
	return ch.Number
}

// publish puts a version on production.
func (w *world) publish(version string) control.Published {
	w.t.Helper()
	p, err := w.Publish(w.t.Context(), w.admin, app, "production", w.channelNumber(), version, false)
	w.must(err)
	return p
}

// serves asks as a phone that runs its store build would, and returns the
// version that it is offered, "builtin", or the reason of a refusal.
func (w *world) serves() string {
	w.t.Helper()
	return w.servesOn(capstan.Android)
}

func (w *world) servesOn(platform capstan.Platform) string {
	w.t.Helper()
	snapshot, known, err := w.Catalog.App(app)
	w.must(err)
	if !known {
		return "app unknown"
	}
	native, _ := capstan.ParseVersion("1.0.0")
	d := decide.Decide(snapshot, decide.Overlay{}, &decide.Query{
		At: time.Now(), Device: capstan.DeviceID{1}, Platform: platform, Running: "0.9.0", Native: "1.0.0",
		NativeVersion: native, Prod: true,
	})
	switch d.Outcome {
	case capstan.Offer:
		return d.Bundle.Version
	case capstan.Builtin:
		return "builtin"
	}
	return string(d.Reason)
}
