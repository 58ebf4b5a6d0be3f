package sim

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// tree is an unpacked archive.
type tree struct {
	files map[string][]byte
	dirs  map[string]bool
	left  int64 // bytes that may still be added
}

func newTree(l limits) *tree {
	return &tree{files: map[string][]byte{}, dirs: map[string]bool{}, left: l.plain}
}

// pathError is a name for which the whole bundle is refused.
type pathError struct{ action, name string }

func (e *pathError) Error() string { return fmt.Sprintf("%s: %q", e.action, bounded(e.name)) }

// landing returns where a name of an archive or manifest ends up, relative to
// the bundle (§6.3). From 8.51.22 on (strict) any ".." segment is refused, and
// a name that means the folder itself.
func landing(name string, strict bool) (string, error) {
	if strings.Contains(name, `\`) {
		return "", &pathError{"windows_path_fail", name}
	}
	outside := &pathError{"canonical_path_fail", name}
	if name == "" || strings.ContainsRune(name, 0) || strings.HasPrefix(name, "/") {
		return "", outside
	}
	if strict && slices.Contains(strings.Split(name, "/"), "..") {
		return "", outside
	}
	rel := path.Clean(name)
	if rel == ".." || strings.HasPrefix(rel, "../") || strict && rel == "." {
		return "", outside
	}
	return rel, nil
}

// electronLanding is extract-zip's rule (§6.3).
func electronLanding(name string) (string, error) {
	if name == "" || path.IsAbs(name) || slices.Contains(strings.Split(name, "/"), "..") {
		return "", &pathError{"canonical_path_fail", name}
	}
	return path.Clean(name), nil
}

func (t *tree) add(rel string, directory bool, data []byte) error {
	if directory {
		if rel != "." {
			t.dirs[rel] = true
		}
		return nil
	}
	if rel == "." {
		return errors.New("a file cannot replace the bundle's folder")
	}
	if t.left -= int64(len(data)); t.left < 0 {
		return errTooLarge
	}
	t.files[rel] = data
	return nil
}

func (t *tree) isFile(name string) bool { _, ok := t.files[name]; return ok }

// top returns the names at the first level.
func (t *tree) top(skip func(string) bool) []string {
	names := map[string]bool{}
	collect := func(p string) {
		first, _, _ := strings.Cut(p, "/")
		if !skip(first) {
			names[first] = true
		}
	}
	for p := range t.files {
		collect(p)
	}
	for p := range t.dirs {
		collect(p)
	}
	return slices.Collect(maps.Keys(names))
}

// below returns what is inside a folder.
func (t *tree) below(dir string) *tree {
	sub := newTree(limits{})
	for p, data := range t.files {
		if rest, ok := strings.CutPrefix(p, dir+"/"); ok {
			sub.files[rest] = data
		}
	}
	return sub
}

// flattenAndroid takes a single top-level folder as the root; hidden names and
// __MACOSX do not count. An empty folder is a failure (§3.4, §6.3).
func (t *tree) flattenAndroid() (*tree, error) {
	top := t.top(func(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "__MACOSX") })
	switch {
	case len(top) == 0:
		return nil, errors.New("empty folder")
	case len(top) == 1 && !t.isFile(top[0]):
		return t.below(top[0]), nil
	}
	return t, nil
}

// flattenIOS does so only when nothing at all stands beside the folder.
func (t *tree) flattenIOS() *tree {
	top := t.top(func(string) bool { return false })
	if len(top) == 1 && !t.isFile(top[0]) {
		return t.below(top[0])
	}
	return t
}

// unzipStream reads local headers in the order of the stream, as
// java.util.zip.ZipInputStream does: it never sees the central directory,
// cannot skip a stored entry whose size comes after it, and checks sizes and
// CRC (§6.3).
func unzipStream(data []byte, strict bool, l limits) (*tree, error) {
	t := newTree(l)
	r := bytes.NewReader(data)
	for {
		e, err := readLocal(r)
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		rel, err := landing(e.name, strict)
		if err != nil {
			return nil, err
		}
		content, err := e.content(r, min(l.file, t.left))
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", bounded(e.name), err)
		}
		if err := t.add(rel, strings.HasSuffix(e.name, "/"), content); err != nil {
			return nil, err
		}
	}
}

// local is a local file header.
type local struct {
	flags, method uint16
	crc           uint32
	packed, size  uint32
	name          string
}

const (
	localSignature      = 0x04034b50
	descriptorSignature = 0x08074b50
	flagEncrypted       = 1
	flagDescriptor      = 8
)

// readLocal reads the next header; anything that is none ends the entries.
func readLocal(r *bytes.Reader) (local, error) {
	var h [30]byte
	if _, err := io.ReadFull(r, h[:]); err != nil || binary.LittleEndian.Uint32(h[:]) != localSignature {
		return local{}, io.EOF
	}
	le := binary.LittleEndian
	e := local{
		flags: le.Uint16(h[6:]), method: le.Uint16(h[8:]),
		crc: le.Uint32(h[14:]), packed: le.Uint32(h[18:]), size: le.Uint32(h[22:]),
	}
	rest := make([]byte, int(le.Uint16(h[26:]))+int(le.Uint16(h[28:])))
	if _, err := io.ReadFull(r, rest); err != nil {
		return local{}, fmt.Errorf("read name: %w", err)
	}
	e.name = string(rest[:le.Uint16(h[26:])])
	switch {
	case e.flags&flagEncrypted != 0:
		return local{}, errors.New("encrypted ZIP entry not supported")
	case e.flags&flagDescriptor != 0 && e.method != zip.Deflate:
		return local{}, errors.New("only DEFLATED entries can have EXT descriptor")
	case e.method != zip.Deflate && e.method != zip.Store:
		return local{}, errors.New("unsupported compression method")
	}
	return e, nil
}

func (e *local) content(r *bytes.Reader, limit int64) ([]byte, error) {
	var data []byte
	if e.method == zip.Store {
		if int64(e.size) > int64(r.Len()) {
			return nil, io.ErrUnexpectedEOF
		}
		data = make([]byte, e.size)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, err
		}
	} else {
		before := r.Len()
		// A bytes.Reader is an io.ByteReader: flate takes no byte too many.
		var err error
		if data, err = readAllBounded(flate.NewReader(r), limit); err != nil {
			return nil, err
		}
		if e.flags&flagDescriptor != 0 {
			if err := e.readDescriptor(r, before-r.Len(), len(data)); err != nil {
				return nil, err
			}
		}
		if int64(e.size) != int64(len(data)) {
			return nil, fmt.Errorf("invalid entry size (expected %d but got %d bytes)", e.size, len(data))
		}
	}
	if crc := crc32.ChecksumIEEE(data); crc != e.crc {
		return nil, fmt.Errorf("invalid entry CRC (expected %#x but got %#x)", e.crc, crc)
	}
	return data, nil
}

// readDescriptor takes CRC and sizes from behind the data, with or without
// signature; sizes have 8 bytes when one does not fit in 4.
func (e *local) readDescriptor(r *bytes.Reader, packed, size int) error {
	n := 12
	if packed > 1<<32-1 || size > 1<<32-1 {
		n = 20
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b) == descriptorSignature {
		var rest [4]byte
		if _, err := io.ReadFull(r, rest[:]); err != nil {
			return err
		}
		b = append(b[4:], rest[:]...)
	}
	e.crc = binary.LittleEndian.Uint32(b)
	e.size = binary.LittleEndian.Uint32(b[4+(n-4)/2:])
	return nil
}

// unzipCentral reads by the central directory and checks no CRC, as
// ZIPFoundation and extract-zip do (§6.3).
func unzipCentral(data []byte, land func(string) (string, error), l limits) (*tree, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, err
	}
	t := newTree(l)
	links := map[string]string{}
	for _, f := range z.File {
		rel, err := land(f.Name)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(f.Name, "/") {
			if err := t.add(rel, true, nil); err != nil {
				return nil, err
			}
			continue
		}
		content, err := readRaw(f, min(l.file, t.left))
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", bounded(f.Name), err)
		}
		if f.Mode()&fs.ModeSymlink != 0 {
			links[rel] = string(content)
			continue
		}
		if err := t.add(rel, false, content); err != nil {
			return nil, err
		}
	}
	return t, t.follow(links)
}

// readRaw unpacks an entry without looking at its CRC.
func readRaw(f *zip.File, limit int64) ([]byte, error) {
	if f.Flags&flagEncrypted != 0 {
		return nil, errors.New("encrypted entry")
	}
	raw, err := f.OpenRaw()
	if err != nil {
		return nil, err
	}
	switch f.Method {
	case zip.Store:
	case zip.Deflate:
		raw = flate.NewReader(raw)
	default:
		return nil, errors.New("unsupported compression method")
	}
	return readAllBounded(raw, limit)
}

// follow gives symbolic links the content of their target, which must lie
// inside the link's own folder (§6.3).
func (t *tree) follow(links map[string]string) error {
	for name, target := range links {
		dir := path.Dir(name)
		at := path.Join(dir, target)
		if path.IsAbs(target) || dir != "." && !strings.HasPrefix(at, dir+"/") || at == ".." || strings.HasPrefix(at, "../") {
			return &pathError{"canonical_path_fail", name + " -> " + target}
		}
		if data, ok := t.files[at]; ok {
			t.files[name] = data
		}
	}
	return nil
}
