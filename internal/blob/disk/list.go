package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/blob"
)

// List implements [blob.Store]. It reads one leaf directory at a time, so its
// memory does not grow with the store, and passes over files that are not
// named like a blob in its place.
func (s *Store) List(ctx context.Context, after capstan.Digest) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if after != "" {
			if _, err := blob.Key(after); err != nil {
				yield(blob.Info{}, err)
				return
			}
		}
		err := s.walk(ctx, string(after), func(info blob.Info) bool { return yield(info, nil) })
		if err != nil && !errors.Is(err, errStop) {
			yield(blob.Info{}, fmt.Errorf("list blobs: %w", err))
		}
	}
}

// errStop ends a walk whose reader has seen enough.
var errStop = errors.New("stop")

func (s *Store) walk(ctx context.Context, after string, yield func(blob.Info) bool) error {
	tops, err := s.subdirs("", after)
	if err != nil {
		return err
	}
	for _, top := range tops {
		leaves, err := s.subdirs(top, after)
		if err != nil {
			return err
		}
		for _, leaf := range leaves {
			if err := s.walkLeaf(ctx, top, leaf, after, yield); err != nil {
				return err
			}
		}
	}
	return nil
}

// subdirs returns the two-digit directories of top, or of the root when it is
// "", that may hold a digest above after.
func (s *Store) subdirs(top, after string) ([]string, error) {
	entries, err := s.readDir(path.Join(".", top))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		prefix := top + e.Name()
		if !e.IsDir() || !isHexPair(e.Name()) {
			continue
		}
		if after == "" || prefix >= after[:len(prefix)] {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func isHexPair(s string) bool {
	const digits = "0123456789abcdef"
	return len(s) == 2 && strings.IndexByte(digits, s[0]) >= 0 && strings.IndexByte(digits, s[1]) >= 0
}

func (s *Store) walkLeaf(ctx context.Context, top, leaf, after string, yield func(blob.Info) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := s.readDir(top + "/" + leaf)
	if err != nil {
		return err
	}
	for _, e := range entries {
		digest := capstan.Digest(e.Name())
		key, err := blob.Key(digest)
		if err != nil || key != top+"/"+leaf+"/"+e.Name() || !e.Type().IsRegular() || e.Name() <= after {
			continue
		}
		// Not e.Info, which would look the name up outside the root.
		info, err := s.root.Lstat(key)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since the directory was read
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !yield(blob.Info{Digest: digest, Size: info.Size(), At: info.ModTime()}) {
			return errStop
		}
	}
	return nil
}

// readDir returns the entries of a directory, ordered by name. One that is
// gone has none.
func (s *Store) readDir(name string) ([]fs.DirEntry, error) {
	f, err := s.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}
