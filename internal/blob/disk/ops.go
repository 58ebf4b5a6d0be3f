package disk

import (
	"os"
	"runtime"
)

// ops are the calls whose order and whose errors carry the promise of
// durability. They are a seam for tests, which watch the order and make each
// of them fail; nothing else is replaced.
type ops struct {
	write   func(f *os.File, p []byte) (int, error)
	sync    func(f *os.File) error
	rename  func(root *os.Root, from, to string) error
	syncDir func(f *os.File, name string) error
}

func realOps() ops {
	return ops{
		write:   (*os.File).Write,
		sync:    (*os.File).Sync,
		rename:  (*os.Root).Rename,
		syncDir: syncDir,
	}
}

// syncDir makes the names in a directory durable. Windows has no such call:
// it refuses to flush a directory that is open for reading, and NTFS journals
// names by itself.
func syncDir(f *os.File, _ string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return f.Sync()
}
