package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	andybalholm "github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/capstan-ota/capstan/internal/manifest"
	"github.com/capstan-ota/capstan/internal/native"
)

// expander opens archives inside a bundle for the native gate. One expander
// serves a whole bundle, so that thousands of small bombs are bounded like one
// large one. It is safe for concurrent use.
type expander struct {
	bytes   atomic.Int64 // that may still be unpacked
	entries atomic.Int64
	memory  int64 // most that is held at once of one inner file
}

// newExpander allows twice what a bundle may hold: web builds carry a .gz and a
// .br beside each file.
func newExpander(l manifest.Limits) *expander {
	l = l.Resolve()
	x := &expander{memory: l.FileBytes}
	x.bytes.Store(2 * l.ExpandedBytes)
	x.entries.Store(2 * int64(l.Files))
	return x
}

type visitor = func(name string, c native.Content) error

// expand implements [native.Expand].
func (x *expander) expand(f native.Format, c native.Content, visit func(name string, c native.Content) error) error {
	raw := func() io.Reader { return io.NewSectionReader(c, 0, c.Size()) }
	switch f {
	case native.Zip:
		return x.zip(c, visit)
	case native.Tar:
		return x.tar(c, visit)
	case native.Gzip:
		return x.single(visit, func() (io.Reader, error) { return gzip.NewReader(raw()) })
	case native.XZ:
		// The dictionary is allocated up front; 64 MiB is that of `xz -9`.
		config := xz.ReaderConfig{DictCap: 64 << 20}
		return x.single(visit, func() (io.Reader, error) { return config.NewReader(raw()) })
	case native.Zstd:
		return x.single(visit, func() (io.Reader, error) {
			d, err := zstd.NewReader(raw(), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(128<<20), zstd.WithDecoderLowmem(true))
			if err != nil {
				return nil, err
			}
			return d.IOReadCloser(), nil
		})
	case native.Br:
		return x.single(visit, func() (io.Reader, error) { return andybalholm.NewReader(raw()), nil })
	}
	return native.ErrUnopenable
}

// single visits the one file that a compressed stream holds.
func (x *expander) single(visit visitor, decode func() (io.Reader, error)) error {
	open := func() (io.ReadCloser, error) {
		r, err := decode()
		if err != nil {
			return nil, err
		}
		if c, ok := r.(io.ReadCloser); ok {
			return c, nil
		}
		return io.NopCloser(r), nil
	}
	return x.visit(visit, "", open)
}

func (x *expander) zip(c native.Content, visit visitor) error {
	r, err := zip.NewReader(c, c.Size())
	if err != nil {
		return unopenable(err)
	}
	for _, f := range r.File {
		if f.Flags&1 != 0 {
			return native.ErrUnopenable
		}
		if f.FileInfo().IsDir() {
			if err := x.visit(visit, f.Name, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(nil)), nil }); err != nil {
				return err
			}
			continue
		}
		if err := x.visit(visit, f.Name, f.Open); err != nil {
			return err
		}
	}
	return nil
}

func (x *expander) tar(c native.Content, visit visitor) error {
	// Counting what the tar reader takes tells where each file stands, so that it
	// can be read again without walking there; hiding Seek keeps the count true.
	at := &counted{r: io.NewSectionReader(c, 0, c.Size())}
	r := tar.NewReader(at)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return unopenable(err)
		}
		from := at.n
		open := func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(c, from, h.Size)), nil
		}
		if h.Typeflag != tar.TypeReg {
			open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(nil)), nil }
		}
		if err := x.visit(visit, h.Name, open); err != nil {
			return err
		}
	}
}

type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// visit reads one inner file through its sample and shows it.
func (x *expander) visit(visit visitor, name string, open func() (io.ReadCloser, error)) error {
	if x.entries.Add(-1) < 0 {
		return native.ErrTooMuch
	}
	r, err := open()
	if err != nil {
		return unopenable(err)
	}
	defer r.Close()
	var ends sample
	n, err := io.Copy(&ends, io.LimitReader(r, max(0, x.bytes.Load())+1))
	if err != nil {
		return unopenable(err)
	}
	if x.bytes.Add(-n) < 0 {
		return native.ErrTooMuch
	}
	return visit(name, ends.content(func() (io.ReadCloser, error) {
		if ends.size > x.memory {
			return nil, native.ErrTooMuch
		}
		return open()
	}))
}

// unopenable keeps the cause for logs.
func unopenable(err error) error {
	if errors.Is(err, native.ErrTooMuch) || errors.Is(err, native.ErrUnopenable) {
		return err
	}
	return fmt.Errorf("%w: %w", native.ErrUnopenable, err)
}
