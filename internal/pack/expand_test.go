package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	andybalholm "github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
	"github.com/capstan-ota/capstan/internal/native"
)

func zipped(pairs ...string) string {
	return string(goZip(func(z *zip.Writer) {
		for i := 0; i < len(pairs); i += 2 {
			w, _ := z.Create(pairs[i])
			io.WriteString(w, pairs[i+1])
		}
	}))
}

func tarred(pairs ...string) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		w.WriteHeader(&tar.Header{Name: pairs[i], Mode: 0o644, Size: int64(len(pairs[i+1]))})
		io.WriteString(w, pairs[i+1])
	}
	w.Close()
	return b.String()
}

// squeeze compresses s with the writer that open makes.
func squeeze(s string, open func(w io.Writer) (io.WriteCloser, error)) string {
	var b bytes.Buffer
	w, err := open(&b)
	if err != nil {
		panic(err)
	}
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func gzipped(s string) string {
	return squeeze(s, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
}

func xzed(s string) string {
	return squeeze(s, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) })
}

func zstded(s string) string {
	return squeeze(s, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
}

func brotlied(s string) string {
	return squeeze(s, func(w io.Writer) (io.WriteCloser, error) { return andybalholm.NewWriterLevel(w, 5), nil })
}

const elf = "\x7fELF\x02\x01\x01\x00 nothing that runs"

func blockedRules(t *testing.T, name, body string, l manifest.Limits) []string {
	t.Helper()
	found, err := native.Inspect(name, sized{strings.NewReader(body), int64(len(body))}, newExpander(l).expand)
	if err != nil {
		t.Fatalf("Inspect(%s): %v", name, err)
	}
	var ids []string
	for _, f := range native.Blocked(found) {
		ids = append(ids, f.Rule)
	}
	return ids
}

// packages are app packages as their tools make them, by content alone.
func packages() map[string]string {
	png := "\x89PNG\r\n\x1a\n" + noise(1, 200_000)
	return map[string]string{
		"apk":               zipped("AndroidManifest.xml", "\x03\x00\x08\x00", "classes.dex", "dex\n035\x00"),
		"jar":               zipped("META-INF/MANIFEST.MF", "Manifest-Version: 1.0", "Main.class", "\xca\xfe\xba\xbe\x00\x00\x00\x34"),
		"aab":               zipped("BundleConfig.pb", "x", "base/manifest/AndroidManifest.xml", "x"),
		"ipa":               zipped("Payload/Demo.app/Info.plist", "x"),
		"apk behind an png": png + zipped("AndroidManifest.xml", "x"),
		"elf in zip":        zipped("logo.png", elf),
		"elf far in zip":    zipped("photo.jpg", noise(2, 300_000), "logo.png", elf),
		"elf in gz":         gzipped(elf),
		"elf in xz":         xzed(elf),
		"elf in zst":        zstded(elf),
		"elf in tar":        tarred("readme.txt", "x", "logo.png", elf),
		"elf in tar.gz":     gzipped(tarred("photo.jpg", noise(3, 100_000), "logo.png", elf)),
		"apk in zip":        zipped("data.png", zipped("classes.dex", "dex\n035\x00")),
		"apk in gz":         gzipped(zipped("classes.dex", "dex\n035\x00")),
		"large apk in zip":  zipped("data.png", zipped("photo.jpg", noise(4, 300_000), "classes.dex", "dex\n035\x00")),
		"exe in zip":        zipped("logo.png", exe(200_000)),
		"7z":                "7z\xbc\xaf\x27\x1c\x00\x04",
		"damaged zip":       zipped("a", "b")[:20],
		"damaged gz":        gzipped(words(1, 1000))[:100],
		"three deep":        gzipped(gzipped(gzipped("fine"))),
	}
}

// exe is a file with a PE header in its middle, too far for its first bytes.
func exe(size int) string {
	b := []byte(noise(9, size))
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[0x3c:], uint32(size/2))
	copy(b[size/2:], "PE\x00\x00")
	return string(b)
}

