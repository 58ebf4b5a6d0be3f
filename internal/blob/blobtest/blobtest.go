// Package blobtest is the suite that every implementation of [blob.Store]
// passes. It knows the contract in the comments of that interface and nothing
// of any implementation; what only one of them has, such as files, is tested
// beside it.
package blobtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/blob"
)

// Run runs the suite. open returns an empty store for one test and registers
// with t.Cleanup whatever it wants to check afterwards, such as leftovers; the
// suite closes the store before that.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	t.Helper()
	tests := []struct {
		name string
		run  func(*testing.T, blob.Store)
	}{
		{"put then open gives the same bytes", putOpen},
		{"put is idempotent", putTwice},
		{"put verifies what it has already", putTwiceWrong},
		{"put refuses wrong bytes", putRefuses},
		{"put passes on the error of the body", putBodyError},
		{"put stops when it is cancelled", putCancel},
		{"put reads no more than it must", putReadsLittle},
		{"concurrent puts of one blob", putConcurrently},
		{"puts of right and wrong bytes at a time", putRace},
		{"open gives ranges", ranges},
		{"open refuses ranges outside the blob", rangesRefused},
		{"an absent blob is not found", absent},
		{"wrong digests are refused", wrongDigests},
		{"delete", deletes},
		{"list is ordered and starts after", lists},
		{"list while writing", listWhileWriting},
		{"list stops", listStops},
		{"cancelled calls", cancelled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			tt.run(t, s)
		})
	}
}

// Content returns size bytes that depend on seed, and their digest. They
// repeat after a prime number of bytes, so that no usual buffer or offset
// hides a shift.
func Content(seed, size int) (capstan.Digest, []byte) {
	block := make([]byte, 0, 4099+8)
	for i := uint64(0); len(block) < 4099; i++ {
		block = binary.BigEndian.AppendUint64(block, (uint64(seed)<<32+i)*0x9e3779b97f4a7c15)
	}
	b := bytes.Repeat(block[:4099], size/4099+1)[:size]
	return capstan.DigestOf(b), b
}

// Put puts b and fails the test when that fails.
func Put(t testing.TB, s blob.Store, b []byte) capstan.Digest {
	t.Helper()
	d := capstan.DigestOf(b)
	if err := s.Put(t.Context(), d, int64(len(b)), bytes.NewReader(b)); err != nil {
		t.Fatalf("put blob of %d bytes: %v", len(b), err)
	}
	return d
}

// Get returns a range of a blob and fails the test when it cannot be read.
func Get(t testing.TB, s blob.Store, d capstan.Digest, off, n int64) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), d, off, n)
	if err != nil {
		t.Fatalf("open %d bytes from %d: %v", n, off, err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read %d bytes from %d: %v", n, off, err)
	}
	return b
}

func list(t *testing.T, s blob.Store, after capstan.Digest) []capstan.Digest {
	t.Helper()
	digests := []capstan.Digest{}
	for info, err := range s.List(t.Context(), after) {
		if err != nil {
			t.Fatalf("list after %q: %v", after, err)
		}
		digests = append(digests, info.Digest)
	}
	return digests
}

// wantAbsent fails unless the store shows no trace of d.
func wantAbsent(t *testing.T, s blob.Store, d capstan.Digest) {
	t.Helper()
	if info, err := s.Stat(t.Context(), d); !errors.Is(err, fs.ErrNotExist) || capstan.CodeOf(err) != capstan.CodeNotFound {
		t.Errorf("stat of an absent blob: got %+v, %v; want not found", info, err)
	}
	if r, err := s.Open(t.Context(), d, 0, -1); !errors.Is(err, fs.ErrNotExist) || capstan.CodeOf(err) != capstan.CodeNotFound {
		t.Errorf("open of an absent blob: got %v, %v; want not found", r, err)
	}
	if got := list(t, s, ""); slices.Contains(got, d) {
		t.Errorf("list yields the absent blob %s", d)
	}
}

func putOpen(t *testing.T, s blob.Store) {
	for _, size := range []int{0, 1, 31, 4096, 64 << 10, 64<<10 + 1, 1 << 20} {
		d, b := Content(size, size)
		Put(t, s, b)
		if got := Get(t, s, d, 0, -1); !bytes.Equal(got, b) {
			t.Errorf("blob of %d bytes: got %d other bytes", size, len(got))
		}
		info, err := s.Stat(t.Context(), d)
		if err != nil || info.Digest != d || info.Size != int64(size) || info.At.IsZero() {
			t.Errorf("stat of a blob of %d bytes: got %+v, %v", size, info, err)
		}
	}
}

