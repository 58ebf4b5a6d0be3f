package pack

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
)

func open(b []byte, l manifest.Limits) (*Archive, error) {
	return OpenArchive(bytes.NewReader(b), int64(len(b)), l)
}

// ours reads an archive with the reader under test.
func ours(b []byte) (map[string]string, error) {
	a, err := open(b, manifest.Limits{})
	if err != nil {
		return nil, err
	}
	if _, err := a.Verify(context.Background(), nil); err != nil {
		return nil, err
	}
	files := map[string]string{}
	for i, f := range a.Files() {
		r, err := a.Open(i)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		files[f.Path] = string(body)
	}
	return files, nil
}

// central reads an archive as iOS and most tools do, by its central directory.
func central(b []byte) (map[string]string, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		files[f.Name] = string(body)
	}
	return files, nil
}

// sequential reads an archive as Android does: java.util.zip.ZipInputStream
// knows nothing but the local headers, one after another from the first byte on.
func sequential(b []byte) (map[string]string, error) {
	files := map[string]string{}
	for len(b) >= localBytes && order.Uint32(b) == localSignature {
		flags, method := order.Uint16(b[6:]), order.Uint16(b[8:])
		sum, packed, plain := order.Uint32(b[14:]), int(order.Uint32(b[18:])), int(order.Uint32(b[22:]))
		nameLen, extraLen := int(order.Uint16(b[26:])), int(order.Uint16(b[28:]))
		if flags&1 != 0 {
			return nil, errors.New("encrypted ZIP entry not supported")
		}
		if flags&8 != 0 && method == methodStore {
			return nil, errors.New("only DEFLATED entries can have EXT descriptor")
		}
		if len(b) < localBytes+nameLen+extraLen {
			return nil, io.ErrUnexpectedEOF
		}
		name := string(b[localBytes : localBytes+nameLen])
		b = b[localBytes+nameLen+extraLen:]
		var body []byte
		switch method {
		case methodStore:
			if len(b) < plain {
				return nil, io.ErrUnexpectedEOF
			}
			body, b = b[:plain], b[plain:]
		case methodFlate:
			rest := bytes.NewReader(b)
			var err error
			if body, err = io.ReadAll(flate.NewReader(rest)); err != nil {
				return nil, err
			}
			read := len(b) - rest.Len()
			b = b[read:]
			if flags&8 != 0 {
				if len(b) < 16 {
					return nil, io.ErrUnexpectedEOF
				}
				b = b[16:]
			} else if read != packed || len(body) != plain {
				return nil, errors.New("invalid entry size")
			}
		default:
			return nil, errors.New("unsupported compression method")
		}
		if flags&8 == 0 && crc32.ChecksumIEEE(body) != sum {
			return nil, errors.New("invalid entry CRC")
		}
		files[name] = string(body)
	}
	return files, nil
}

// views are all readers that must agree about what we accept.
var views = map[string]func([]byte) (map[string]string, error){"ours": ours, "central": central, "sequential": sequential}

func sampleFiles() map[string]string {
	return with("big.js", words(1, 30_000), "photo.jpg", noise(1, 10_000), "empty", "", "a b/größe #1 100% what?.css", "x", "😀.txt", "y", "x", "1", "x.br", "2", "zeros.bin", strings.Repeat("\x00", 100_000))
}

func TestEveryReaderSeesTheSameInAnArchiveOfOurs(t *testing.T) {
	t.Parallel()
	files := sampleFiles()
	b := zipOf(t, files)
	for name, view := range views {
		got, err := view(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(files, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestArchivesAreWhatTheyWereMadeOf(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		files := rapid.MapOfN(rapid.StringMatching(`[a-dü]{1,3}(/[a-d?#%]{1,2}){0,2}`), rapid.StringMatching(`(abc){0,200}|.{0,50}`), 0, 8).Draw(rt, "files")
		files["index.html"] = "x"
		var m capstan.Manifest
		for p := range files {
			m = append(m, capstan.File{Path: p, Digest: capstan.EmptyDigest})
		}
		if manifest.Validate(m) != nil {
			return
		}
		b := zipOf(t, files)
		for name, view := range views {
			if got, err := view(b); err != nil || !cmp.Equal(files, got) {
				rt.Fatalf("%s: %v, %v\n%s", name, files, err, cmp.Diff(files, got))
			}
		}
	})
}

func TestArchiveIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	files := sampleFiles()
	for i := range 20 {
		files[fmt.Sprintf("chunk-%d.js", i)] = words(uint64(i), 20_000)
	}
	first := zipOf(t, files)
	for _, workers := range []int{1, 2, 7} {
		s := load(t, folder(t, files), Options{Workers: workers})
		var b bytes.Buffer
		info, err := s.WriteArchive(context.Background(), &b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), first) {
			t.Errorf("with %d workers the zip differs", workers)
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(first))
		want := ArchiveInfo{Digest: capstan.Digest(sum), Bytes: int64(len(first)), CRC32: fmt.Sprintf("%08x", crc32.ChecksumIEEE(first))}
		if diff := cmp.Diff(want, info); diff != "" {
			t.Errorf("info (-want +got):\n%s", diff)
		}
	}
}

