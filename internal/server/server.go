// Package server wires everything together: store, blobs, catalog, ingest,
// control and the edges behind one listener. It is the one place where clock,
// randomness and settings enter, and it decides nothing.
//
// The order of stopping is the subtle thing: listeners first, then requests in
// flight, then ingest with what is queued, then the store.
package server

import (
	"context"
	"crypto/rand"
	"encoding/json/v2"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/api"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/blob"
	"github.com/capstan-ota/capstan/internal/blob/disk"
	"github.com/capstan-ota/capstan/internal/catalog"
	"github.com/capstan-ota/capstan/internal/control"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/ingest"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/wire/capgo"
)

// Server is one node.
type Server struct {
	cfg       Config
	public    string
	tokenFile string

	listener net.Listener
	http     *http.Server
	db       *store.DB
	blobs    *disk.Store
	catalog  *catalog.Catalog
	ingest   *ingest.Ingest
	control  *control.Control
}

const (
	flushEvery   = 200 * time.Millisecond
	followEvery  = 500 * time.Millisecond // other nodes on the same PostgreSQL see a change within a second
	collectEvery = time.Hour
	drainFor     = 30 * time.Second
)

// New opens the data directory, listens, and reads every app, so that a server
// that was made can answer. Close it, or Run it.
func New(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Listen == "" {
		cfg.Listen = defaultListen
	}
	s := &Server{cfg: cfg}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	if s.listener, err = net.Listen("tcp", s.cfg.Listen); err != nil {
		return capstan.Errorf(capstan.CodeInvalid, "cannot listen on %s: %w", s.cfg.Listen, err).On("listen").
			Hint("choose another address: capstan serve --listen 127.0.0.1:8081")
	}
	if s.public, err = publicURL(s.cfg.PublicURL, s.listener.Addr()); err != nil {
		return err
	}
	s.db, err = store.Open(ctx, store.Options{Dir: s.cfg.Data, PostgresURL: s.cfg.DatabaseURL, Now: time.Now, Log: s.cfg.Log})
	if err != nil {
		return err
	}
	if s.blobs, err = disk.Open(filepath.Join(s.cfg.Data, "blobs"), time.Now); err != nil {
		return err
	}
	if s.tokenFile, err = bootstrap(ctx, s.db, s.cfg, rand.Reader, time.Now()); err != nil {
		return err
	}
	s.catalog = catalog.New(s.db, func(app, prev *decide.App) { capgo.Prepare(app, prev, s.public) }, s.cfg.Log)
	if err := s.catalog.Load(ctx); err != nil {
		return fmt.Errorf("read apps: %w", err)
	}
	s.ingest = ingest.New(ingest.Options{DB: s.db, Catalog: s.catalog, Log: s.cfg.Log, Now: time.Now, FlushEvery: flushEvery})
	s.control = &control.Control{
		DB: s.db, Blobs: s.blobs, Catalog: s.catalog, Log: s.cfg.Log, Now: time.Now, Random: rand.Reader, Limits: s.cfg.Limits,
	}
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
	}
	return nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// PublicURL is the origin that devices are told.
func (s *Server) PublicURL() string { return s.public }

// TokenFile is the file with the token that this start made, "" if it made none.
func (s *Server) TokenFile() string { return s.tokenFile }

// Warnings are things that the operator should hear at once.
func (s *Server) Warnings() []string {
	if w := cleartextWarning(s.public); w != "" {
		return []string{w}
	}
	return nil
}

// Handler answers every request of the server; tests and benchmarks call it
// without a network.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Run serves until ctx ends, then finishes what is in flight and closes.
func (s *Server) Run(ctx context.Context) error {
	jobs, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if s.cfg.DatabaseURL != "" {
		wg.Go(func() { s.catalog.Follow(jobs, followEvery) })
	}
	wg.Go(func() { s.collect(jobs) })
	failed := make(chan error, 1)
	wg.Go(func() { failed <- s.http.Serve(s.listener) })

	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainFor)
		err = s.http.Shutdown(drain)
		cancel()
	}
	stop()
	wg.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, s.Close())
}

