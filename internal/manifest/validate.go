package manifest

import (
	"strings"

	"github.com/capstan-ota/capstan"
)

// Validate reports the first file of m that cannot stand in a bundle, with
// [capstan.CodePathRefused]: a bad name, two names that are one on some device,
// or a file that is also a folder. Digests and sizes must have their form, else
// [capstan.CodeInvalid]. It does not look at limits; see [Limits.CheckSizes].
func Validate(m capstan.Manifest) error {
	seen := make(map[string]string, len(m)) // folded path → path
	for _, f := range m {
		if err := CheckPath(f.Path); err != nil {
			return err
		}
		if _, err := capstan.ParseDigest(string(f.Digest)); err != nil || f.Size < 0 {
			return capstan.Errorf(capstan.CodeInvalid, "%q has no digest or a negative size", f.Path).On(f.Path)
		}
		key := Fold(f.Path)
		if other, dup := seen[key]; dup {
			return clash(f.Path, other, "are one file after Unicode normalisation and case folding")
		}
		seen[key] = f.Path
	}
	for _, f := range m {
		key := Fold(f.Path)
		for i, c := range key {
			if c != '/' {
				continue
			}
			if other, dup := seen[key[:i]]; dup {
				return clash(f.Path, other, "cannot both exist: one is a file, the other needs it as a folder")
			}
		}
	}
	return nil
}

func clash(path, other, why string) error {
	err := capstan.Errorf(capstan.CodePathRefused, "%q and %q %s", other, path, why).On(path)
	err.Details = []string{other, path}
	return err
}

// ValidateWire reports two stored files that reach a device under the same
// target, with [capstan.CodePathRefused]. Plugins strip one suffix ".br" from
// the name that a manifest announces, and from 8.51.22 on they refuse two
// entries with one target (device-clients.md §7.1): a real "x.br" must
// therefore be sent as "x.br.br", and never as it is.
func ValidateWire(files []capstan.StoredFile) error {
	seen := make(map[string]string, len(files))
	for _, f := range files {
		wire := f.WireName()
		target := strings.TrimSuffix(wire, ".br")
		if target != f.Path {
			return capstan.Errorf(capstan.CodePathRefused, "%q would be sent as %q and arrive as %q", f.Path, wire, target).On(f.Path)
		}
		key := Fold(target)
		if other, dup := seen[key]; dup {
			return clash(f.Path, other, "would reach a device as one file")
		}
		seen[key] = f.Path
	}
	return nil
}

// HasIndex reports whether m has an index.html at its root, without which no
// plugin starts a bundle (device-clients.md §6.3).
func HasIndex(m capstan.Manifest) bool {
	for _, f := range m {
		if f.Path == IndexFile {
			return true
		}
	}
	return false
}

// IndexFile is the file that every bundle must have.
const IndexFile = "index.html"