func putTwice(t *testing.T, s blob.Store) {
	d, b := Content(1, 1000)
	Put(t, s, b)
	first, err := s.Stat(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	Put(t, s, b)
	second, err := s.Stat(t.Context(), d)
	if err != nil || second.Size != first.Size || second.At.Before(first.At) {
		t.Errorf("after a second put: got %+v, %v; first was %+v", second, err, first)
	}
	if got := list(t, s, ""); !slices.Equal(got, []capstan.Digest{d}) {
		t.Errorf("list after two puts of one blob: got %v", got)
	}
}

func putTwiceWrong(t *testing.T, s blob.Store) {
	d, b := Content(1, 1000)
	Put(t, s, b)
	wrong := bytes.Clone(b)
	wrong[500] ^= 1
	err := s.Put(t.Context(), d, int64(len(b)), bytes.NewReader(wrong))
	if capstan.CodeOf(err) != capstan.CodeDigestMismatch {
		t.Errorf("wrong bytes for a blob that is there: got %v, want digest_mismatch", err)
	}
	if got := Get(t, s, d, 0, -1); !bytes.Equal(got, b) {
		t.Error("a refused put changed the blob that was there")
	}
}

func putRefuses(t *testing.T, s blob.Store) {
	d, b := Content(1, 100_000)
	flipped := bytes.Clone(b)
	flipped[len(b)-1] ^= 1
	for _, tt := range []struct {
		name string
		size int64
		body io.Reader
		want capstan.Code
	}{
		{"one bit wrong", 100_000, bytes.NewReader(flipped), capstan.CodeDigestMismatch},
		{"one byte short", 100_000, bytes.NewReader(b[:99_999]), capstan.CodeDigestMismatch},
		{"one byte long", 100_000, io.MultiReader(bytes.NewReader(b), strings.NewReader("x")), capstan.CodeDigestMismatch},
		{"empty", 100_000, strings.NewReader(""), capstan.CodeDigestMismatch},
		{"cut off connection", 100_000, io.MultiReader(bytes.NewReader(b[:5000]), iotest.ErrReader(io.ErrUnexpectedEOF)), capstan.CodeDigestMismatch},
		{"announced shorter than the right bytes", 99_999, bytes.NewReader(b), capstan.CodeDigestMismatch},
		{"announced longer than the right bytes", 100_001, bytes.NewReader(b), capstan.CodeDigestMismatch},
		{"announced as empty", 0, bytes.NewReader(b), capstan.CodeDigestMismatch},
		{"negative size", -1, bytes.NewReader(b), capstan.CodeInvalid},
	} {
		err := s.Put(t.Context(), d, tt.size, tt.body)
		if got := capstan.CodeOf(err); got != tt.want {
			t.Errorf("%s: got %q (%v), want %q", tt.name, got, err, tt.want)
		}
		wantAbsent(t, s, d)
	}
	Put(t, s, b) // and the right bytes still go in
}

func putBodyError(t *testing.T, s blob.Store) {
	d, b := Content(1, 1000)
	cause := errors.New("connection reset")
	err := s.Put(t.Context(), d, 1000, io.MultiReader(bytes.NewReader(b[:500]), iotest.ErrReader(cause)))
	if !errors.Is(err, cause) {
		t.Errorf("got %v, want an error that wraps %v", err, cause)
	}
	wantAbsent(t, s, d)
}

func putCancel(t *testing.T, s blob.Store) {
	d, b := Content(1, 200_000)
	ctx, cancel := context.WithCancel(t.Context())
	body := io.MultiReader(bytes.NewReader(b[:100_000]), readerFunc(func(p []byte) (int, error) {
		cancel() // while the body is being read
		return copy(p, b[100_000:]), nil
	}))
	if err := s.Put(ctx, d, 200_000, body); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	wantAbsent(t, s, d)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func putReadsLittle(t *testing.T, s blob.Store) {
	d, _ := Content(1, 10)
	endless := &countingReader{}
	if err := s.Put(t.Context(), d, 10, endless); capstan.CodeOf(err) != capstan.CodeDigestMismatch {
		t.Errorf("endless body: got %v, want digest_mismatch", err)
	}
	if endless.read > 11 {
		t.Errorf("read %d bytes of a body announced as 10; want at most 11", endless.read)
	}
}

// countingReader has bytes without end.
type countingReader struct{ read int }

func (r *countingReader) Read(p []byte) (int, error) {
	r.read += len(p)
	return len(p), nil
}

func putConcurrently(t *testing.T, s blob.Store) {
	d, b := Content(1, 100_000)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := s.Put(t.Context(), d, int64(len(b)), iotest.HalfReader(bytes.NewReader(b))); err != nil {
				t.Errorf("one of 16 puts: %v", err)
			}
		})
	}
	wg.Wait()
	if got := list(t, s, ""); !slices.Equal(got, []capstan.Digest{d}) {
		t.Errorf("after 16 puts of one blob: got %v", got)
	}
	if got := Get(t, s, d, 0, -1); !bytes.Equal(got, b) {
		t.Error("after 16 puts the blob holds other bytes")
	}
}