func TestNativeCodeInArchivesIsFound(t *testing.T) {
	t.Parallel()
	for kind, body := range packages() {
		for _, name := range []string{"logo.png", "data"} {
			if got := blockedRules(t, name, body, manifest.Limits{}); len(got) == 0 {
				t.Errorf("%s as %s passes", kind, name)
			}
		}
	}
	if got := blockedRules(t, "main.js.br", brotlied(elf), manifest.Limits{}); !slices.Equal(got, []string{"magic.elf"}) {
		t.Errorf("ELF in brotli: %v", got)
	}
}

func TestArchivesOfWebContentPass(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"pack.zip": zipped("a.json", "{}", "img/", "", "img/b.png", "\x89PNG"), "main.js.gz": gzipped(words(1, 100_000)), "main.js.br": brotlied(words(1, 10_000)), "x.br": "not brotli",
		"a.xz": xzed("x"), "a.zst": zstded("x"), "a.tar": tarred("a", "x"), "a.tgz": gzipped(tarred("a", "x")), "empty.zip": zipped(), "book.epub": zipped("mimetype", "application/epub+zip", "META-INF/container.xml", "x"),
		"twice.zip": zipped("a.zip", zipped("b.txt", "x")),
	} {
		if got := blockedRules(t, name, body, manifest.Limits{}); len(got) != 0 {
			t.Errorf("%s is blocked: %v", name, got)
		}
	}
}

func TestArchivesThatUnpackToTooMuchAreBlocked(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 1<<20)
	small := manifest.Limits{ExpandedBytes: 1 << 18, FileBytes: 1 << 19, Files: 5}
	for name, body := range map[string]string{
		"gz": gzipped(zeros), "zip": zipped("a", zeros), "xz": xzed(zeros), "zst": zstded(zeros), "tar": tarred("a", zeros), "nested": zipped("a", gzipped(zeros)),
		"many": zipped(strings.Split("1,,2,,3,,4,,5,,6,,7,,8,,9,,10,,11,", ",")...),
	} {
		if got := blockedRules(t, "x.png", body, small); !slices.Equal(got, []string{"archive.too-much"}) {
			t.Errorf("%s: %v, want archive.too-much", name, got)
		}
	}
	if got := blockedRules(t, "x.br", brotlied(zeros), small); !slices.Equal(got, []string{"archive.too-much"}) {
		t.Errorf("br: %v, want archive.too-much", got)
	}
}

func TestManySmallBombsAreBoundedLikeOneLargeOne(t *testing.T) {
	t.Parallel()
	files, limits := with(), manifest.Limits{ExpandedBytes: 1 << 18}
	for _, name := range []string{"1.png", "2.png", "3.png", "4.png"} {
		files[name] = gzipped(strings.Repeat("\x00", 200<<10)) // any two of them fit
	}
	_, err := Folder(context.Background(), folder(t, files), Options{Limits: limits})
	if e := wantCode(t, err, capstan.CodeNativeCode); !strings.Contains(e.Message, "archive.too-much") {
		t.Errorf("the folder is refused for another reason: %s", e.Message)
	}
	b := zipOf(t, files)
	_, err = CheckArchive(context.Background(), bytes.NewReader(b), int64(len(b)), limits)
	if e := wantCode(t, err, capstan.CodeNativeCode); !strings.Contains(e.Message, "archive.too-much") {
		t.Errorf("the archive is refused for another reason: %s", e.Message)
	}
}

func TestEncryptedArchivesAreBlocked(t *testing.T) {
	t.Parallel()
	b := []byte(zipped("a", "x"))
	b[6] |= 1
	b[bytes.Index(b, []byte("PK\x01\x02"))+8] |= 1
	if got := blockedRules(t, "x.png", string(b), manifest.Limits{}); !slices.Equal(got, []string{"archive.unopenable"}) {
		t.Errorf("encrypted zip: %v", got)
	}
}