// collect deletes bytes that nothing names, each collectEvery.
func (s *Server) collect(ctx context.Context) {
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n, err := s.control.Collect(ctx, store.Keep{})
		switch {
		case err != nil && ctx.Err() == nil:
			s.cfg.Log.Error("cannot collect unused bytes", "error", err)
		case n > 0:
			s.cfg.Log.Info("collected unused bytes", "blobs", n)
		}
	}
}

// Close releases everything. It is safe on a server that was half opened, and
// to call again.
func (s *Server) Close() error {
	var err error
	if s.http != nil {
		err = errors.Join(err, s.http.Close())
		s.http = nil
	}
	if s.listener != nil {
		if e := s.listener.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	if s.ingest != nil {
		s.ingest.Close()
		s.ingest = nil
	}
	if s.blobs != nil {
		err = errors.Join(err, s.blobs.Close())
		s.blobs = nil
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
		s.db = nil
	}
	return err
}

// routes mounts the edges. What is not ours by its path belongs to devices.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/", api.New(api.Deps{
		Control: s.control, DB: s.db, Catalog: s.catalog, Blobs: s.blobs,
		Auth:      auth.Authenticator{Token: s.db.Token, Now: time.Now},
		Asker:     s.asker(),
		PublicURL: s.public, Version: s.cfg.Version, Log: s.cfg.Log, Now: time.Now, NewRequestID: newID,
	}))
	mux.Handle(blob.PathPrefix, blob.Handler(s.blobs, blob.HandlerOptions{Now: time.Now, Failed: func(r *http.Request, err error) {
		s.cfg.Log.Error("cannot serve blob", "path", r.URL.Path, "error", err)
	}}))
	mux.HandleFunc("GET /healthz", s.health)
	mux.Handle("/", deadline(capgo.NewHandler(capgo.Deps{
		App: s.catalog.App, Overlay: s.catalog.Overlay, Seen: s.ingest.Seen, Events: s.ingest.Events,
		SetSelfPin: s.ingest.SetSelfPin, NewID: newID, Now: time.Now, Log: s.cfg.Log, PublicURL: s.public,
	})))
	return mux
}

// newID makes an id that sorts by the time of its making.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// asker lets the API explain decisions in the words of the device protocol.
func (s *Server) asker() api.Asker {
	asked := func(a capgo.Asked, err error) (api.Asked, error) {
		return api.Asked{
			Query: &a.Query, Answer: func(d decide.Decision) []byte { return capgo.Answer(d, a, s.public) },
		}, err
	}
	return api.Asker{
		ByBody:   func(body []byte, app string) (api.Asked, error) { return asked(capgo.AskedByBody(body, app)) },
		ByDevice: func(d capstan.Device) (api.Asked, error) { return asked(capgo.AskedByDevice(d)) },
	}
}

// bodyDeadline bounds how long a device may take to send its body.
const bodyDeadline = 30 * time.Second

func deadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			// Recorders of tests have no deadline; a real connection always has.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyDeadline))
		}
		next.ServeHTTP(w, r)
	})
}

// Health is the body of /healthz.
type Health struct {
	Status string `json:"status"` // "ok", "stale" while the store cannot be followed, or "degraded"
	Stale  string `json:"stale,omitempty"`
	// Storage is why uploads are refused until the server is started anew: the
	// disk could not promise to keep what was written.
	Storage string `json:"storage,omitempty"`

	DroppedSightings int64 `json:"dropped_sightings"`
	DuplicateEvents  int64 `json:"duplicate_events"`
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	counts := s.ingest.Counts()
	h := Health{Status: "ok", DroppedSightings: counts.DroppedSightings, DuplicateEvents: counts.DuplicateEvents}
	if err := s.catalog.Stale(); err != nil {
		// Decisions go on from the last snapshot, so the node stays in service.
		h.Status, h.Stale = "stale", err.Error()
	}
	if err := s.blobs.Degraded(); err != nil {
		h.Status, h.Storage = "degraded", err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.MarshalWrite(w, h); err != nil {
		s.cfg.Log.Debug("cannot answer health", "error", err)
	}
}
