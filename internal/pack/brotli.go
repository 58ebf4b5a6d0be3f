package pack

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	andybalholm "github.com/andybalholm/brotli"
	brrr "github.com/molecule-man/go-brrr"

	"github.com/capstan-ota/capstan"
)

// quality is brotli's best: a file is compressed once and downloaded by every
// device.
const quality = 11

// window returns the base 2 logarithm of the window for a plain size. 24 is the
// most that RFC 7932 allows without the large-window extension, which plugins
// cannot read; it costs a phone 16 MiB while it decodes, so smaller files, which
// gain nothing from it, stay with the usual 22.
func window(size int64) int {
	if size > 1<<22 {
		return 24
	}
	return 22
}

const (
	// probeBytes is the plain size from which on a cheap look comes first: below,
	// a useless run of quality 11 costs less than a second.
	probeBytes = 256 << 10
	// probeQuality is thirty times as fast as quality 11 and models contexts like
	// it, which the lower ones do not.
	probeQuality = 5
	// probeGain is the share, one part in so many, that the cheap look must save.
	// Quality 11 gets little more than it out of images and video, at 1.5 s for
	// each megabyte and processor; a file that is given up here loses at most
	// about a hundredth.
	probeGain = 200
)

// promising reports whether quality 11 is worth its time on a file of size bytes.
func promising(ctx context.Context, size int64, open func() (io.ReadCloser, error)) (bool, error) {
	if size < probeBytes {
		return true, nil
	}
	probe := func(dst io.Writer, size int64) (io.WriteCloser, error) {
		return brrr.NewWriterOptions(dst, probeQuality, brrr.WriterOptions{LGWin: window(size), SizeHint: uint(size)})
	}
	_, err := encodeWith(ctx, probe, size, size-size/probeGain, open)
	switch {
	case errors.Is(err, errNoGain):
		return false, nil
	case errors.Is(err, errEncoder): // it says nothing about quality 11
		return true, nil
	}
	return err == nil, err
}

// errNoGain stops a compression that can no longer save enough.
var errNoGain = errors.New("brotli saves too little")

// Compress returns the brotli form of plain at quality 11. What it returns was
// decoded again by another implementation and is what plain was.
func Compress(plain []byte) ([]byte, error) {
	return compress(context.Background(), int64(len(plain)), capstan.DigestOf(plain), -1, func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(plain)), nil
	})
}

// compress makes the brotli form of the plain bytes that open reads and verifies
// it against their size and digest. With limit ≥ 0 it returns errNoGain instead
// of more than limit bytes. The encoder of choice is twice as fast as the other
// one but young: what it gets wrong, the other one does again.
func compress(ctx context.Context, size int64, digest capstan.Digest, limit int64, open func() (io.ReadCloser, error)) ([]byte, error) {
	if size == 0 {
		return EmptyBrotli(), nil
	}
	var err error
	for _, encode := range []encoder{fastEncoder, provenEncoder} {
		var packed []byte
		packed, err = encodeWith(ctx, encode, size, limit, open)
		if errors.Is(err, errEncoder) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err = verifyBrotli(packed, size, digest); err == nil {
			return packed, nil
		}
	}
	return nil, fmt.Errorf("%w: %w", errEncoder, err)
}

// errEncoder marks a failure of an encoder, as opposed to one of reading.
var errEncoder = errors.New("brotli encoder failed")

// encoder makes a writer that compresses plain bytes of a known number to dst.
type encoder func(dst io.Writer, size int64) (io.WriteCloser, error)

func fastEncoder(dst io.Writer, size int64) (io.WriteCloser, error) {
	return brrr.NewWriterOptions(dst, quality, brrr.WriterOptions{LGWin: window(size), SizeHint: uint(size)})
}

func provenEncoder(dst io.Writer, size int64) (io.WriteCloser, error) {
	return andybalholm.NewWriterOptions(dst, andybalholm.WriterOptions{Quality: quality, LGWin: window(size)}), nil
}

