package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// disk is where a device keeps bundles, cache and state. Names are relative,
// slash-separated and already clean; a missing name gives fs.ErrNotExist.
type disk interface {
	write(name string, data []byte) error
	read(name string) ([]byte, error)
	remove(prefix string) error // the name and everything below it; a missing one is no error
	list(dir string) []string   // names below dir, relative to it, sorted
}

// memory is a disk that lasts as long as the device. It keeps the slices that
// it is given: nobody writes into them afterwards.
type memory map[string][]byte

func (m memory) write(name string, data []byte) error { m[name] = data; return nil }

func (m memory) read(name string) ([]byte, error) {
	data, ok := m[name]
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	return data, nil
}

func (m memory) remove(prefix string) error {
	for name := range m {
		if name == prefix || strings.HasPrefix(name, prefix+"/") {
			delete(m, name)
		}
	}
	return nil
}

func (m memory) list(dir string) []string {
	var names []string
	for name := range m {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return names
}

// folder is a disk in a directory that outlives the device. os.Root keeps a
// bundle's names inside it whatever they say.
type folder struct{ root *os.Root }

func openFolder(dir string) (folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return folder{}, fmt.Errorf("make device directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return folder{}, fmt.Errorf("open device directory: %w", err)
	}
	return folder{root}, nil
}

func (f folder) write(name string, data []byte) error {
	name = filepath.FromSlash(name)
	if err := f.root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return f.root.WriteFile(name, data, 0o600)
}

func (f folder) read(name string) ([]byte, error) {
	return f.root.ReadFile(filepath.FromSlash(name))
}

func (f folder) remove(prefix string) error { return f.root.RemoveAll(filepath.FromSlash(prefix)) }

func (f folder) list(dir string) []string {
	var names []string
	// What cannot be read is as good as missing to a device.
	_ = fs.WalkDir(f.root.FS(), dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, strings.TrimPrefix(p, dir+"/"))
		}
		return nil
	})
	slices.Sort(names)
	return names
}

// Names on the disk.
const (
	stateName  = "state.json"
	cacheDir   = "cache"
	partialDir = "partial"
)

func bundleName(id, file string) string { return path.Join("versions", id, file) }
func tempName(id string) string         { return path.Join("temp", id) }

func exists(d disk, name string) bool {
	_, err := d.read(name)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}
