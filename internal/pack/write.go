package pack

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
)

// ArchiveInfo is what a bundle records about its zip.
type ArchiveInfo struct {
	Digest   capstan.Digest
	Bytes    int64
	CRC32    string // IEEE, 8 lower-case hex digits, for plugins before SHA-256 (device-clients.md §6.4)
	Warnings []Warning
}

const (
	// aheadBytes bounds what is deflated and not yet written: finished files wait
	// for their turn, since the zip has an order.
	aheadBytes = 64 << 20
	// perFile is counted for each file besides its bytes, so that many small
	// files do not become many goroutines.
	perFile = 64 << 10
	// maxRatio is the ratio above which a file is stored although deflate would
	// save a lot. Readers refuse archives that unpack to suspiciously much
	// (security-reliability.md §2.4: 50 times in all); if no file of ours is above
	// that, no archive of ours is.
	maxRatio = 50
	// deflateLevel: on 8 MB of scripts and styles level 9 made 3 % less than level
	// 8 in three times its time (11 against 36 MB/s), level 6 made 6 % more.
	deflateLevel = 8
	// minDeflateBytes: a shorter file saves a few bytes at most, and preparing the
	// encoder's tables costs as much as deflating a megabyte.
	minDeflateBytes = 128
)

// WriteArchive writes the canonical zip of s to w. The same files give the same
// bytes on every machine and run of this version. Memory is bounded whatever
// the size of the files. Errors: [capstan.CodeFileChanged],
// [capstan.CodeTooLarge], those of w, and that of ctx.
func (s *Source) WriteArchive(ctx context.Context, w io.Writer) (ArchiveInfo, error) {
	group, ctx := errgroup.WithContext(ctx)
	jobs := make(chan *job, aheadBytes/perFile+1)
	budget := semaphore.NewWeighted(aheadBytes)
	group.Go(func() error {
		defer close(jobs)
		return s.deflateAhead(ctx, group, budget, jobs)
	})
	var info ArchiveInfo
	group.Go(func() (err error) {
		info, err = s.assemble(ctx, w, budget, jobs)
		return err
	})
	if err := group.Wait(); err != nil {
		return ArchiveInfo{}, err
	}
	return info, nil
}

// job is one file on its way into the zip.
type job struct {
	entry  *entry
	weight int64
	done   chan struct{} // closed when packed is set
	packed []byte        // deflated, nil when the file is stored
}

// deflateAhead starts the files in order, so that the one that the zip needs
// next always has its part of the budget.
func (s *Source) deflateAhead(ctx context.Context, group *errgroup.Group, budget *semaphore.Weighted, jobs chan<- *job) error {
	deflaters := make(chan *flate.Writer, s.workers) // one for each file at a time
	for range s.workers {
		w, err := flate.NewWriter(nil, deflateLevel)
		if err != nil {
			return fmt.Errorf("make a deflater: %w", err)
		}
		deflaters <- w
	}
	for _, f := range s.Manifest {
		e := s.files[f.Path]
		j := &job{entry: e, weight: min(e.size+perFile, aheadBytes), done: make(chan struct{})}
		if err := budget.Acquire(ctx, j.weight); err != nil {
			return err
		}
		var w *flate.Writer
		select {
		case w = <-deflaters:
		case <-ctx.Done():
			return ctx.Err()
		}
		group.Go(func() error {
			defer func() { deflaters <- w }()
			defer close(j.done)
			return s.deflate(ctx, j, w)
		})
		jobs <- j // never blocks: the budget has no room for more jobs than the channel
	}
	return nil
}

// deflate sets the packed bytes of j, if deflate makes the file smaller.
func (s *Source) deflate(ctx context.Context, j *job, w *flate.Writer) error {
	defer s.progress(j.entry.size)
	if j.entry.size < minDeflateBytes {
		return nil
	}
	src, err := s.Open(j.entry.path)
	if err != nil {
		return err
	}
	defer src.Close()
	out := &bounded{limit: j.entry.size - 1}
	w.Reset(out)
	err = copyInto(ctx, w, src, j.entry.size)
	if err == nil {
		err = w.Close()
	}
	switch {
	case errors.Is(err, errNoGain):
		return nil
	case err != nil:
		return fmt.Errorf("deflate %s: %w", j.entry.path, err)
	}
	if j.entry.size <= maxRatio*int64(out.Len()) {
		j.packed = out.Bytes()
	}
	return nil
}

