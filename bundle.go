package capstan

import (
	"strings"
	"time"
)

// BundleState says how much of a bundle there is.
type BundleState string

const (
	// BundleReady has every byte; only such a bundle can be released.
	BundleReady BundleState = "ready"
	// BundleGone keeps its row and record; its bytes were collected.
	BundleGone BundleState = "gone"
)

// Bundle is immutable web content under a version name. Its identity is its
// manifest root; the archive is derived from it.
type Bundle struct {
	ID      string // UUIDv7, made in Go
	App     string
	Version string // opaque to devices, strict semver for us, unique in its app for ever
	Root    Digest // manifest root
	State   BundleState

	Archive      Digest // SHA-256 of the canonical zip
	ArchiveBytes int64
	ArchiveCRC32 string // IEEE, 8 lower-case hex digits, for plugins before SHA-256 (device-clients.md §6.4)

	FileCount int
	SizeBytes int64 // sum of the plain sizes of all files

	// DeltaOffered says whether plugins that can read manifests get one. It is
	// decided when the bundle becomes ready and never changed, since a version
	// must always be answered the same way (device-clients.md §3.5).
	DeltaOffered bool

	// NativeMin is, per platform, the lowest native version that can run this
	// bundle. A platform without entry has no lower bound.
	NativeMin map[Platform]string

	KeyID   string // first 20 characters of the public key's base64 body; "" when not sealed
	Link    string
	Comment string

	CreatedAt time.Time
	CreatedBy string
	Number    int64 // of the last change that touched this bundle: its ETag
}

// MaxDeltaFiles is the largest manifest that is offered; above it devices get
// the zip alone. A 1 000-file manifest is about 240 kB of JSON.
const MaxDeltaFiles = 1000

// File is one path of a bundle.
type File struct {
	Path   string `json:"path"`   // relative, "/"-separated, NFC
	Digest Digest `json:"digest"` // of the plain content
	Size   int64  `json:"size"`   // bytes of the plain content
}

// Manifest lists every file of a bundle, ordered by the bytes of the path.
// internal/manifest encodes it and computes its root.
type Manifest []File

// Encoding is how the bytes of a file are stored and sent.
type Encoding string

const (
	Identity Encoding = "identity"
	Brotli   Encoding = "br"
	// Archive marks a canonical zip, which stands beside the files.
	Archive Encoding = "zip"
)

// StoredFile is a file of a bundle together with the blob that carries it.
type StoredFile struct {
	File
	Encoding  Encoding
	Blob      Digest // of the stored bytes; equals Digest for Identity
	BlobBytes int64
}

// WireName is the name under which a manifest announces the file: brotli
// bytes carry a suffix that the plugins strip (device-clients.md §7.1).
func (f StoredFile) WireName() string {
	if f.Encoding == Brotli {
		return f.Path + ".br"
	}
	return f.Path
}

// ValidateBundleVersion checks a version name: strict semver above 0.0.0, at
// most 64 bytes, none of the names that plugins reserve. Semver has no quotes,
// backslashes or control characters, which Android's bundle records cannot
// hold (device-clients.md §12.4).
func ValidateBundleVersion(s string) error {
	v, ok := ParseVersion(s)
	switch {
	case len(s) > 64:
		return Errorf(CodeInvalid, "version %.80q is longer than 64 bytes", s).On("version")
	case !ok:
		return Errorf(CodeInvalid, "version %q is not a semantic version", s).On("version").
			Hint("use three numbers such as 1.4.2: capstan bundle upload -b 1.4.2")
	case v.Major == 0 && v.Minor == 0 && v.Patch == 0:
		return Errorf(CodeInvalid, "version %q is not above 0.0.0", s).On("version").
			Hint("capstan bundle upload -b 0.0.1")
	}
	return nil
}

// Validate reports the first thing that is wrong with b.
func (b Bundle) Validate() error {
	if err := ValidateBundleVersion(b.Version); err != nil {
		return err
	}
	for p, v := range b.NativeMin {
		if !p.Known() {
			return Errorf(CodeInvalid, "platform %q is not one of ios, android, electron", string(p)).On("native_min")
		}
		if _, ok := ParseVersion(v); !ok {
			return Errorf(CodeInvalid, "minimum native version %q is not a semantic version", v).On("native_min").
				Hint("capstan bundle upload --min-update-version 1.4.0")
		}
	}
	if b.Link != "" && !strings.HasPrefix(b.Link, "https://") && !strings.HasPrefix(b.Link, "http://") || len(b.Link) > 2048 {
		return Errorf(CodeInvalid, "link %.100q is not an http(s) address of at most 2048 bytes", b.Link).On("link")
	}
	if len(b.Comment) > 2048 {
		return Errorf(CodeInvalid, "comment is %d bytes long, at most 2048 are kept", len(b.Comment)).On("comment")
	}
	if len(b.KeyID) > 20 {
		return Errorf(CodeInvalid, "key id %.40q is longer than 20 characters", b.KeyID).On("key_id")
	}
	return nil
}
