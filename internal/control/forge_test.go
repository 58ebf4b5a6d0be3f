package control_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
	"github.com/capstan-ota/capstan/internal/pack"
)

// forge returns the canonical zip and manifest of src with one file's content
// replaced by something that pack.Folder itself would refuse: what a modified
// command line could send. It packs a harmless stand-in of the same length and
// exchanges the bytes, which a stored entry allows once its CRC-32 fits.
func forge(t *testing.T, src *pack.Source, path, content string) ([]byte, capstan.Manifest) {
	t.Helper()
	dir := t.TempDir()
	stand := bytes.Repeat([]byte{0}, len(content))
	for i := range stand {
		stand[i] = byte(i*151 + 13) // does not deflate, so the entry is stored
	}
	for _, f := range src.Manifest {
		file := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		body, err := src.Open(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		body.Close()
		out := b.Bytes()
		if f.Path == path {
			out = stand
		}
		if err := os.WriteFile(file, out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	clean, err := pack.Folder(t.Context(), dir, pack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer clean.Close()
	var zip bytes.Buffer
	if _, err := clean.WriteArchive(t.Context(), &zip); err != nil {
		t.Fatal(err)
	}
	forged := zip.Bytes()
	if bytes.Count(forged, stand) != 1 {
		t.Fatal("the stand-in is not stored as it is")
	}
	forged = bytes.Replace(forged, stand, []byte(content), 1)
	forged = bytes.ReplaceAll(forged, crc(t, stand), crc(t, []byte(content)))
	files := make(capstan.Manifest, len(src.Manifest))
	for i, f := range src.Manifest {
		if f.Path == path {
			f.Digest, f.Size = capstan.DigestOf([]byte(content)), int64(len(content))
		}
		files[i] = f
	}
	manifest.Sort(files)
	return forged, files
}

// crc is the CRC-32 of b as a zip header has it.
func crc(t *testing.T, b []byte) []byte {
	t.Helper()
	text, err := pack.CRC32(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var n uint32
	for _, c := range []byte(text) {
		n = n<<4 | uint32(bytes.IndexByte([]byte("0123456789abcdef"), c))
	}
	return []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
}
