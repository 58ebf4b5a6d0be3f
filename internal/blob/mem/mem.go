// Package mem keeps blobs in memory, for tests and the simulator. It promises
// what [blob.Store] promises, except that nothing outlives the process, so it
// never says that a disk is full.
package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/blob"
)

// Store is a [blob.Store] in memory.
type Store struct {
	now func() time.Time

	mu    sync.RWMutex
	blobs map[capstan.Digest]entry
}

type entry struct {
	bytes []byte // never written again
	at    time.Time
}

var _ blob.Store = (*Store)(nil)

// New returns an empty store. now gives the time of a Put.
func New(now func() time.Time) *Store {
	return &Store{now: now, blobs: map[capstan.Digest]entry{}}
}

// Put implements [blob.Store].
func (s *Store) Put(ctx context.Context, digest capstan.Digest, size int64, r io.Reader) error {
	v, err := blob.NewVerifier(ctx, digest, size, r)
	if err != nil {
		return err
	}
	// The buffer grows with what arrives: an announced size is no reason to
	// allocate.
	b, err := io.ReadAll(v)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[digest] = entry{bytes: b, at: s.now()}
	return nil
}

func (s *Store) get(ctx context.Context, digest capstan.Digest) (entry, error) {
	if _, err := blob.Key(digest); err != nil {
		return entry{}, err
	}
	if err := ctx.Err(); err != nil {
		return entry{}, fmt.Errorf("open blob %s: %w", digest, err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.blobs[digest]
	if !ok {
		return entry{}, blob.NotFound(digest)
	}
	return e, nil
}

// Open implements [blob.Store].
func (s *Store) Open(ctx context.Context, digest capstan.Digest, off, n int64) (io.ReadCloser, error) {
	e, err := s.get(ctx, digest)
	if err != nil {
		return nil, err
	}
	n, err = blob.CheckRange(digest, int64(len(e.bytes)), off, n)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(e.bytes[off : off+n])), nil
}

// Stat implements [blob.Store].
func (s *Store) Stat(ctx context.Context, digest capstan.Digest) (blob.Info, error) {
	e, err := s.get(ctx, digest)
	if err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Digest: digest, Size: int64(len(e.bytes)), At: e.at}, nil
}

// Delete implements [blob.Store].
func (s *Store) Delete(ctx context.Context, digest capstan.Digest) error {
	if _, err := blob.Key(digest); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete blob %s: %w", digest, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, digest)
	return nil
}

// List implements [blob.Store]. It yields what was there when it began and is
// there still.
func (s *Store) List(ctx context.Context, after capstan.Digest) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if after != "" {
			if _, err := blob.Key(after); err != nil {
				yield(blob.Info{}, err)
				return
			}
		}
		s.mu.RLock()
		digests := slices.Sorted(maps.Keys(s.blobs))
		s.mu.RUnlock()
		for _, d := range digests {
			if d <= after {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(blob.Info{}, fmt.Errorf("list blobs: %w", err))
				return
			}
			s.mu.RLock()
			e, ok := s.blobs[d]
			s.mu.RUnlock()
			if ok && !yield(blob.Info{Digest: d, Size: int64(len(e.bytes)), At: e.at}, nil) {
				return
			}
		}
	}
}

// URL implements [blob.Store]: memory is served by us.
func (s *Store) URL(capstan.Digest) string { return "" }

// Close implements [blob.Store].
func (s *Store) Close() error { return nil }
