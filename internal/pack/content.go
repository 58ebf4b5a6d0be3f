package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/capstan-ota/capstan"
)

// Form says which stored form a file will get.
type Form string

const (
	// Plain files are stored as they are: brotli is not tried.
	Plain Form = "plain"
	// Tried files are compressed, and stored so when that saves enough.
	Tried Form = "tried"
	// Forced files are stored as brotli whatever it costs: empty ones, since older
	// iOS plugins fail on an empty body, and those whose own name ends in ".br",
	// since plugins strip that suffix once (device-clients.md §7.1, §7.3).
	Forced Form = "forced"
)

const (
	// MinBrotliBytes is the plain size from which on brotli is tried. Below it a
	// request costs more than the bytes, and it is the bound of the publisher's
	// CLI, so the same app has the same files under both (device-clients.md §7.3).
	MinBrotliBytes = 8192
	// MinBrotliGain is what must be saved to be worth a decoder run on the phone:
	// more than this many bytes.
	MinBrotliGain = 10
)

// Content is one distinct content of a bundle.
type Content struct {
	Digest capstan.Digest
	Size   int64  // bytes of the plain content
	Path   string // the first path that has it
	Form   Form
}

// Need is what the server must be asked for: [capstan.Brotli] when only that
// form will do, "" when any will.
func (c Content) Need() capstan.Encoding {
	if c.Form == Forced {
		return capstan.Brotli
	}
	return ""
}

// FormOf says which form a file of that name and plain size will get.
func FormOf(path string, size int64) Form {
	switch {
	case size == 0, strings.HasSuffix(path, ".br"):
		return Forced
	case size >= MinBrotliBytes:
		return Tried
	}
	return Plain
}

// Contents lists the distinct contents of m, in the order of their first path.
// A content that one of its paths forces into brotli is forced.
func Contents(m capstan.Manifest) []Content {
	at := make(map[capstan.Digest]int, len(m))
	var contents []Content
	for _, f := range m {
		form := FormOf(f.Path, f.Size)
		i, known := at[f.Digest]
		switch {
		case !known:
			at[f.Digest] = len(contents)
			contents = append(contents, Content{f.Digest, f.Size, f.Path, form})
		case form == Forced:
			contents[i].Form = Forced
		}
	}
	return contents
}

// Stored is a content in the form in which it is uploaded and served.
type Stored struct {
	Content
	Encoding  capstan.Encoding // Identity or Brotli
	Blob      capstan.Digest   // of the stored bytes; equals Digest for Identity
	BlobBytes int64
	open      func() (io.ReadCloser, error)
}

// Open returns the stored bytes, as often as it is called.
func (s *Stored) Open() (io.ReadCloser, error) { return s.open() }

// Encode makes the stored form of one content of s. Errors:
// [capstan.CodeFileChanged], [capstan.CodeFolder], and that of ctx.
func (s *Source) Encode(ctx context.Context, c Content) (*Stored, error) {
	open := func() (io.ReadCloser, error) { return s.Open(c.Path) }
	identity := &Stored{Content: c, Encoding: capstan.Identity, Blob: c.Digest, BlobBytes: c.Size, open: open}
	limit := int64(-1)
	switch c.Form {
	case Plain:
		s.progress(c.Size)
		return identity, nil
	case Tried:
		limit = c.Size - MinBrotliGain - 1
		worth, err := promising(ctx, c.Size, open)
		if err != nil {
			return nil, fmt.Errorf("compress %s: %w", c.Path, err)
		}
		if !worth {
			s.progress(c.Size)
			return identity, nil
		}
	}
	packed, err := compress(ctx, c.Size, c.Digest, limit, open)
	s.progress(c.Size)
	if errors.Is(err, errNoGain) || errors.Is(err, errEncoder) && c.Form == Tried {
		return identity, nil
	}
	if err != nil {
		return nil, fmt.Errorf("compress %s: %w", c.Path, err)
	}
	return &Stored{
		Content: c, Encoding: capstan.Brotli, Blob: capstan.DigestOf(packed), BlobBytes: int64(len(packed)),
		open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil },
	}, nil
}

// EncodeAll makes the stored form of each of contents and hands it to send,
// from up to senders goroutines at once, so that the network and the CPUs work
// at the same time. At most Workers + senders stored forms are in memory. The
// first error stops everything and is returned.
func (s *Source) EncodeAll(ctx context.Context, contents []Content, senders int, send func(context.Context, *Stored) error) error {
	group, ctx := errgroup.WithContext(ctx)
	work := make(chan Content)
	ready := make(chan *Stored)
	group.Go(func() error {
		defer close(work)
		return feed(ctx, contents, work)
	})
	group.Go(func() error {
		defer close(ready)
		encoders, ctx := errgroup.WithContext(ctx)
		for range s.workers {
			encoders.Go(func() error { return s.encodeFrom(ctx, work, ready) })
		}
		return encoders.Wait()
	})
	for range max(1, senders) {
		group.Go(func() error {
			for stored := range ready {
				if err := send(ctx, stored); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func feed[T any](ctx context.Context, list []T, to chan<- T) error {
	for _, x := range list {
		select {
		case to <- x:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *Source) encodeFrom(ctx context.Context, work <-chan Content, ready chan<- *Stored) error {
	for c := range work {
		stored, err := s.Encode(ctx, c)
		if err != nil {
			return err
		}
		select {
		case ready <- stored:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// CRC32 is the checksum of old plugins: IEEE, 8 lower-case hex digits
// (device-clients.md §6.4).
func CRC32(r io.Reader) (string, error) {
	h := crc32.NewIEEE()
	if _, err := io.Copy(h, r); err != nil {
		return "", fmt.Errorf("compute CRC-32: %w", err)
	}
	return crcText(h.Sum32()), nil
}

func crcText(sum uint32) string { return fmt.Sprintf("%08x", sum) }