func putRace(t *testing.T, s blob.Store) {
	d, b := Content(1, 50_000)
	wrong := bytes.Clone(b)
	wrong[0] ^= 1
	var wg sync.WaitGroup
	for i := range 16 {
		body, want := b, capstan.Code("")
		if i%2 == 1 {
			body, want = wrong, capstan.CodeDigestMismatch
		}
		wg.Go(func() {
			if got := capstan.CodeOf(s.Put(t.Context(), d, int64(len(b)), bytes.NewReader(body))); got != want {
				t.Errorf("put %d: got %q, want %q", i, got, want)
			}
		})
	}
	wg.Wait()
	if got := Get(t, s, d, 0, -1); !bytes.Equal(got, b) {
		t.Error("wrong bytes won over right ones")
	}
}

func ranges(t *testing.T, s blob.Store) {
	d, b := Content(1, 1000)
	Put(t, s, b)
	for _, r := range []struct{ off, n int64 }{
		{0, -1}, {0, 0}, {0, 1}, {0, 1000}, {1, 998}, {1, -1}, {999, 1}, {999, -1}, {1000, 0}, {1000, -1},
	} {
		end := r.off + r.n
		if r.n < 0 {
			end = 1000
		}
		if got := Get(t, s, d, r.off, r.n); !bytes.Equal(got, b[r.off:end]) {
			t.Errorf("%d bytes from %d: got %d bytes %.20x…", r.n, r.off, len(got), got)
		}
	}
}

func rangesRefused(t *testing.T, s blob.Store) {
	d, b := Content(1, 1000)
	Put(t, s, b)
	const huge = int64(1)<<62 + 1
	for _, r := range []struct{ off, n int64 }{
		{-1, 1}, {-1, -1}, {0, 1001}, {1, 1000}, {1000, 1}, {1001, 0}, {1001, -1}, {huge, huge}, {1, huge},
	} {
		got, err := s.Open(t.Context(), d, r.off, r.n)
		if capstan.CodeOf(err) != capstan.CodeInvalid {
			t.Errorf("%d bytes from %d of 1000: got %v, %v; want invalid", r.n, r.off, got, err)
		}
	}
}

func absent(t *testing.T, s blob.Store) {
	d, _ := Content(1, 10)
	wantAbsent(t, s, d)
	if u := s.URL(d); u != "" && !strings.HasPrefix(u, "http") {
		t.Errorf("URL of an absent blob: got %q, want none or an address", u)
	}
}

func wrongDigests(t *testing.T, s blob.Store) {
	valid, b := Content(1, 10)
	for _, d := range []capstan.Digest{
		"", "ab", "../../../etc/passwd", valid[:63], valid + "0",
		capstan.Digest(strings.ToUpper(string(capstan.EmptyDigest))),
		capstan.Digest("../" + string(valid[3:])), capstan.Digest("ab/" + string(valid[3:])),
	} {
		_, open := s.Open(t.Context(), d, 0, -1)
		_, stat := s.Stat(t.Context(), d)
		for name, err := range map[string]error{
			"put":    s.Put(t.Context(), d, int64(len(b)), bytes.NewReader(b)),
			"delete": s.Delete(t.Context(), d),
			"open":   open,
			"stat":   stat,
		} {
			if capstan.CodeOf(err) != capstan.CodeInvalid {
				t.Errorf("%s of %q: got %v, want invalid", name, d, err)
			}
		}
		if d == "" {
			continue // starts a list at the beginning
		}
		for _, err := range s.List(t.Context(), d) {
			if capstan.CodeOf(err) != capstan.CodeInvalid {
				t.Errorf("list after %q: got %v, want invalid", d, err)
			}
		}
	}
}

