package pack

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
)

// ExtractForeign unpacks the zip at name into the empty folder dir, so that it
// can be packed again by [Folder]. It reads zips of any tool, but no entry can
// leave dir, and links, encryption and what is above l are refused with
// [capstan.CodeArchiveUnsafe], [capstan.CodePathRefused] or
// [capstan.CodeTooLarge]; a file that is no zip with [capstan.CodeFolder]. What
// [Folder] would ignore is not unpacked. After an error dir holds a part of the
// files.
func ExtractForeign(ctx context.Context, name, dir string, l manifest.Limits) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("extract %s: %w", name, err)
	}
	defer root.Close()
	f, err := os.Open(name)
	if err != nil {
		return folderError(name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return folderError(name, err)
	}
	l = l.Resolve()
	if err := l.CheckArchiveBytes(info.Size()); err != nil {
		return err
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		return capstan.Errorf(capstan.CodeFolder, "%s is neither a folder nor a zip that can be read: %w", name, err).On("folder")
	}
	x := &extractor{root: root, limits: l, left: l.ExpandedBytes, zipBytes: info.Size()}
	return x.all(ctx, z.File)
}

// extractor writes the files of a zip that nobody vouches for.
type extractor struct {
	root     *os.Root
	limits   manifest.Limits
	left     int64 // bytes that may still be written
	zipBytes int64
	written  int64
	seen     capstan.Manifest
}

func (x *extractor) all(ctx context.Context, files []*zip.File) error {
	if len(files) > x.limits.Files {
		return capstan.Errorf(capstan.CodeTooLarge, "the zip has %d entries, at most %d are allowed", len(files), x.limits.Files).On("archive")
	}
	var wanted []*zip.File
	for _, f := range files {
		p, err := x.check(f)
		if err != nil {
			return err
		}
		if p != "" {
			wanted = append(wanted, f)
			x.seen = append(x.seen, capstan.File{Path: p, Digest: capstan.EmptyDigest})
		}
	}
	if err := manifest.Validate(x.seen); err != nil {
		return err
	}
	for i, f := range wanted {
		if err := x.write(ctx, x.seen[i].Path, f); err != nil {
			return err
		}
	}
	if x.limits.TotalRatioExceeded(x.written, x.zipBytes) {
		return refuse("total_ratio", "", 0, fmt.Sprintf("unpacks %d bytes to %d, more than %d times", x.zipBytes, x.written, x.limits.TotalRatio))
	}
	return nil
}

// check returns the path under which f is written, "" when it is left out.
func (x *extractor) check(f *zip.File) (string, error) {
	name := strings.TrimPrefix(f.Name, "./")
	mode := f.Mode()
	switch {
	case f.Flags&1 != 0:
		return "", refuse("encrypted", f.Name, 0, "is encrypted")
	case mode&fs.ModeSymlink != 0:
		return "", refuse("link", f.Name, 0, "is a symbolic link")
	case !mode.IsDir() && !mode.IsRegular():
		return "", refuse("special", f.Name, 0, "is a device, pipe or socket")
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return "", refuse("method", f.Name, 0, fmt.Sprintf("is packed by method %d; only stored and deflate are read", f.Method))
	}
	name = manifest.Normal(strings.TrimSuffix(name, "/"))
	if mode.IsDir() && (name == "" || name == ".") {
		return "", nil
	}
	if err := manifest.CheckPath(name); err != nil {
		return "", err
	}
	if mode.IsDir() || ignoredPath(name) {
		return "", nil
	}
	return name, nil
}

// ignoredPath leaves the choice about source maps to Folder.
func ignoredPath(name string) bool {
	for segment := range strings.SplitSeq(name, "/") {
		if (Options{SourceMaps: true}).ignored(segment, false) {
			return true
		}
	}
	return false
}

func (x *extractor) write(ctx context.Context, name string, f *zip.File) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := x.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("extract %s: %w", name, err)
	}
	out, err := x.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("extract %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	in, err := f.Open()
	if err != nil {
		return damaged(name, err)
	}
	defer in.Close()
	limit := min(x.limits.FileBytes, x.left)
	n, err := io.Copy(out, io.LimitReader(in, limit+1))
	x.left -= n
	x.written += n
	switch {
	case n > limit:
		return capstan.Errorf(capstan.CodeTooLarge, "%q in the zip unpacks to more than is allowed (%d bytes in one file, %d in all)", name, x.limits.FileBytes, x.limits.ExpandedBytes).On(name)
	case errors.Is(err, zip.ErrFormat), errors.Is(err, zip.ErrChecksum), err != nil && isDeflateError(err):
		return damaged(name, err)
	case err != nil:
		return fmt.Errorf("extract %s: %w", name, err)
	case x.limits.FileRatioExceeded(n, int64(f.CompressedSize64)):
		return refuse("file_ratio", name, 0, fmt.Sprintf("unpacks %d bytes to %d, more than %d times", f.CompressedSize64, n, x.limits.FileRatio))
	}
	return nil
}

func damaged(name string, err error) error {
	return capstan.Errorf(capstan.CodeArchiveUnsafe, "%q in the zip is damaged: %w", name, err).On(name)
}
