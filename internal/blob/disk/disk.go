// Package disk keeps blobs as files, by the key layout of package blob. It
// knows files, directories and what it takes to make them durable.
//
// A Put goes through six steps, and the order is the promise (design of the
// write path: nothing acknowledged is lost):
//
//	1 create tmp/<digest>.<n>         exclusively, so that no two writers share it
//	2 write, hashing                  the digest and the size are checked
//	3 fsync the file                  the bytes are durable
//	4 close, rename to aa/bb/<digest> the name is visible and complete
//	5 fsync aa/bb                     the name is durable
//	6 fsync aa, and the root          once per directory and process: the
//	                                  directories themselves are durable
//
// tmp is not synced: what a loss of power brings back there is a leftover, and
// leftovers older than an hour are removed by [Open].
//
// The subtle thing is fsync. When it fails, the kernel may have dropped the
// pages that it could not write and forgotten about them, so that a second
// fsync of the same file succeeds over lost bytes. An fsync error is therefore
// final for that file: it is thrown away, the Put fails, and [Store.Degraded]
// says so until the process ends. The caller puts the bytes again from their
// source, which makes a new file.
//
// All access goes through an [os.Root]: a link planted in the folder cannot
// lead a read or write out of it.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/blob"
)

// TempAge is how old a file in tmp must be before [Open] removes it. It is
// longer than any upload lives (server time limits are minutes), so a second
// process that opens the same folder does not take a file from the first.
const TempAge = time.Hour

// Directories and files are for the server's user alone: bundles are public,
// but nothing else has business writing here.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// Store is a [blob.Store] in a folder.
type Store struct {
	root *os.Root
	ops  ops
	seq  atomic.Uint64 // number of the next temporary file

	// durable holds the leaf directories whose own name, and whose parent's, are
	// known to be durable. At most 65 536 short strings.
	durable sync.Map

	degraded atomic.Pointer[error]
}

var _ blob.Store = (*Store)(nil)

// Open returns the store in the folder dir, which is made when it is not
// there, and removes temporary files that are older than [TempAge] at now().
func Open(dir string, now func() time.Time) (*Store, error) {
	return open(dir, now, realOps())
}

func open(dir string, now func() time.Time, o ops) (*Store, error) {
	if err := makeDurable(dir, o); err != nil {
		return nil, full(err, "make blob folder %s", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}
	s := &Store{root: root, ops: o}
	if err := s.sweepTemp(now()); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return s, nil
}

// makeDurable makes dir and what is missing above it, and syncs the directory
// that each new name stands in. The name of dir itself is synced even when it
// is there already: the process that made it may have died before it did.
func makeDurable(dir string, o ops) error {
	made, err := makeDir(dir, o)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	f, err := os.Open(parent)
	if !made && errors.Is(err, fs.ErrPermission) {
		return nil // somebody with more rights made it for us
	}
	if err != nil {
		return err
	}
	return errors.Join(o.syncDir(f, parent), f.Close())
}

func makeDir(dir string, o ops) (made bool, err error) {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return false, &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
		}
		return false, nil
	}
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := makeDurable(parent, o); err != nil {
			return false, err
		}
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	return true, nil
}

// sweepTemp removes what earlier processes left behind.
func (s *Store) sweepTemp(now time.Time) error {
	if err := s.root.Mkdir(blob.TempDir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return full(err, "make folder of temporary files")
	}
	entries, err := s.readDir(blob.TempDir)
	if err != nil {
		return fmt.Errorf("look for temporary files: %w", err)
	}
	for _, e := range entries {
		name := blob.TempDir + "/" + e.Name()
		info, err := s.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process was faster
		}
		if err != nil {
			return fmt.Errorf("look at temporary file: %w", err)
		}
		if now.Sub(info.ModTime()) <= TempAge {
			continue
		}
		if err := s.root.RemoveAll(name); err != nil {
			return fmt.Errorf("remove temporary file: %w", err)
		}
	}
	return nil
}

// Degraded returns the first fsync error since [Open], or nil. A store that
// is degraded goes on: each Put is a new file with an fsync of its own. But the
// disk below has lost writes, and an operator wants to know.
func (s *Store) Degraded() error {
	if err := s.degraded.Load(); err != nil {
		return *err
	}
	return nil
}

// Open implements [blob.Store].
func (s *Store) Open(ctx context.Context, digest capstan.Digest, off, n int64) (io.ReadCloser, error) {
	f, size, err := s.file(ctx, digest)
	if err != nil {
		return nil, err
	}
	n, err = blob.CheckRange(digest, size, off, n)
	if err == nil && off > 0 {
		_, err = f.Seek(off, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if off+n == size {
		return f, nil
	}
	return part{io.LimitReader(f, n), f}, nil
}

// part is a range of a file that ends before the file does.
type part struct {
	io.Reader
	io.Closer
}

// file opens the file of a blob and returns its size.
func (s *Store) file(ctx context.Context, digest capstan.Digest) (*os.File, int64, error) {
	key, err := blob.Key(digest)
	if err != nil {
		return nil, 0, err
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, fmt.Errorf("open blob %s: %w", digest, err)
	}
	f, err := s.root.Open(key)
	if err != nil {
		return nil, 0, found(err, digest, "open")
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", key)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open blob %s: %w", digest, err), f.Close())
	}
	return f, info.Size(), nil
}

// Stat implements [blob.Store].
func (s *Store) Stat(ctx context.Context, digest capstan.Digest) (blob.Info, error) {
	key, err := blob.Key(digest)
	if err != nil {
		return blob.Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return blob.Info{}, fmt.Errorf("stat blob %s: %w", digest, err)
	}
	info, err := s.root.Stat(key)
	if err != nil {
		return blob.Info{}, found(err, digest, "stat")
	}
	if !info.Mode().IsRegular() {
		return blob.Info{}, fmt.Errorf("stat blob %s: %s is not a file", digest, key)
	}
	return blob.Info{Digest: digest, Size: info.Size(), At: info.ModTime()}, nil
}

// Delete implements [blob.Store]. The directories stay.
func (s *Store) Delete(ctx context.Context, digest capstan.Digest) error {
	key, err := blob.Key(digest)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete blob %s: %w", digest, err)
	}
	if err := s.root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete blob %s: %w", digest, err)
	}
	return nil
}

// URL implements [blob.Store]: files are served by us.
func (s *Store) URL(capstan.Digest) string { return "" }

// Close implements [blob.Store].
func (s *Store) Close() error { return s.root.Close() }

// found turns the error of a missing file into [blob.NotFound], and only that
// one: anything else says nothing about whether the blob exists.
func found(err error, digest capstan.Digest, doing string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return blob.NotFound(digest)
	}
	return fmt.Errorf("%s blob %s: %w", doing, digest, err)
}

// full wraps err with what was being done, and gives it the code that people
// can act on when the disk or the quota is used up.
func full(err error, format string, args ...any) error {
	doing := fmt.Sprintf(format, args...)
	if isFull(err) {
		// The cause names a path of the server: it is for the log alone.
		e := capstan.Errorf(capstan.CodeStorageFull, "%s: the disk is full", doing)
		e.Err = err
		return e.Hint("free space on the server, then run the command again")
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
