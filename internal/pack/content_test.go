package pack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	andybalholm "github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
)

func TestFormFollowsNameAndSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path string
		size int64
		want Form
	}{
		{"a.js", 8191, Plain}, {"a.js", 8192, Tried}, {"a.png", 1 << 20, Tried}, {"a.js", 0, Forced}, {"x.br", 1, Forced}, {"x.br", 1 << 20, Forced}, {"br", 1, Plain}, {"x.BR", 1, Plain},
	} {
		if got := FormOf(c.path, c.size); got != c.want {
			t.Errorf("FormOf(%s, %d) = %s, want %s", c.path, c.size, got, c.want)
		}
	}
}

func TestContentsAreDistinctAndForcedByAnyPath(t *testing.T) {
	t.Parallel()
	file := func(path, body string) capstan.File {
		return capstan.File{Path: path, Digest: capstan.DigestOf([]byte(body)), Size: int64(len(body))}
	}
	m := capstan.Manifest{file("a", "1"), file("b", "2"), file("c", "1"), file("d.br", "2"), file("e", ""), file("f", "")}
	want := []Content{
		{m[0].Digest, 1, "a", Plain}, {m[1].Digest, 1, "b", Forced}, {m[4].Digest, 0, "e", Forced},
	}
	got := Contents(m)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Contents (-want +got):\n%s", diff)
	}
	if got[0].Need() != "" || got[1].Need() != capstan.Brotli {
		t.Errorf("needs %q and %q", got[0].Need(), got[1].Need())
	}
}

// encodeAll stores every content of a folder and returns them by first path.
func encodeAll(t *testing.T, s *Source) map[string]*Stored {
	t.Helper()
	var mu sync.Mutex
	all := map[string]*Stored{}
	err := s.EncodeAll(context.Background(), s.Contents(), 3, func(_ context.Context, stored *Stored) error {
		mu.Lock()
		defer mu.Unlock()
		all[stored.Path] = stored
		return nil
	})
	if err != nil {
		t.Fatalf("EncodeAll: %v", err)
	}
	return all
}

func TestFilesAreStoredInTheFormThatGains(t *testing.T) {
	t.Parallel()
	s := load(t, folder(t, with("big.js", words(1, 20_000), "small.js", words(2, 8191), "photo.jpg", noise(1, 20_000), "large.jpg", noise(2, 263_000),
		"empty.txt", "", "data.br", "not brotli at all", "x", words(3, 9000), "x.br", words(4, 9000), "noise.br", noise(3, 10_000), "page.js", words(5, 263_000))), Options{})
	all := encodeAll(t, s)
	want := map[string]capstan.Encoding{
		"index.html": capstan.Identity, "main.js": capstan.Identity, "big.js": capstan.Brotli, "small.js": capstan.Identity, "photo.jpg": capstan.Identity, "large.jpg": capstan.Identity,
		"empty.txt": capstan.Brotli, "data.br": capstan.Brotli, "x": capstan.Brotli, "x.br": capstan.Brotli, "noise.br": capstan.Brotli, "page.js": capstan.Brotli,
	}
	got := map[string]capstan.Encoding{}
	var files []capstan.StoredFile
	for _, f := range s.Manifest {
		stored := all[f.Path]
		got[f.Path] = stored.Encoding
		files = append(files, capstan.StoredFile{File: f, Encoding: stored.Encoding, Blob: stored.Blob, BlobBytes: stored.BlobBytes})
		checkStored(t, stored)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("encodings (-want +got):\n%s", diff)
	}
	if err := manifest.ValidateWire(files); err != nil {
		t.Errorf("what is sent to devices: %v", err)
	}
	if b, _ := readStored(all["empty.txt"]); !bytes.Equal(b, []byte{0x1b, 0x00, 0x06}) {
		t.Errorf("the empty file is stored as % x, want 1b 00 06", b)
	}
}

