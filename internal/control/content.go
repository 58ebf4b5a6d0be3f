package control

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/pack"
	"github.com/capstan-ota/capstan/internal/store"
)

// lease is how long bytes are kept that no bundle names yet: longer than the
// longest upload.
const lease = 24 * time.Hour

// MissingContents returns the wants that the app's organisation lacks; what it
// has is kept for 24 hours.
func (c *Control) MissingContents(ctx context.Context, p auth.Principal, app string, wants []store.Want) ([]store.Want, error) {
	a, err := c.App(ctx, p, auth.UploadBundle, app)
	if err != nil {
		return nil, err
	}
	for _, w := range wants {
		if _, err := capstan.ParseDigest(string(w.Digest)); err != nil {
			return nil, err
		}
	}
	return c.DB.MissingContents(ctx, a.Org, wants, c.Now().Add(lease))
}

// PutContent keeps one plain content in its stored form. The bytes are decoded
// while they are stored, and the content is known only when they decode to
// what was announced. It is idempotent. Errors: digest_mismatch, too_large,
// invalid, storage_full.
func (c *Control) PutContent(ctx context.Context, p auth.Principal, app string, u Upload, body io.Reader) error {
	a, err := c.App(ctx, p, auth.UploadBundle, app)
	if err != nil {
		return err
	}
	if err := c.checkUpload(u); err != nil {
		return err
	}
	if err := c.DB.ClaimBlob(ctx, u.Blob, u.BlobSize, c.Now().Add(lease)); err != nil {
		return err
	}
	if u.Encoding == capstan.Identity {
		err = c.Blobs.Put(ctx, u.Blob, u.BlobSize, body)
	} else {
		err = c.putBrotli(ctx, u, body)
	}
	if err != nil {
		return err
	}
	return c.DB.PutContent(ctx, store.Content{
		Org: a.Org, Digest: u.Digest, Encoding: u.Encoding, Blob: u.Blob, BlobBytes: u.BlobSize, Bytes: u.Size,
	}, c.Now().Add(lease))
}

func (c *Control) checkUpload(u Upload) error {
	for _, d := range []capstan.Digest{u.Digest, u.Blob} {
		if _, err := capstan.ParseDigest(string(d)); err != nil {
			return err
		}
	}
	limit := c.Limits.Resolve().FileBytes
	switch {
	case u.Size < 0 || u.BlobSize < 0:
		return capstan.Errorf(capstan.CodeInvalid, "a size is negative").On("size")
	case u.Size > limit || u.BlobSize > limit:
		return capstan.Errorf(capstan.CodeTooLarge, "a file of %d bytes is above the limit of %d", max(u.Size, u.BlobSize), limit).On("size")
	case u.Encoding == capstan.Identity && (u.Blob != u.Digest || u.BlobSize != u.Size):
		return capstan.Errorf(capstan.CodeInvalid, "the plain form of a content is its own blob").On("blob")
	case u.Encoding != capstan.Identity && u.Encoding != capstan.Brotli:
		return capstan.Errorf(capstan.CodeInvalid, "encoding %q is not identity or br", u.Encoding).On("encoding")
	}
	return nil
}

// putBrotli stores body and decodes it on the way.
func (c *Control) putBrotli(ctx context.Context, u Upload, body io.Reader) error {
	r, w := io.Pipe()
	decoded := make(chan error, 1)
	go func() {
		err := decodesTo(u, r)
		r.CloseWithError(err) // a nil error unblocks the writer as well
		decoded <- err
	}()
	// What the decoder refuses ends the copy; the blob's own error goes first.
	err := c.Blobs.Put(ctx, u.Blob, u.BlobSize, io.TeeReader(body, w))
	w.CloseWithError(io.EOF)
	if bad := <-decoded; bad != nil && (err == nil || errors.Is(err, bad)) {
		return bad
	}
	return err
}

// decodesTo reads a brotli stream to its end and compares what it holds with
// what was announced.
func decodesTo(u Upload, r io.Reader) error {
	h := sha256.New()
	n, err := pack.Decompress(h, r, u.Size)
	if err != nil {
		return capstan.Errorf(capstan.CodeDigestMismatch, "the brotli form of %s cannot be decoded to %d bytes: %w", u.Digest, u.Size, err)
	}
	if got := capstan.DigestSum(h.Sum(nil)); n != u.Size || got != u.Digest {
		return capstan.Errorf(capstan.CodeDigestMismatch, "the brotli form of %s decodes to %d bytes with digest %s", u.Digest, n, got)
	}
	return nil
}

// PutArchive keeps a zip under its digest. What it holds is checked when a
// bundle names it. It is idempotent. Errors: digest_mismatch, too_large,
// storage_full.
func (c *Control) PutArchive(ctx context.Context, p auth.Principal, app string, digest capstan.Digest, size int64, body io.Reader) error {
	a, err := c.App(ctx, p, auth.UploadBundle, app)
	if err != nil {
		return err
	}
	if _, err := capstan.ParseDigest(string(digest)); err != nil {
		return err
	}
	if err := c.Limits.CheckArchiveBytes(size); err != nil {
		return err
	}
	if err := c.DB.ClaimBlob(ctx, digest, size, c.Now().Add(lease)); err != nil {
		return err
	}
	if err := c.Blobs.Put(ctx, digest, size, body); err != nil {
		return err
	}
	return c.DB.PutContent(ctx, store.Content{
		Org: a.Org, Digest: digest, Encoding: capstan.Archive, Blob: digest, BlobBytes: size, Bytes: size,
	}, c.Now().Add(lease))
}

// Collect deletes the bytes that nothing names any more and returns how many
// blobs went. Rows say `deleting` before a byte goes, and are forgotten after.
func (c *Control) Collect(ctx context.Context, keep store.Keep) (int, error) {
	total := 0
	for {
		blobs, err := c.DB.MarkCollectable(ctx, keep)
		if err != nil {
			return total, fmt.Errorf("find bytes to collect: %w", err)
		}
		if len(blobs) == 0 {
			return total, nil
		}
		for _, d := range blobs {
			if err := c.Blobs.Delete(ctx, d); err != nil {
				return total, fmt.Errorf("delete blob %s: %w", d, err)
			}
		}
		if err := c.DB.ForgetBlobs(ctx, blobs); err != nil {
			return total, fmt.Errorf("forget deleted blobs: %w", err)
		}
		total += len(blobs)
	}
}