// TestNativeGateStandsAtFolderAndArchive sends each package through the folder,
// as a .png, and through an archive of it, as the server sees it.
func TestNativeGateStandsAtFolderAndArchive(t *testing.T) {
	t.Parallel()
	bad := packages()
	bad["elf"], bad["exe"] = elf, exe(300_000)
	for kind, body := range bad {
		dir := folder(t, with("img/logo.png", body))
		_, err := Folder(context.Background(), dir, Options{})
		e := wantCode(t, err, capstan.CodeNativeCode)
		if !strings.HasPrefix(e.Field, "img/logo.png") || !strings.Contains(e.Message, native.NotApproval) {
			t.Errorf("%s: the error is about %q: %s", kind, e.Field, e.Message)
		}
		for _, entry := range []*draftEntry{deflated("img/logo.png", body), stored("img/logo.png", body)} {
			b := canonical(entry).bytes()
			_, err = CheckArchive(context.Background(), bytes.NewReader(b), int64(len(b)), manifest.Limits{})
			if e := wantCode(t, err, capstan.CodeNativeCode); !strings.HasPrefix(e.Field, "img/logo.png") {
				t.Errorf("%s in an archive: the error is about %q", kind, e.Field)
			}
		}
	}
}

func TestSampleReadsLikeTheWhole(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 63, sampleHead, sampleHead + 1, sampleTail, sampleTail + sampleHead, 2 * sampleTail, 2*sampleTail + 1, 500_000} {
		for _, piece := range []int{1000, 32 << 10, sampleTail + 5, 1 << 20} {
			body := noise(uint64(size), size)
			var s sample
			for part := range slices.Chunk([]byte(body), piece) {
				s.Write(part)
			}
			reopened := 0
			c := s.content(func() (io.ReadCloser, error) { reopened++; return io.NopCloser(strings.NewReader(body)), nil })
			if c.Size() != int64(size) {
				t.Fatalf("size %d, want %d", c.Size(), size)
			}
			for _, at := range [][2]int{{0, 64}, {257, 5}, {max(0, size-65557), 65557}, {0, size}, {size / 2, 10}, {size, 1}, {size + 5, 1}} {
				got, want := make([]byte, at[1]), make([]byte, at[1])
				n, err := c.ReadAt(got, int64(at[0]))
				m, wantErr := strings.NewReader(body).ReadAt(want, int64(at[0]))
				if n != m || (err == nil) != (wantErr == nil) && at[1] > 0 || !bytes.Equal(got[:n], want[:m]) {
					t.Errorf("size %d in pieces of %d: ReadAt(%d, %d) = %d, %v; want %d, %v", size, piece, at[1], at[0], n, err, m, wantErr)
				}
				if at[0] == max(0, size-65557) && reopened > 0 {
					t.Errorf("size %d: the ends were read a second time", size)
				}
			}
		}
	}
}

func TestForeignZipsAreUnpacked(t *testing.T) {
	t.Parallel()
	files := []string{"./www/", "", "./www/index.html", "notifyAppReady", "./www/a b/u\u0308.js", "x", "__MACOSX/www/x", "y", "www/.DS_Store", "z", "www/main.js.map", "{}"}
	dir := t.TempDir()
	name := dir + "/in.zip"
	write(t, dir, "in.zip", zipped(files...))
	out := t.TempDir()
	if err := ExtractForeign(context.Background(), name, out, manifest.Limits{}); err != nil {
		t.Fatal(err)
	}
	s := load(t, out, Options{SourceMaps: true})
	if diff := cmp.Diff([]string{"a b/ü.js", "index.html", "main.js.map"}, paths(s.Manifest)); diff != "" {
		t.Errorf("unpacked (-want +got):\n%s", diff)
	}
}

