package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/blob"
)

// Put implements [blob.Store]. A blob that is there already is written again:
// that verifies the body, heals a file that the disk has damaged, and leaves no
// moment in which a name is acknowledged that another Put has yet to sync.
func (s *Store) Put(ctx context.Context, digest capstan.Digest, size int64, r io.Reader) error {
	body, err := blob.NewVerifier(ctx, digest, size, r)
	if err != nil {
		return err
	}
	key, err := blob.Key(digest)
	if err != nil {
		return err
	}
	f, temp, err := s.createTemp(digest)
	if err != nil {
		return full(err, "create file for blob %s", digest)
	}
	if err := s.fill(f, body, digest); err != nil {
		return s.discard(temp, errors.Join(err, f.Close()))
	}
	// Closing may report what a network file system could not write.
	if err := f.Close(); err != nil {
		return s.discard(temp, full(err, "close file of blob %s", digest))
	}
	if err := s.publish(temp, key); err != nil {
		return s.discard(temp, full(err, "name blob %s", digest))
	}
	if err := s.syncNames(path.Dir(key)); err != nil {
		// The name stays: the blob may have been there before this Put, and rows
		// may count on it.
		return s.unsynced(err, digest)
	}
	return nil
}

// createTemp makes a file that no other Put has. The number is unique in this
// process, the exclusive flag sees to the leftovers and writers of others.
func (s *Store) createTemp(digest capstan.Digest) (*os.File, string, error) {
	for {
		name := blob.TempDir + "/" + string(digest) + "." + strconv.FormatUint(s.seq.Add(1), 10)
		f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if !errors.Is(err, fs.ErrExist) {
			return f, name, err
		}
	}
}

// fill writes the verified body and makes it durable.
func (s *Store) fill(f *os.File, body io.Reader, digest capstan.Digest) error {
	w := &writer{f: f, write: s.ops.write}
	// The struct hides ReadFrom and WriteTo, so that every byte passes both the
	// verifier and the seam.
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{body}, make([]byte, 64<<10))
	switch {
	case w.err != nil:
		return full(w.err, "write blob %s", digest)
	case err != nil:
		return err
	}
	if err := s.ops.sync(f); err != nil {
		return s.unsynced(err, digest)
	}
	return nil
}

// writer remembers its own error, which tells the disk's from the body's.
type writer struct {
	f     *os.File
	write func(*os.File, []byte) (int, error)
	err   error
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.write(w.f, p)
	w.err = err
	return n, err
}

// publish gives a finished file its name, making the directories on the way.
func (s *Store) publish(temp, key string) error {
	leaf := path.Dir(key)
	for _, dir := range []string{path.Dir(leaf), leaf} {
		err := s.root.Mkdir(dir, dirMode)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err == nil {
			s.durable.Delete(leaf) // made just now, whatever we knew before
		}
	}
	return s.ops.rename(s.root, temp, key)
}

// syncNames makes the name of a blob durable, and once per process those of
// the directories above it. That another process or Put made a directory does
// not mean that it has synced it, so this does not depend on who made it.
func (s *Store) syncNames(leaf string) error {
	if err := s.syncDir(leaf); err != nil {
		return err
	}
	if _, ok := s.durable.Load(leaf); ok {
		return nil
	}
	if err := s.syncDir(path.Dir(leaf)); err != nil {
		return err
	}
	if err := s.syncDir("."); err != nil {
		return err
	}
	s.durable.Store(leaf, struct{}{})
	return nil
}

func (s *Store) syncDir(name string) error {
	f, err := s.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(s.ops.syncDir(f, name), f.Close())
}

// unsynced fails a Put whose bytes or name could not be made durable. A full
// disk is not a broken one: it mends without a restart.
func (s *Store) unsynced(err error, digest capstan.Digest) error {
	if isFull(err) {
		return full(err, "sync blob %s", digest)
	}
	failure := fmt.Errorf("sync blob %s: %w", digest, err)
	s.degraded.CompareAndSwap(nil, &failure)
	return capstan.Errorf(capstan.CodeUnavailable, "the server's disk could not keep blob %s: %w", digest, failure).
		Hint("run the command again; if it fails again, look at the server's disk")
}

// discard removes a temporary file after err. That it cannot be removed is
// told along with err, and [Open] tries again when it is old.
func (s *Store) discard(temp string, err error) error {
	if rm := s.root.Remove(temp); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("remove temporary file: %w", rm))
	}
	return err
}
