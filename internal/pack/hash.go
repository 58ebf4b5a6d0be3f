package pack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash/crc32"
	"io"
	"os"
	"path"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/native"
)

// seen is what reading all files showed, beside their digests.
type seen struct {
	findings []native.Finding // in order of the paths
	notify   bool             // some script calls notifyAppReady
}

// hash reads every file once and fills in what it is. Several files are read at
// once; the result does not depend on the order in which they are done.
func (s *Source) hash(ctx context.Context, entries []*entry) (seen, error) {
	findings := make([][]native.Finding, len(entries))
	var notify atomic.Bool
	expand := newExpander(s.options.Limits).expand
	group, ctx := errgroup.WithContext(ctx)
	next := make(chan int)
	group.Go(func() error {
		defer close(next)
		for i := range entries {
			select {
			case next <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range s.workers {
		group.Go(func() error {
			h := &hasher{source: s, piece: make([]byte, 256<<10), notify: &notify, expand: expand}
			for i := range next {
				found, err := h.file(ctx, entries[i])
				if err != nil {
					return err
				}
				findings[i] = found
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return seen{}, err
	}
	all := seen{notify: notify.Load()}
	for _, f := range findings {
		all.findings = append(all.findings, f...)
	}
	return all, nil
}

// hasher is what one goroutine reads files with.
type hasher struct {
	source *Source
	piece  []byte
	notify *atomic.Bool
	expand native.Expand
}

func (h *hasher) file(ctx context.Context, e *entry) ([]native.Finding, error) {
	f, err := h.source.folder.Open(e.disk)
	if err != nil {
		return nil, unreadable(e.path, err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, unreadable(e.path, err)
	}
	if err := h.read(ctx, f, e, before.Size()); err != nil {
		return nil, err
	}
	found, err := native.Inspect(e.path, sized{f, e.size}, h.expand)
	if err != nil {
		return nil, unreadable(e.path, err)
	}
	after, err := f.Stat()
	if err != nil {
		return nil, unreadable(e.path, err)
	}
	if before.Size() != e.size || after.Size() != e.size || !after.ModTime().Equal(before.ModTime()) {
		return nil, changed(e.path, "grew, shrank or was written to while it was read")
	}
	e.modTime = after.ModTime()
	return found, nil
}

// read fills in size, digest and CRC-32 of e, which had size bytes a moment ago, and looks for the call that keeps
// a bundle on a device.
func (h *hasher) read(ctx context.Context, f *os.File, e *entry, size int64) error {
	sum, crc := sha256.New(), crc32.NewIEEE()
	search := &finder{word: []byte("notifyAppReady")}
	scan := isScript(e.path) && !h.notify.Load()
	e.size = 0
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(h.piece)
		part := h.piece[:n]
		sum.Write(part)
		crc.Write(part)
		if e.size += int64(n); e.size > size {
			return changed(e.path, "grew while it was read")
		}
		h.source.progress(int64(n))
		if scan && search.in(part) {
			h.notify.Store(true)
			scan = false
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return unreadable(e.path, err)
		}
	}
	e.digest, e.crc32 = capstan.DigestSum(sum.Sum(nil)), crc.Sum32()
	return nil
}

// isScript tells where a call of notifyAppReady can stand.
func isScript(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".js", ".mjs", ".cjs", ".html", ".htm":
		return true
	}
	return false
}

// finder looks for a word in a stream of pieces.
type finder struct {
	word []byte
	tail []byte // the end of the last piece, shorter than the word
}

func (f *finder) in(piece []byte) bool {
	keep := len(f.word) - 1
	border := append(f.tail, piece[:min(keep, len(piece))]...)
	if bytes.Contains(border, f.word) || bytes.Contains(piece, f.word) {
		return true
	}
	if len(piece) < keep {
		f.tail = border[max(0, len(border)-keep):]
	} else {
		f.tail = append(f.tail[:0], piece[len(piece)-keep:]...)
	}
	return false
}

// sized makes an [io.ReaderAt] of a known size a [native.Content].
type sized struct {
	io.ReaderAt
	size int64
}

func (s sized) Size() int64 { return s.size }