func TestHostileForeignZipsAreRefused(t *testing.T) {
	t.Parallel()
	header := func(change func(h *zip.FileHeader)) string {
		return string(goZip(func(z *zip.Writer) {
			h := &zip.FileHeader{Name: "index.html", Method: zip.Deflate}
			change(h)
			w, err := z.CreateHeader(h)
			if err == nil {
				io.WriteString(w, "target")
			}
		}))
	}
	encrypted := []byte(zipped("a", "x"))
	encrypted[bytes.Index(encrypted, []byte("PK\x01\x02"))+8] |= 1
	damaged := []byte(zipped("a", words(1, 1000)))
	damaged[200] ^= 0xff
	for name, c := range map[string]struct {
		zip    string
		limits manifest.Limits
		code   capstan.Code
	}{
		"not a zip":      {"hello", manifest.Limits{}, capstan.CodeFolder},
		"leaves":         {zipped("../evil", "x"), manifest.Limits{}, capstan.CodePathRefused},
		"leaves deeper":  {zipped("a/../../evil", "x"), manifest.Limits{}, capstan.CodePathRefused},
		"absolute":       {zipped("/tmp/evil", "x"), manifest.Limits{}, capstan.CodePathRefused},
		"backslash":      {zipped(`..\evil`, "x"), manifest.Limits{}, capstan.CodePathRefused},
		"bad folder":     {zipped("../evil/", ""), manifest.Limits{}, capstan.CodePathRefused},
		"twice":          {zipped("a", "1", "a", "2"), manifest.Limits{}, capstan.CodePathRefused},
		"case":           {zipped("a", "1", "A", "2"), manifest.Limits{}, capstan.CodePathRefused},
		"file as folder": {zipped("a", "1", "a/b", "2"), manifest.Limits{}, capstan.CodePathRefused},
		"link":           {header(func(h *zip.FileHeader) { h.SetMode(0o777 | 1<<27) }), manifest.Limits{}, capstan.CodeArchiveUnsafe},
		"pipe":           {header(func(h *zip.FileHeader) { h.SetMode(0o644 | 1<<25) }), manifest.Limits{}, capstan.CodeArchiveUnsafe},
		"encrypted":      {string(encrypted), manifest.Limits{}, capstan.CodeArchiveUnsafe},
		"damaged":        {string(damaged), manifest.Limits{}, capstan.CodeArchiveUnsafe},
		"bomb":           {zipped("zeros", strings.Repeat("\x00", 2<<20)), manifest.Limits{}, capstan.CodeArchiveUnsafe},
		"many bombs":     {zipped("1", words(1, 2<<20), "2", strings.Repeat("\x00", 1<<20), "3", strings.Repeat("\x00", 1<<20)), manifest.Limits{TotalRatio: 2}, capstan.CodeArchiveUnsafe},
		"large file":     {zipped("a", noise(1, 1000)), manifest.Limits{FileBytes: 999}, capstan.CodeTooLarge},
		"large in all":   {zipped("a", noise(1, 600), "b", noise(2, 600)), manifest.Limits{ExpandedBytes: 1199}, capstan.CodeTooLarge},
		"many":           {zipped("a", "", "b", "", "c", ""), manifest.Limits{Files: 2}, capstan.CodeTooLarge},
		"large zip":      {zipped("a", noise(1, 1000)), manifest.Limits{ArchiveBytes: 1000}, capstan.CodeTooLarge},
	} {
		dir := t.TempDir()
		write(t, dir, "in.zip", c.zip)
		if err := ExtractForeign(context.Background(), dir+"/in.zip", t.TempDir(), c.limits); capstan.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	lzma := []byte(zipped("a", "x"))
	order.PutUint16(lzma[bytes.Index(lzma, []byte("PK\x01\x02"))+10:], 14)
	for rule, body := range map[string]string{"method": string(lzma), "encrypted": string(encrypted), "file_ratio": zipped("noise", noise(1, 100_000), "zeros", strings.Repeat("\x00", 2<<20))} {
		dir := t.TempDir()
		write(t, dir, "in.zip", body)
		err := ExtractForeign(context.Background(), dir+"/in.zip", t.TempDir(), manifest.Limits{})
		if u, ok := errors.AsType[*Unsafe](err); !ok || u.Rule != rule {
			t.Errorf("%v, want rule %s", err, rule)
		}
	}
	err := ExtractForeign(context.Background(), t.TempDir()+"/missing.zip", t.TempDir(), manifest.Limits{})
	wantCode(t, err, capstan.CodeFolder)
}