func encodeWith(ctx context.Context, encode encoder, size, limit int64, open func() (io.ReadCloser, error)) (packed []byte, err error) {
	// A library that panics on some input must cost one file the faster encoder,
	// not the developer the upload.
	defer func() {
		if p := recover(); p != nil {
			packed, err = nil, fmt.Errorf("%w: %v", errEncoder, p)
		}
	}()
	src, err := open()
	if err != nil {
		return nil, err
	}
	defer src.Close()
	out := &bounded{limit: limit}
	w, err := encode(out, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errEncoder, err)
	}
	if err := copyInto(ctx, w, src, size); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, encoderError(err)
	}
	return out.Bytes(), nil
}

// copyInto feeds an encoder with about size bytes, looking at ctx between
// pieces: quality 11 takes a second for each megabyte.
func copyInto(ctx context.Context, w io.Writer, src io.Reader, size int64) error {
	piece := make([]byte, min(size+1, 256<<10))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := src.Read(piece)
		if n > 0 {
			if _, err := w.Write(piece[:n]); err != nil {
				return encoderError(err)
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

func encoderError(err error) error {
	if errors.Is(err, errNoGain) {
		return err
	}
	return fmt.Errorf("%w: %w", errEncoder, err)
}

// bounded is a buffer that refuses to grow beyond limit, when that is ≥ 0.
type bounded struct {
	bytes.Buffer
	limit int64
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.limit >= 0 && int64(b.Len()+len(p)) > b.limit {
		return 0, errNoGain
	}
	return b.Buffer.Write(p)
}

// verifyBrotli checks that a device that decodes packed gets the plain bytes.
func verifyBrotli(packed []byte, size int64, digest capstan.Digest) error {
	h := sha256.New()
	if _, err := Decompress(h, bytes.NewReader(packed), size); err != nil {
		return fmt.Errorf("decode again: %w", err)
	}
	if got := capstan.DigestSum(h.Sum(nil)); got != digest {
		return fmt.Errorf("decode again: the digest is %s, not %s", got, digest)
	}
	return nil
}

// EmptyBrotli is the brotli form of nothing that every plugin knows
// (device-clients.md §7.3).
func EmptyBrotli() []byte { return []byte(emptyBrotli) }

const emptyBrotli = "\x1b\x00\x06"

// Decompress writes the plain bytes of the brotli stream r to w, at most limit
// bytes. More is [capstan.CodeTooLarge]; anything that is not one whole stream,
// or has bytes behind it, is [capstan.CodeInvalid]. Errors of r and w are
// returned as they are.
func Decompress(w io.Writer, r io.Reader, limit int64) (n int64, err error) {
	in := &noting{Reader: r}
	buffered := bufio.NewReader(in)
	// The empty form is a convention of the plugins, not a whole brotli stream.
	if start, _ := buffered.Peek(len(emptyBrotli) + 1); string(start) == emptyBrotli && in.err == nil {
		return 0, nil
	}
	decoder := andybalholm.NewReader(buffered)
	piece := make([]byte, 64<<10)
	for {
		got, err := decoder.Read(piece)
		if n+int64(got) > limit {
			return n, capstan.Errorf(capstan.CodeTooLarge, "the brotli file decodes to more than the %d bytes that were announced", limit)
		}
		written, writeErr := w.Write(piece[:got])
		n += int64(written)
		switch {
		case writeErr != nil:
			return n, fmt.Errorf("write decoded bytes: %w", writeErr)
		case err == io.EOF:
			return n, nil
		case in.err != nil:
			return n, fmt.Errorf("read brotli: %w", in.err)
		case err != nil:
			return n, capstan.Errorf(capstan.CodeInvalid, "not a brotli file: %w", err)
		}
	}
}

// noting remembers the error of a reader, to tell a broken upload from a broken
// file.
type noting struct {
	io.Reader
	err error
}

func (r *noting) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
