package pack

import (
	"bytes"
	"io"

	"github.com/capstan-ota/capstan"
)

// Form says which stored form a file will get.
type Form string

const (
	// Plain files are stored as they are: brotli is not tried.
	Plain Form = "plain"
	// Tried files are compressed, and stored so when that saves enough.
	Tried Form = "tried"
	// Forced files are stored as brotli whatever it costs: empty ones, and those
	// whose own name ends in ".br".
	Forced Form = "forced"
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

// FormOf says which form a file of that name and size will get.
func FormOf(path string, size int64) Form { return Plain }

// Contents lists the distinct contents of m, in the order of their first path.
// A content that one of its paths forces into brotli is forced.
func Contents(m capstan.Manifest) []Content { return nil }

// Stored is a content in the form in which it is uploaded and served.
type Stored struct {
	Content
	Encoding  capstan.Encoding // Identity or Brotli
	Blob      capstan.Digest   // of the stored bytes
	BlobBytes int64
	open      func() (io.ReadCloser, error)
}

// Open returns the stored bytes, as often as it is called.
func (s *Stored) Open() (io.ReadCloser, error) { return s.open() }

// Compress returns the brotli form of plain at quality 11, verified by decoding
// it with another implementation.
func Compress(plain []byte) ([]byte, error) { return nil, nil }

// Decompress writes the plain bytes of the brotli stream r to w, at most limit
// bytes. More is [capstan.CodeTooLarge]; anything that is not one whole stream,
// or has bytes behind it, is [capstan.CodeInvalid].
func Decompress(w io.Writer, r io.Reader, limit int64) (n int64, err error) { return 0, nil }

// EmptyBrotli is the brotli form of nothing that every plugin knows
// (device-clients.md §7.3).
func EmptyBrotli() []byte { return bytes.Clone([]byte{0x1b, 0x00, 0x06}) }

// CRC32 is the checksum of old plugins: IEEE, 8 lower-case hex digits.
func CRC32(r io.Reader) (string, error) { return "", nil }
