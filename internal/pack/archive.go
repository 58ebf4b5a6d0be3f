package pack

import (
	"context"
	"io"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
	"github.com/capstan-ota/capstan/internal/native"
)

// Unsafe is why a zip was refused: the cause of an error with
// [capstan.CodeArchiveUnsafe], found with [errors.AsType].
type Unsafe struct {
	Rule   string // stable id, such as "local_differs"
	Path   string // "" when it is about the whole zip
	Offset int64  // in the zip
	Why    string
}

func (u *Unsafe) Error() string { return u.Why }

// Archive is a zip in the canonical form. Its headers were checked when it was
// opened; its data is checked while it is read.
type Archive struct{}

// OpenArchive checks that r holds a zip of size bytes in the canonical form and
// within l. Errors: [capstan.CodeArchiveUnsafe] with an [Unsafe] as cause,
// [capstan.CodePathRefused], [capstan.CodeTooLarge], and those of r.
func OpenArchive(r io.ReaderAt, size int64, l manifest.Limits) (*Archive, error) { return nil, nil }

// Files lists the entries in order. Their digests are not known before the data
// was read and are empty.
func (a *Archive) Files() []capstan.File { return nil }

// Open reads the entry at i of Files. The reader verifies size, CRC-32 and the
// end of the deflate stream, and fails with [capstan.CodeArchiveUnsafe].
func (a *Archive) Open(i int) (io.ReadCloser, error) { return nil, nil }

// Verify reads every entry to its end and returns the manifest of what it read.
// visit, when not nil, is called with each file, in order, and may look into
// its content, which is kept in memory only as far as visit asks for it.
func (a *Archive) Verify(ctx context.Context, visit func(path string, c native.Content) error) (capstan.Manifest, error) {
	return nil, nil
}

// Checked is what [CheckArchive] found.
type Checked struct {
	Manifest capstan.Manifest
	Root     capstan.Digest
	CRC32    string // of the zip, for plugins before SHA-256
	Findings []native.Finding
}

// CheckArchive is all that a server does with a zip before it serves it: open
// it, read every entry, run the native gate on each. Errors are those of
// [OpenArchive], [Archive.Verify] and [native.Refuse], and
// [capstan.CodeNoIndex].
func CheckArchive(ctx context.Context, r io.ReaderAt, size int64, l manifest.Limits) (*Checked, error) {
	return nil, nil
}

// Agree reports with [capstan.CodeContentMismatch], and the differing paths as
// details, that a zip does not hold exactly the files of a manifest.
func Agree(archive, announced capstan.Manifest) error { return nil }

// ExtractForeign unpacks the zip at path into the empty folder dir, so that it
// can be packed again by [Folder]. It reads zips of any tool, but no entry can
// leave dir, and links, encryption and what is above l are refused with
// [capstan.CodeArchiveUnsafe], [capstan.CodePathRefused] or
// [capstan.CodeTooLarge].
func ExtractForeign(ctx context.Context, path, dir string, l manifest.Limits) error { return nil }
