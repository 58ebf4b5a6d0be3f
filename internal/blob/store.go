package blob

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"time"

	"github.com/capstan-ota/capstan"
)

// Store keeps immutable bytes under their digest. All methods may be called
// at the same time from any number of goroutines.
//
// Every method that takes a digest refuses one that is not 64 lower-case hex
// digits with code [capstan.CodeInvalid], before it touches anything. A blob
// that is not there is an error with code [capstan.CodeNotFound] for which
// errors.Is(err, fs.ErrNotExist) holds. A cancelled ctx ends an operation
// between two reads with an error for which errors.Is(err, ctx.Err()) holds.
// Any other error is the storage's own and says nothing about whether the blob
// is there: callers must not report it as "not found".
type Store interface {
	// Put reads r to its end and keeps it as digest. When it returns nil the
	// blob survives the loss of power; when it returns an error, what Open and
	// Stat see of the digest is what they saw before or the complete blob, never
	// a part, and nothing is left behind that nobody removes.
	//
	// It is idempotent: putting a blob that is there verifies r all the same,
	// keeps the bytes of this call, and makes Info.At new, so that a collector
	// that spares young blobs spares this one. Two Puts of one digest at a time
	// both succeed.
	//
	// size is the exact number of bytes; no more than size+1 are read. A body
	// that is shorter or longer, or has another digest, is
	// [capstan.CodeDigestMismatch]; a negative size is [capstan.CodeInvalid]; a
	// full disk or quota is [capstan.CodeStorageFull]; storage that cannot
	// promise durability is [capstan.CodeUnavailable]. An error of r itself is
	// returned wrapped. Put does not close r.
	Put(ctx context.Context, digest capstan.Digest, size int64, r io.Reader) error

	// Open returns n bytes of the blob from offset off on, or all of them to the
	// end when n is negative. A range that does not lie within the blob is
	// [capstan.CodeInvalid]; the empty range at the end does. The bytes are not
	// verified again: readers that must not trust the storage hash what they
	// read. A blob deleted while it is read may go on or fail, but never yields
	// other bytes.
	Open(ctx context.Context, digest capstan.Digest, off, n int64) (io.ReadCloser, error)

	// Stat describes a blob.
	Stat(ctx context.Context, digest capstan.Digest) (Info, error)

	// Delete removes a blob. Deleting one that is not there is not an error. It
	// may come back after a loss of power, which is harmless: what no row names
	// is found again by List. Callers delete rows first.
	Delete(ctx context.Context, digest capstan.Digest) error

	// List yields every blob whose digest is above after, in the order of the
	// digests; "" starts at the beginning. after need not exist. A blob that is
	// there from the first yield to the last is yielded exactly once; one that
	// is put or deleted meanwhile, at most once. After an error nothing more is
	// yielded.
	List(ctx context.Context, after capstan.Digest) iter.Seq2[Info, error]

	// URL returns where a device can fetch the blob without us, or "" when it
	// cannot and [Handler] has to serve it. It does no I/O, and says nothing
	// about whether the blob is there. The address is permanent.
	URL(digest capstan.Digest) string

	// Close frees what the store holds. Nothing may be called after it.
	Close() error
}

// Info describes a blob.
type Info struct {
	Digest capstan.Digest
	Size   int64     // bytes
	At     time.Time // of the last Put, by the storage's clock
}

// Key returns the name under which a blob is stored: "ab/cd/abcd…". The error
// has code [capstan.CodeInvalid]. It is what keeps a digest that came from
// outside from naming any other file.
func Key(digest capstan.Digest) (string, error) {
	if _, err := capstan.ParseDigest(string(digest)); err != nil {
		return "", err
	}
	d := string(digest)
	return d[:2] + "/" + d[2:4] + "/" + d, nil
}

// TempDir is the folder of blobs being written, beside the keys.
const TempDir = "tmp"

// NotFound returns the error for a blob that is not there, which
// implementations share: code [capstan.CodeNotFound], and
// errors.Is(err, fs.ErrNotExist).
func NotFound(digest capstan.Digest) error {
	return capstan.Errorf(capstan.CodeNotFound, "blob %s: %w", digest, fs.ErrNotExist)
}

// CheckRange refuses a range that does not lie within a blob of size bytes
// with code [capstan.CodeInvalid], and returns the number of bytes that it
// covers. A negative n reaches to the end.
func CheckRange(digest capstan.Digest, size, off, n int64) (int64, error) {
	if n < 0 && off >= 0 && off <= size {
		return size - off, nil
	}
	if off < 0 || n < 0 || off > size || n > size-off {
		return 0, capstan.Errorf(capstan.CodeInvalid, "range of %d bytes from %d is outside blob %s of %d bytes", n, off, digest, size)
	}
	return n, nil
}