// checkStored reads a stored form as a device does.
func checkStored(t *testing.T, s *Stored) {
	t.Helper()
	body, err := readStored(s)
	if err != nil {
		t.Fatalf("%s: %v", s.Path, err)
	}
	if capstan.DigestOf(body) != s.Blob || int64(len(body)) != s.BlobBytes {
		t.Errorf("%s: blob %s of %d bytes, the bytes are %s, %d", s.Path, s.Blob, s.BlobBytes, capstan.DigestOf(body), len(body))
	}
	if s.Encoding == capstan.Brotli {
		var plain bytes.Buffer
		if _, err := Decompress(&plain, bytes.NewReader(body), s.Size); err != nil {
			t.Fatalf("%s: %v", s.Path, err)
		}
		body = plain.Bytes()
	}
	if capstan.DigestOf(body) != s.Digest || int64(len(body)) != s.Size {
		t.Errorf("%s does not arrive as it was", s.Path)
	}
}

func TestGainMustBeMoreThanTenBytes(t *testing.T) {
	t.Parallel()
	// Noise of which the last k bytes are zero gains about k bytes.
	for k := 4; k < 36; k += 3 {
		body := noise(7, MinBrotliBytes-k) + strings.Repeat("\x00", k)
		packed, err := Compress([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		s := load(t, folder(t, map[string]string{"index.html": body}), Options{NoCodeCheck: true})
		want := capstan.Identity
		if len(packed) < len(body)-10 {
			want = capstan.Brotli
		}
		if got := encodeAll(t, s)["index.html"].Encoding; got != want {
			t.Errorf("saving %d bytes: stored as %s, want %s", len(body)-len(packed), got, want)
		}
	}
}

func TestFirstErrorOfSendingStopsTheRest(t *testing.T) {
	t.Parallel()
	files := with()
	for n := range strings.SplitSeq(words(1, 2000), "\n") {
		files["f"+strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, n)] = n
	}
	s := load(t, folder(t, files), Options{})
	boom := errors.New("boom")
	if err := s.EncodeAll(context.Background(), s.Contents(), 2, func(context.Context, *Stored) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("EncodeAll = %v, want the error of send", err)
	}
}

// literal is the short cut that plugins take before they decode: a file that
// begins and ends in one of these ways is not decoded at all, and what stands
// between is taken as it is (device-clients.md §7.3).
func literal(packed []byte) (plain []byte, special bool) {
	n := len(packed)
	if n <= 3 || packed[n-1] != 0x03 {
		return nil, false
	}
	if bytes.HasPrefix(packed, []byte{0x1b, 0x00, 0x06}) || bytes.HasPrefix(packed, []byte{0x0b, 0x02, 0x80}) {
		return packed[3 : n-1], true
	}
	return nil, false
}

func TestCompressIsUndoneByDecompress(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOfN(rapid.ByteRange(0, rapid.Byte().Draw(t, "alphabet")), 0, 4000).Draw(t, "plain")
		packed, err := Compress(plain)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if n, err := Decompress(&got, bytes.NewReader(packed), int64(len(plain))); err != nil || !bytes.Equal(got.Bytes(), plain) || n != int64(len(plain)) {
			t.Fatalf("Decompress(Compress(%x)) = %x, %d, %v", plain, got.Bytes(), n, err)
		}
		if short, special := literal(packed); special && !bytes.Equal(short, plain) {
			t.Fatalf("plugins would take %x for %x", short, plain)
		}
	})
}

func TestDecompressIsBounded(t *testing.T) {
	t.Parallel()
	bomb, err := Compress(make([]byte, 1<<18))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_, err = Decompress(&out, bytes.NewReader(bomb), 1<<18-1)
	wantCode(t, err, capstan.CodeTooLarge)
	if out.Len() >= 1<<18 {
		t.Errorf("%d bytes were written before the bound was noticed", out.Len())
	}
}

