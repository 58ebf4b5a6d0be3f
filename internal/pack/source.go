package pack

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"runtime"
	"time"

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

// LargeBytes is the size above which a file or a zip is warned about: iOS gives
// up on a request after 25 s, and 10 MB in 25 s need 3.2 Mbit/s.
const LargeBytes = 10_000_000

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

	folder  *os.Root
	files   map[string]*entry // by path in the bundle
	options Options
	workers int
}

// entry is one file of the folder and what it was when it was hashed.
type entry struct {
	path    string // in the bundle: NFC, without the wrapping folder
	disk    string // in the folder
	size    int64
	modTime time.Time
	digest  capstan.Digest
	crc32   uint32
}

// Folder walks dir and returns what a bundle of it would hold. Refusals are
// [capstan.Error] values that name the path: [capstan.CodeFolder] (missing, not
// a folder, a file that cannot be read), [capstan.CodePathRefused],
// [capstan.CodeNoIndex], [capstan.CodeNoNotify], [capstan.CodeTooLarge],
// [capstan.CodeFileChanged], [capstan.CodeNativeCode].
func Folder(ctx context.Context, dir string, o Options) (*Source, error) {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return nil, folderError(dir, err)
	}
	s := &Source{folder: folder, options: o, workers: o.Workers}
	if s.workers <= 0 {
		s.workers = runtime.GOMAXPROCS(0)
	}
	if err := s.load(ctx, dir); err != nil {
		folder.Close()
		return nil, err
	}
	return s, nil
}

// load does the work of Folder, cheap checks first.
func (s *Source) load(ctx context.Context, dir string) error {
	w := &walker{folder: s.folder, options: s.options, limits: s.options.Limits.Resolve()}
	if err := w.walk(ctx); err != nil {
		return err
	}
	s.Ignored, s.Warnings = w.ignored, w.warnings
	s.Wrapper = w.unwrap()
	if err := w.check(dir); err != nil {
		return err
	}
	seen, err := s.hash(ctx, w.entries)
	if err != nil {
		return err
	}
	s.index(w.entries)
	s.Findings = seen.findings
	if err := native.Refuse(s.Findings); err != nil {
		return err
	}
	// Once more with the sizes that were really read: a file may have grown since
	// the walk.
	if err := s.options.Limits.CheckSizes(s.Manifest); err != nil {
		return err
	}
	if !seen.notify && !s.options.NoCodeCheck {
		return capstan.Errorf(capstan.CodeNoNotify, "no .js, .mjs, .cjs or .html file in %s calls notifyAppReady, so every device would take the bundle for broken and roll it back", dir).
			On("folder").Hint("call CapacitorUpdater.notifyAppReady() when the app has started", "capstan bundle upload --no-code-check")
	}
	s.warn()
	return nil
}

// index fills in what is derived from the hashed entries, which are sorted.
func (s *Source) index(entries []*entry) {
	s.files = make(map[string]*entry, len(entries))
	s.Manifest = make(capstan.Manifest, 0, len(entries))
	for _, e := range entries {
		s.files[e.path] = e
		s.Manifest = append(s.Manifest, capstan.File{Path: e.path, Digest: e.digest, Size: e.size})
	}
	s.Root = manifest.Root(s.Manifest)
	s.Bytes = manifest.Bytes(s.Manifest)
}

func (s *Source) warn() {
	for _, f := range s.Manifest {
		if f.Size > LargeBytes {
			s.Warnings = append(s.Warnings, Warning{"large_file", f.Path, f.Path + " is larger than 10 MB: iOS gives up on a download after 25 s"})
		}
	}
	for _, f := range s.Findings {
		if f.Severity == native.Warn {
			s.Warnings = append(s.Warnings, Warning{f.Rule, f.Path, f.String()})
		}
	}
}

func (s *Source) progress(bytes int64) {
	if s.options.Progress != nil {
		s.options.Progress(bytes)
	}
}

// Close releases the folder.
func (s *Source) Close() error { return s.folder.Close() }

// Contents lists the distinct contents of s: what to ask the server for.
func (s *Source) Contents() []Content { return Contents(s.Manifest) }

// Open reads one file of the manifest by its path in the bundle. It and the
// reader fail with [capstan.CodeFileChanged] when the file is not the one that
// was hashed; the reader notices at the latest with the last byte.
func (s *Source) Open(path string) (io.ReadCloser, error) {
	e, ok := s.files[path]
	if !ok {
		return nil, capstan.Errorf(capstan.CodeFolder, "%q is not a file of the bundle", path).On(path)
	}
	f, err := s.folder.Open(e.disk)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, changed(e.path, "is gone")
	}
	if err != nil {
		return nil, unreadable(e.path, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, unreadable(e.path, err)
	}
	if info.Size() != e.size || !info.ModTime().Equal(e.modTime) {
		f.Close()
		return nil, changed(e.path, "has another size or time")
	}
	return &verified{file: f, entry: e, sum: sha256.New(), left: e.size}, nil
}

// verified reads a file that must still be what it was when it was hashed. The
// file is not embedded: by WriteTo, or by sendfile through SyscallConn, its
// bytes would be copied past the check.
type verified struct {
	file  *os.File
	entry *entry
	sum   hash.Hash
	left  int64
}

// Close implements io.Closer.
func (v *verified) Close() error { return v.file.Close() }

// Read implements io.Reader.
func (v *verified) Read(p []byte) (int, error) {
	n, err := v.file.Read(p)
	v.sum.Write(p[:n])
	v.left -= int64(n)
	switch {
	case err != nil && err != io.EOF:
		return n, unreadable(v.entry.path, err)
	case v.left < 0, err == io.EOF && v.left > 0:
		return 0, changed(v.entry.path, "has another size")
	case v.left == 0 && capstan.DigestSum(v.sum.Sum(nil)) != v.entry.digest:
		return 0, changed(v.entry.path, "has other content")
	}
	return n, err
}

func changed(path, how string) error {
	return capstan.Errorf(capstan.CodeFileChanged, "%s changed while it was being packed: it %s", path, how).On(path).
		Hint("stop the build that writes there and run the command again")
}

func unreadable(path string, err error) error {
	return capstan.Errorf(capstan.CodeFolder, "%s cannot be read: %w", path, err).On(path)
}

func folderError(dir string, err error) error {
	why := "cannot be read"
	if errors.Is(err, fs.ErrNotExist) {
		why = "does not exist"
	} else if info, statErr := os.Stat(dir); statErr == nil && !info.IsDir() {
		why = "is not a folder"
	}
	return capstan.Errorf(capstan.CodeFolder, "%s %s: %w", dir, why, err).On("folder").
		Hint("build the web app first, or name the folder: capstan bundle upload -p dist")
}