// assemble writes the jobs in the order in which they come.
func (s *Source) assemble(ctx context.Context, w io.Writer, budget *semaphore.Weighted, jobs <-chan *job) (ArchiveInfo, error) {
	z := newZipWriter(w, s.options.Limits)
	for j := range jobs {
		select {
		case <-j.done:
		case <-ctx.Done():
			return ArchiveInfo{}, ctx.Err()
		}
		if err := s.add(ctx, z, j); err != nil {
			return ArchiveInfo{}, err
		}
		budget.Release(j.weight)
	}
	if len(z.headers) < len(s.Manifest) { // the other side failed and is about to say so
		<-ctx.Done()
		return ArchiveInfo{}, ctx.Err()
	}
	return z.finish()
}

func (s *Source) add(ctx context.Context, z *zipWriter, j *job) error {
	h := header{name: j.entry.path, method: methodStore, crc32: j.entry.crc32, packed: uint32(j.entry.size), plain: uint32(j.entry.size)}
	if j.packed != nil {
		h.method, h.packed = methodFlate, uint32(len(j.packed))
	}
	if err := z.begin(h); err != nil {
		return err
	}
	if j.packed != nil {
		return z.write(j.packed)
	}
	src, err := s.Open(j.entry.path)
	if err != nil {
		return err
	}
	defer src.Close()
	return copyInto(ctx, z.out, src, j.entry.size)
}

// zipWriter writes the parts of the canonical zip one after another.
type zipWriter struct {
	out     *bufio.Writer
	digest  interface{ Sum([]byte) []byte }
	crc     interface{ Sum32() uint32 }
	headers []header
	next    int64 // where the next local header stands
	limits  manifest.Limits
	scratch []byte
}

func newZipWriter(w io.Writer, l manifest.Limits) *zipWriter {
	digest, crc := sha256.New(), crc32.NewIEEE()
	return &zipWriter{
		out:    bufio.NewWriterSize(io.MultiWriter(w, digest, crc), 256<<10),
		digest: digest, crc: crc, limits: l,
	}
}

func (z *zipWriter) begin(h header) error {
	if err := z.limits.CheckArchiveBytes(z.next + h.localSize() + int64(h.packed)); err != nil {
		return err
	}
	h.offset = uint32(z.next)
	z.next += h.localSize() + int64(h.packed)
	z.headers = append(z.headers, h)
	z.scratch = appendLocal(z.scratch[:0], h)
	return z.write(z.scratch)
}

func (z *zipWriter) write(b []byte) error {
	if _, err := z.out.Write(b); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

func (z *zipWriter) finish() (ArchiveInfo, error) {
	at, size := z.next, int64(0)
	for _, h := range z.headers {
		z.scratch = appendCentral(z.scratch[:0], h)
		size += int64(len(z.scratch))
		if err := z.write(z.scratch); err != nil {
			return ArchiveInfo{}, err
		}
	}
	total := at + size + endBytes
	if err := z.limits.CheckArchiveBytes(total); err != nil {
		return ArchiveInfo{}, err
	}
	if err := z.write(appendEnd(z.scratch[:0], len(z.headers), uint32(size), uint32(at))); err != nil {
		return ArchiveInfo{}, err
	}
	if err := z.out.Flush(); err != nil {
		return ArchiveInfo{}, fmt.Errorf("write archive: %w", err)
	}
	info := ArchiveInfo{Digest: capstan.DigestSum(z.digest.Sum(nil)), Bytes: total, CRC32: crcText(z.crc.Sum32())}
	if total > LargeBytes {
		info.Warnings = []Warning{{Rule: "large_zip", Message: "the zip is larger than 10 MB: iOS gives up on a download after 25 s"}}
	}
	return info, nil
}
