package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/catalog"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/ingest"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/wire/capgo"
)

// inProcess is the device endpoint without a network.
type inProcess struct {
	handler http.Handler
	catalog *catalog.Catalog
	db      *store.DB
	dir     string
}

func newInProcess(ctx context.Context) (*inProcess, error) {
	dir, err := os.MkdirTemp("", "capstan-bench-")
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, store.Options{Dir: dir, Now: time.Now})
	if err != nil {
		return nil, err
	}
	p := &inProcess{db: db, dir: dir}
	if err := p.addApps(ctx, 0, 1); err != nil {
		return nil, err
	}
	p.catalog = catalog.New(db, func(app, prev *decide.App) { capgo.Prepare(app, prev, "http://bench") }, slog.New(slog.DiscardHandler))
	p.handler = capgo.NewHandler(capgo.Deps{
		App: p.catalog.App, Overlay: p.catalog.Overlay, Seen: func(ingest.Sighting) {}, Now: time.Now, Log: slog.New(slog.DiscardHandler), PublicURL: "http://bench",
	})
	return p, p.catalog.Load(ctx)
}

func (p *inProcess) close() {
	p.db.Close()
	os.RemoveAll(p.dir)
}

// addApps adds apps from..to, each with a default channel that sends devices
// to built-in.
func (p *inProcess) addApps(ctx context.Context, from, to int) error {
	for from < to {
		n := min(from+500, to)
		_, err := p.db.Write(ctx, "system", func(tx *store.Tx) error {
			for i := from; i < n; i++ {
				id := benchApp
				if i > 0 {
					id = fmt.Sprintf("com.example.bench%d", i)
				}
				if err := tx.CreateApp(capstan.App{ID: id, Org: capstan.DefaultOrg, Name: id}); err != nil {
					return err
				}
				ch := capstan.NewChannel(id, "production")
				ch.Default = capstan.AllPlatforms
				if _, err := tx.CreateChannel(ch); err != nil {
					return err
				}
				if _, err := tx.CreateRelease(capstan.Release{App: id, Channel: "production", ShareBP: capstan.ShareAll, Salt: "s"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		from = n
	}
	return nil
}

// recorder is an http.ResponseWriter that keeps nothing.
type recorder struct {
	header http.Header
	status int
	bytes  int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { r.bytes += len(b); return len(b), nil }

// asker makes one check after another on the handler, without allocating.
type asker struct {
	p      *inProcess
	bodies [][]byte
	reader bytes.Reader
	req    *http.Request
	rec    recorder
	n      int
}

func newAsker(p *inProcess) *asker {
	a := &asker{p: p, rec: recorder{header: http.Header{}}}
	for device := range 1000 {
		full := check(nil, device*1000, "1.0.0", false)
		a.bodies = append(a.bodies, full[bytes.Index(full, []byte("\r\n\r\n"))+4:])
	}
	a.req, _ = http.NewRequest(http.MethodPost, "http://bench/updates", nil)
	return a
}

func (a *asker) ask() {
	body := a.bodies[a.n%len(a.bodies)]
	a.n++
	a.reader.Reset(body)
	a.req.Body, a.req.ContentLength = io.NopCloser(&a.reader), int64(len(body))
	a.rec.status = 0
	a.p.handler.ServeHTTP(&a.rec, a.req)
}

// nanoseconds of one check, the best of several short runs.
func (a *asker) nanoseconds() float64 {
	best := 0.0
	for range 7 {
		const n = 20_000
		begin := time.Now()
		for range n {
			a.ask()
		}
		if ns := float64(time.Since(begin).Nanoseconds()) / n; best == 0 || ns < best {
			best = ns
		}
	}
	return best
}

func allocations(ctx context.Context, _ options) ([]row, error) {
	p, err := newInProcess(ctx)
	if err != nil {
		return nil, err
	}
	defer p.close()
	a := newAsker(p)
	n := testing.AllocsPerRun(2000, a.ask)
	if a.rec.bytes == 0 {
		return nil, fmt.Errorf("the handler answered nothing")
	}
	const goal = 20
	return []row{{
		what: "allocations of one check, handler alone", ours: fmt.Sprintf("%.0f", n), baseline: "–", ratio: "–",
		goal: fmt.Sprintf("≤ %d", goal), met: n <= goal,
	}}, nil
}

// flatness shows that a check costs the same however much else there is.
func flatness(ctx context.Context, _ options) ([]row, error) {
	p, err := newInProcess(ctx)
	if err != nil {
		return nil, err
	}
	defer p.close()
	a := newAsker(p)
	const apps, pins = 10_000, 1_000_000
	one := a.nanoseconds()
	if err := p.addApps(ctx, 1, apps); err != nil {
		return nil, err
	}
	if err := p.catalog.Load(ctx); err != nil {
		return nil, err
	}
	many := a.nanoseconds()
	for i := range pins {
		p.catalog.SetPin(capstan.Pin{App: benchApp, Device: capstan.DeviceID{0: byte(i >> 16), 1: byte(i >> 8), 2: byte(i), 8: byte(i >> 5), 15: byte(i * 7)}, Kind: capstan.PinOperator, Channel: "production"})
	}
	pinned := a.nanoseconds()
	flat := func(what string, before, after float64) row {
		return row{
			what: what, ours: fmt.Sprintf("%.0f ns", after), baseline: fmt.Sprintf("%.0f ns", before),
			ratio: fmt.Sprintf("%.2f", after/before), goal: "≤ 1.10", met: after/before <= 1.10,
		}
	}
	return []row{flat("one check, 1 → 10 000 apps", one, many), flat("one check, 0 → 1 000 000 pins", many, pinned)}, nil
}
