package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/capstan-ota/capstan"
)

// Verifier reads a body that was announced as a digest and a size, and is at
// its end only when both are true. Every implementation of Put reads through
// it, so that none can keep what it did not check.
type Verifier struct {
	ctx    context.Context
	r      io.Reader
	digest capstan.Digest
	size   int64
	read   int64
	hash   hash.Hash
}

// NewVerifier returns a Verifier of r. The error has code
// [capstan.CodeInvalid].
func NewVerifier(ctx context.Context, digest capstan.Digest, size int64, r io.Reader) (*Verifier, error) {
	if _, err := Key(digest); err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, capstan.Errorf(capstan.CodeInvalid, "size %d of blob %s is negative", size, digest).On("size")
	}
	return &Verifier{ctx: ctx, r: r, digest: digest, size: size, hash: sha256.New()}, nil
}

// Read returns io.EOF only when exactly size bytes with the announced digest
// were read. Otherwise the error has code [capstan.CodeDigestMismatch], or is
// that of the body or of the context, wrapped.
func (v *Verifier) Read(p []byte) (int, error) {
	if err := v.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read blob %s: %w", v.digest, err)
	}
	// One byte more than announced is enough to know that the body is too long.
	if room := v.size - v.read + 1; int64(len(p)) > room {
		p = p[:room]
	}
	n, err := v.r.Read(p)
	v.read += int64(n)
	if v.read > v.size {
		return 0, v.mismatch("is longer than the announced %d bytes", v.size)
	}
	v.hash.Write(p[:n])
	switch {
	case err == nil:
		return n, nil
	case v.read < v.size && isEnd(err):
		return n, v.mismatch("ends after %d of the announced %d bytes", v.read, v.size)
	case !errors.Is(err, io.EOF):
		return n, fmt.Errorf("read blob %s: %w", v.digest, err)
	}
	if got := capstan.DigestSum(v.hash.Sum(nil)); got != v.digest {
		return n, v.mismatch("holds bytes whose digest is %s", got)
	}
	return n, io.EOF
}

// isEnd reports whether err says that the body is over. A request body that
// was cut off ends with io.ErrUnexpectedEOF.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (v *Verifier) mismatch(format string, args ...any) error {
	return capstan.Errorf(capstan.CodeDigestMismatch, "blob %s "+format, append([]any{v.digest}, args...)...).
		Hint("run the command again: what arrived whole is not sent twice")
}