func TestDecompressWantsOneWholeStream(t *testing.T) {
	t.Parallel()
	packed, err := Compress([]byte(words(1, 20_000)))
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{
		"nothing": nil, "cut": packed[:len(packed)-1], "cut early": packed[:100], "trailing byte": append(bytes.Clone(packed), 0), "two streams": append(bytes.Clone(packed), packed...),
		"not brotli": []byte("plain text, for sure"), "empty and more": {0x1b, 0x00, 0x06, 0x00},
	} {
		for _, one := range []bool{false, true} {
			var r io.Reader = bytes.NewReader(body)
			if one {
				r = iotest.OneByteReader(r)
			}
			if _, err := Decompress(io.Discard, r, 1<<20); capstan.CodeOf(err) != capstan.CodeInvalid {
				t.Errorf("%s: %v, want %s", name, err, capstan.CodeInvalid)
			}
		}
	}
	if n, err := Decompress(io.Discard, bytes.NewReader(EmptyBrotli()), 0); n != 0 || err != nil {
		t.Errorf("the empty form decodes to %d bytes, %v", n, err)
	}
}

func TestDecompressPassesOnErrorsOfReaderAndWriter(t *testing.T) {
	t.Parallel()
	packed, err := Compress([]byte(words(1, 20_000)))
	if err != nil {
		t.Fatal(err)
	}
	cut := io.MultiReader(bytes.NewReader(packed[:500]), iotest.ErrReader(io.ErrClosedPipe))
	if _, err := Decompress(io.Discard, cut, 1<<20); !errors.Is(err, io.ErrClosedPipe) || capstan.CodeOf(err) == capstan.CodeInvalid {
		t.Errorf("reader fails: %v", err)
	}
	full := &bounded{limit: 10}
	if _, err := Decompress(full, bytes.NewReader(packed), 1<<20); !errors.Is(err, errNoGain) {
		t.Errorf("writer fails: %v", err)
	}
}

// nopCloser makes a broken encoder.
type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func TestBrokenEncodersAreCaught(t *testing.T) {
	t.Parallel()
	plain := []byte(words(1, 10_000))
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(plain)), nil }
	panics := func(io.Writer, int64) (io.WriteCloser, error) { panic("index out of range") }
	if _, err := encodeWith(context.Background(), panics, 1, -1, open); !errors.Is(err, errEncoder) {
		t.Errorf("an encoder that panics: %v", err)
	}
	identity := func(dst io.Writer, _ int64) (io.WriteCloser, error) { return nopCloser{dst}, nil }
	packed, err := encodeWith(context.Background(), identity, 1, -1, open)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifyBrotli(packed, int64(len(plain)), capstan.DigestOf(plain)); err == nil {
		t.Error("a stream that is not brotli was verified")
	}
	var other bytes.Buffer
	w := andybalholm.NewWriter(&other)
	w.Write(plain[1:])
	w.Close()
	if err := verifyBrotli(other.Bytes(), int64(len(plain)), capstan.DigestOf(plain)); err == nil {
		t.Error("a stream with other content was verified")
	}
}

func TestBothEncodersMakeWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	plain := []byte(words(1, 20_000))
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(plain)), nil }
	var sizes []int
	for _, encode := range []encoder{fastEncoder, provenEncoder} {
		packed, err := encodeWith(context.Background(), encode, int64(len(plain)), -1, open)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifyBrotli(packed, int64(len(plain)), capstan.DigestOf(plain)); err != nil {
			t.Error(err)
		}
		sizes = append(sizes, len(packed))
	}
	if sizes[0] > sizes[1]*102/100 {
		t.Errorf("the encoder of choice makes %d bytes, the other one %d", sizes[0], sizes[1])
	}
}

func TestCRC32OfOldPlugins(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "00000000", "123456789": "cbf43926", "a": "e8b7be43"} {
		if got, err := CRC32(strings.NewReader(in)); got != want || err != nil {
			t.Errorf("CRC32(%q) = %s, %v; want %s", in, got, err, want)
		}
	}
	if _, err := CRC32(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("CRC32 of a broken reader = %v", err)
	}
}
