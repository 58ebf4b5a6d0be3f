package pack

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
)

// ignored tells what never belongs into a bundle.
func (o Options) ignored(name string, folder bool) bool {
	switch name {
	case ".DS_Store", "__MACOSX", ".git", "node_modules":
		return true
	}
	return !folder && !o.SourceMaps && isSourceMap(name)
}

// isSourceMap knows maps by the name of what they map: "main.js.map" is one, the
// "level1.map" of a game is not.
func isSourceMap(name string) bool {
	base, ok := strings.CutSuffix(strings.ToLower(name), ".map")
	if !ok {
		return false
	}
	for _, of := range []string{".js", ".mjs", ".cjs", ".css", ".ts", ".tsx", ".jsx", ".wasm"} {
		if strings.HasSuffix(base, of) {
			return true
		}
	}
	return false
}

// walker collects the files of a folder.
type walker struct {
	folder   *os.Root
	options  Options
	limits   manifest.Limits
	entries  []*entry
	folders  int
	ignored  []string
	warnings []Warning
}

// maxDiskPath stops the walk before the system does; what may be in a bundle is
// far shorter.
const maxDiskPath = 4 << 10

func (w *walker) walk(ctx context.Context) error {
	top, err := w.folder.Stat(".")
	if err != nil {
		return unreadable(".", err)
	}
	if err := w.dir(ctx, "", []fs.FileInfo{top}); err != nil {
		return err
	}
	slices.SortFunc(w.entries, func(a, b *entry) int { return strings.Compare(a.path, b.path) })
	return nil
}

// dir collects the files under the folder disk, "" for the top. above are the
// folders on the way down, with itself as the last.
func (w *walker) dir(ctx context.Context, disk string, above []fs.FileInfo) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.folders++; w.folders > w.limits.Files {
		return capstan.Errorf(capstan.CodeTooLarge, "there are more than %d folders; %s is the first above that", w.limits.Files, disk).On(disk)
	}
	list, err := w.list(disk)
	if err != nil {
		return err
	}
	for _, d := range list {
		path := d.Name()
		if disk != "" {
			path = disk + "/" + path
		}
		if err := w.visit(ctx, path, d, above); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) list(disk string) ([]fs.DirEntry, error) {
	if disk == "" {
		disk = "."
	}
	f, err := w.folder.Open(disk)
	if err != nil {
		return nil, unreadable(disk, err)
	}
	defer f.Close()
	list, err := f.ReadDir(-1)
	if err != nil {
		return nil, unreadable(disk, err)
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

func (w *walker) visit(ctx context.Context, path string, d fs.DirEntry, above []fs.FileInfo) error {
	if w.options.ignored(d.Name(), d.IsDir()) {
		w.ignore(path, d)
		return nil
	}
	if len(path) > maxDiskPath {
		return capstan.Errorf(capstan.CodePathRefused, "file name %.200q… is longer than %d bytes", path, maxDiskPath).On(path)
	}
	info, err := w.resolve(path, d)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		// Only a link can lead back up; the real folders are a tree.
		for _, a := range above {
			if os.SameFile(a, info) {
				return capstan.Errorf(capstan.CodePathRefused, "%s is a link to a folder that it stands in", path).On(path)
			}
		}
		return w.dir(ctx, path, append(slices.Clip(above), info))
	case !info.Mode().IsRegular():
		return capstan.Errorf(capstan.CodePathRefused, "%s is not a regular file (%s)", path, info.Mode().Type()).On(path)
	}
	if len(w.entries) >= w.limits.Files {
		return capstan.Errorf(capstan.CodeTooLarge, "the folder has more than %d files; %s is the first above that", w.limits.Files, path).On(path)
	}
	w.entries = append(w.entries, &entry{path: manifest.Normal(path), disk: path, size: info.Size()})
	return nil
}

// resolve follows a link, which the folder itself keeps from leaving it.
func (w *walker) resolve(path string, d fs.DirEntry) (fs.FileInfo, error) {
	if d.Type()&fs.ModeSymlink == 0 {
		info, err := d.Info()
		if err != nil {
			return nil, unreadable(path, err)
		}
		return info, nil
	}
	info, err := w.folder.Stat(path)
	if err != nil {
		target, _ := w.folder.Readlink(path)
		return nil, capstan.Errorf(capstan.CodePathRefused, "%s is a link to %q, which leaves the folder or does not exist: %w", path, target, err).On(path).
			Hint("replace the link by a copy of the file")
	}
	return info, nil
}

func (w *walker) ignore(path string, d fs.DirEntry) {
	if d.IsDir() {
		path += "/"
	}
	w.ignored = append(w.ignored, path)
	// Some web exports put fonts and images under a folder of this name; leaving
	// them out silently would be found out by users.
	if d.Name() == "node_modules" {
		w.warnings = append(w.warnings, Warning{"ignored_node_modules", path, path + " was left out; rename the folder if the app needs what is in it"})
	}
}

// unwrap takes away the one folder around everything, if index.html stands
// directly in it, and returns its name.
func (w *walker) unwrap() string {
	if len(w.entries) == 0 {
		return ""
	}
	wrapper, _, inside := strings.Cut(w.entries[0].path, "/")
	if !inside {
		return ""
	}
	prefix, hasIndex := wrapper+"/", false
	for _, e := range w.entries {
		if !strings.HasPrefix(e.path, prefix) {
			return ""
		}
		hasIndex = hasIndex || e.path == prefix+manifest.IndexFile
	}
	if !hasIndex {
		return ""
	}
	for _, e := range w.entries {
		e.path = strings.TrimPrefix(e.path, prefix)
	}
	return wrapper
}

// check refuses what can be refused without reading a file.
func (w *walker) check(dir string) error {
	m := make(capstan.Manifest, 0, len(w.entries))
	for _, e := range w.entries {
		m = append(m, capstan.File{Path: e.path, Digest: capstan.EmptyDigest, Size: e.size})
	}
	if err := manifest.Validate(m); err != nil {
		return err
	}
	if err := w.limits.CheckSizes(m); err != nil {
		return err
	}
	if !manifest.HasIndex(m) {
		return noIndex(dir, m)
	}
	return nil
}

// noIndex says where the index.html may be instead.
func noIndex(dir string, m capstan.Manifest) error {
	err := capstan.Errorf(capstan.CodeNoIndex, "there is no index.html at the root of %s", dir).On("folder")
	for _, f := range m {
		if strings.EqualFold(f.Path, manifest.IndexFile) {
			return err.Hint("rename " + f.Path + " to index.html: devices tell case apart")
		}
		if folder, ok := strings.CutSuffix(f.Path, "/"+manifest.IndexFile); ok {
			return err.Hint(fmt.Sprintf("capstan bundle upload -p %q", dir+"/"+folder))
		}
	}
	return err.Hint("give the folder of the web build: capstan bundle upload -p dist")
}