// TestFormOfTheArchiveNeverChanges holds a whole small zip as a literal. Deflate
// encoders change with their library; this one has only stored entries.
func TestFormOfTheArchiveNeverChanges(t *testing.T) {
	t.Parallel()
	want := "PK\x03\x04\x14\x00\x00\x08\x00\x00\x00\x00\x21\x00\x83\x16\xdc\x8c\x01\x00\x00\x00\x01\x00\x00\x00\x0a\x00\x00\x00index.htmlx" +
		"PK\x03\x04\x14\x00\x00\x08\x00\x00\x00\x00\x21\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\xc3\xbc" +
		"PK\x01\x02\x14\x03\x14\x00\x00\x08\x00\x00\x00\x00\x21\x00\x83\x16\xdc\x8c\x01\x00\x00\x00\x01\x00\x00\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xa4\x81\x00\x00\x00\x00index.html" +
		"PK\x01\x02\x14\x03\x14\x00\x00\x08\x00\x00\x00\x00\x21\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xa4\x81\x29\x00\x00\x00\xc3\xbc" +
		"PK\x05\x06\x00\x00\x00\x00\x02\x00\x02\x00\x68\x00\x00\x00\x49\x00\x00\x00\x00\x00"
	if got := string(zipOf(t, map[string]string{"index.html": "x", "ü": ""})); got != want {
		t.Errorf("zip = %q\nwant  %q", got, want)
	}
}

func TestOnlyOurRatiosAreWritten(t *testing.T) {
	t.Parallel()
	b := zipOf(t, map[string]string{"index.html": "x", "zeros.bin": strings.Repeat("\x00", 3<<20), "text.js": words(1, 20_000)})
	a, err := open(b, manifest.Limits{})
	if err != nil {
		t.Fatalf("our own reader refuses what our writer makes of zeros: %v", err)
	}
	want := map[string]uint16{"index.html": methodStore, "text.js": methodFlate, "zeros.bin": methodStore}
	for _, h := range a.headers {
		if h.method != want[h.name] {
			t.Errorf("%s is packed by method %d, want %d", h.name, h.method, want[h.name])
		}
	}
}

func TestErrorsOfTheWriterAreReturned(t *testing.T) {
	t.Parallel()
	s := load(t, folder(t, with("big.jpg", noise(1, 1<<20))), Options{})
	if _, err := s.WriteArchive(context.Background(), &bounded{limit: 1000}); !errors.Is(err, errNoGain) {
		t.Errorf("WriteArchive = %v, want the error of the writer", err)
	}
}

func TestErrorsOfReadingAreNotCalledUnsafe(t *testing.T) {
	t.Parallel()
	_, err := OpenArchive(failing{}, 1000, manifest.Limits{})
	if !errors.Is(err, io.ErrClosedPipe) || capstan.CodeOf(err) != capstan.CodeInternal {
		t.Errorf("OpenArchive = %v (%s)", err, capstan.CodeOf(err))
	}
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

func TestCheckArchiveFindsWhatTheFolderHad(t *testing.T) {
	t.Parallel()
	files := sampleFiles()
	files["app.wasm"] = "\x00asm\x01\x00\x00\x00" + words(1, 1000)
	s := load(t, folder(t, files), Options{})
	b := archive(t, s)
	c, err := CheckArchive(context.Background(), bytes.NewReader(b), int64(len(b)), manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Checked{s.Manifest, s.Root, fmt.Sprintf("%08x", crc32.ChecksumIEEE(b)), s.Findings}, *c); diff != "" || len(c.Findings) != 1 {
		t.Errorf("CheckArchive (-folder +archive):\n%s", diff)
	}
	if err := Agree(c.Manifest, s.Manifest); err != nil {
		t.Errorf("Agree: %v", err)
	}
}

func TestArchiveAndManifestMustAgree(t *testing.T) {
	t.Parallel()
	file := func(p, c string) capstan.File {
		return capstan.File{Path: p, Digest: capstan.DigestOf([]byte(c)), Size: int64(len(c))}
	}
	err := Agree(capstan.Manifest{file("a", "1"), file("b", "2")}, capstan.Manifest{file("a", "x"), file("c", "3")})
	e := wantCode(t, err, capstan.CodeContentMismatch)
	if diff := cmp.Diff([]string{"changed a", "added b", "removed c"}, e.Details); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
}

func TestEntryReaderWorksInSmallSteps(t *testing.T) {
	t.Parallel()
	b := zipOf(t, sampleFiles())
	a, err := open(b, manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range a.Files() {
		r, err := a.Open(i)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(iotest.OneByteReader(r))
		if err != nil || string(body) != sampleFiles()[f.Path] {
			t.Errorf("%s: %d bytes, %v", f.Path, len(body), err)
		}
	}
}

// TestUnzipReadsOurArchives asks the unzip program, where there is one.
func TestUnzipReadsOurArchives(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.zip")
	if err := os.WriteFile(path, zipOf(t, sampleFiles()), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("unzip"); err != nil {
		t.Log("no unzip here: its view is left to the readers above")
		return
	}
	out, err := exec.Command("unzip", "-t", path).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("No errors detected")) {
		t.Errorf("unzip -t: %v\n%s", err, out)
	}
}
