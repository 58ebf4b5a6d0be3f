package pack

import (
	"context"
	"io"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
	"github.com/capstan-ota/capstan/internal/native"
)

// Options of [Folder]. The zero value is what the CLI uses without flags.
type Options struct {
	SourceMaps  bool            // pack *.js.map, *.css.map and their kin too
	NoCodeCheck bool            // do not insist on a call of notifyAppReady
	Limits      manifest.Limits // zero fields mean their defaults
	Workers     int             // files read or compressed at once; 0 means one per CPU
	// Progress is called from several goroutines with the plain bytes that were
	// hashed, deflated or compressed since the last call. May be nil.
	Progress func(bytes int64)
}

// Warning is something that passes and that people should know.
type Warning struct {
	Rule    string `json:"rule"` // stable id, such as "large_file"
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

// Source is a folder that was walked, checked and hashed. It is safe for
// concurrent use and holds the folder open until Close.
type Source struct {
	Manifest capstan.Manifest // every file that will be in the bundle, ordered by path
	Root     capstan.Digest   // its root: the identity of the bundle
	Bytes    int64            // sum of the plain sizes
	Wrapper  string           // name of the one folder around everything, "" when there was none
	Ignored  []string         // what was left out, by path; a folder ends in "/"
	Findings []native.Finding // of the native gate; none of them blocks
	Warnings []Warning
}

// Folder walks dir and returns what a bundle of it would hold. Refusals are
// [capstan.Error] values that name the path: [capstan.CodeFolder] (missing, not
// a folder, a file that cannot be read), [capstan.CodePathRefused],
// [capstan.CodeNoIndex], [capstan.CodeNoNotify], [capstan.CodeTooLarge],
// [capstan.CodeFileChanged], [capstan.CodeNativeCode].
func Folder(ctx context.Context, dir string, o Options) (*Source, error) {
	return nil, capstan.Errorf(capstan.CodeFolder, "%s cannot be read", dir)
}

// Close releases the folder.
func (s *Source) Close() error { return nil }

// Open reads one file of the manifest by its path in the bundle. The reader
// fails with [capstan.CodeFileChanged] at its end when the bytes are not those
// that were hashed.
func (s *Source) Open(path string) (io.ReadCloser, error) { return nil, nil }

// ArchiveInfo is what a bundle records about its zip.
type ArchiveInfo struct {
	Digest   capstan.Digest
	Bytes    int64
	CRC32    string // IEEE, 8 lower-case hex digits, for plugins before SHA-256 (device-clients.md §6.4)
	Warnings []Warning
}

// WriteArchive writes the canonical zip of s to w. The same files give the same
// bytes on every machine and run of this version. Memory is bounded whatever
// the size of the files. Errors: [capstan.CodeFileChanged],
// [capstan.CodeTooLarge], those of w, and that of ctx.
func (s *Source) WriteArchive(ctx context.Context, w io.Writer) (ArchiveInfo, error) {
	return ArchiveInfo{}, nil
}

// Contents lists the distinct contents of s: what to ask the server for.
func (s *Source) Contents() []Content { return Contents(s.Manifest) }

// Encode makes the stored form of one content of s.
func (s *Source) Encode(ctx context.Context, c Content) (*Stored, error) { return nil, nil }

// EncodeAll makes the stored form of each of contents and hands it to send,
// from up to senders goroutines at once, so that the network and the CPUs work
// at the same time. The first error stops everything and is returned.
func (s *Source) EncodeAll(ctx context.Context, contents []Content, senders int, send func(context.Context, *Stored) error) error {
	return nil
}