func deletes(t *testing.T, s blob.Store) {
	a := Put(t, s, []byte("a"))
	b := Put(t, s, []byte("b"))
	for range 2 { // the second time it is not there
		if err := s.Delete(t.Context(), a); err != nil {
			t.Fatalf("delete: %v", err)
		}
		wantAbsent(t, s, a)
	}
	if got := Get(t, s, b, 0, -1); string(got) != "b" {
		t.Errorf("after deleting another blob: got %q, want b", got)
	}
	Put(t, s, []byte("a"))
	if got := Get(t, s, a, 0, -1); string(got) != "a" {
		t.Errorf("put again after delete: got %q, want a", got)
	}
}

func lists(t *testing.T, s blob.Store) {
	var want []capstan.Digest
	for i := range 200 {
		want = append(want, Put(t, s, fmt.Appendf(nil, "blob %d", i)))
	}
	slices.Sort(want)
	if got := list(t, s, ""); !slices.Equal(got, want) {
		t.Fatalf("list of %d blobs: got %d, or in another order", len(want), len(got))
	}
	for i := 0; i < len(want); i += 9 {
		d := want[i]
		if got := list(t, s, d); !slices.Equal(got, want[i+1:]) {
			t.Fatalf("list after blob %d: got %d blobs, want %d", i, len(got), len(want)-i-1)
		}
	}
	// A cursor need not be a blob, nor have its directory.
	for _, after := range []capstan.Digest{
		capstan.Digest(strings.Repeat("0", 64)), capstan.Digest("80" + strings.Repeat("f", 62)),
		capstan.Digest("7fff" + strings.Repeat("0", 60)), capstan.Digest(strings.Repeat("f", 64)),
	} {
		i, _ := slices.BinarySearch(want, after)
		if got := list(t, s, after); !slices.Equal(got, want[i:]) {
			t.Errorf("list after %.8s…: got %d blobs, want %d", after, len(got), len(want)-i)
		}
	}
}

func listWhileWriting(t *testing.T, s blob.Store) {
	stay := map[capstan.Digest]bool{}
	for i := range 50 {
		stay[Put(t, s, fmt.Appendf(nil, "stays %d", i))] = true
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				d, b := Content(w*1000+i%20, 20_000)
				if err := s.Put(t.Context(), d, int64(len(b)), bytes.NewReader(b)); err != nil {
					t.Errorf("put while listing: %v", err)
					return
				}
				if err := s.Delete(t.Context(), d); err != nil {
					t.Errorf("delete while listing: %v", err)
					return
				}
			}
		})
	}
	for range 10 {
		checkListing(t, s, stay)
	}
	close(stop)
	wg.Wait()
}

// checkListing lists once and wants every blob of stay exactly once, order,
// and nothing that is not complete.
func checkListing(t *testing.T, s blob.Store, stay map[capstan.Digest]bool) {
	t.Helper()
	var last capstan.Digest
	seen := 0
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Errorf("list while writing: %v", err)
			return
		}
		if info.Digest <= last {
			t.Errorf("list while writing: %s came after %s", info.Digest, last)
		}
		last = info.Digest
		if stay[info.Digest] {
			seen++
		} else if info.Size != 20_000 {
			t.Errorf("list shows %d of 20000 bytes of a blob being written", info.Size)
		}
	}
	if seen != len(stay) {
		t.Errorf("list while writing: got %d of %d blobs that were there all the time", seen, len(stay))
	}
}

func listStops(t *testing.T, s blob.Store) {
	for i := range 10 {
		Put(t, s, fmt.Appendf(nil, "%d", i))
	}
	n := 0
	for _, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n = 0
	var last error
	for _, err := range s.List(ctx, "") {
		n++
		last = err
		if n == 3 {
			cancel()
		}
	}
	if n != 4 || !errors.Is(last, context.Canceled) {
		t.Errorf("list cancelled after 3 of 10: got %d yields, the last %v; want one error more", n, last)
	}
}

func cancelled(t *testing.T, s blob.Store) {
	d := Put(t, s, []byte("a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, open := s.Open(ctx, d, 0, -1)
	_, stat := s.Stat(ctx, d)
	for name, err := range map[string]error{
		"put":    s.Put(ctx, d, 1, strings.NewReader("a")),
		"delete": s.Delete(ctx, d),
		"open":   open,
		"stat":   stat,
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: got %v", name, err)
		}
	}
	if got := Get(t, s, d, 0, -1); string(got) != "a" {
		t.Errorf("after cancelled calls: got %q, want a", got)
	}
}
