package native

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
)

// inspector looks at the files of one top-level file.
type inspector struct {
	expand Expand
}

// file is where the inspector is.
type file struct {
	shown string // in findings: "outer.zip!inner/x.so"
	name  string // for the rules about names: "inner/x.so"
	depth int    // number of archives around it
	Content
}

func (in inspector) inspect(f file) ([]Finding, error) {
	head, err := readAt(f, 0, headBytes)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", f.shown, err)
	}
	found := byName(f.name)
	byContent, err := byMagic(f, head)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", f.shown, err)
	}
	found = append(found, byContent...)
	for i := range found {
		found[i].Path = f.shown
	}
	inside, err := in.archive(f, head)
	return append(found, inside...), err
}

// archiveMagics are the archives that are known by their first bytes.
var archiveMagics = []struct {
	prefix string
	format Format
}{
	{"PK\x03\x04", Zip},
	{"PK\x05\x06", Zip}, // an empty one
	{"PK\x07\x08", Zip}, // a split one
	{"\x1f\x8b", Gzip},
	{"\xfd7zXZ\x00", XZ},
	{"\x28\xb5\x2f\xfd", Zstd},
	{"7z\xbc\xaf\x27\x1c", SevenZip},
}

// archiveFormat says whether f is an archive. sure is false where only the name
// or the tail says so; then content that cannot be opened is no finding.
func archiveFormat(f file, head []byte) (format Format, sure bool, err error) {
	for _, m := range archiveMagics {
		if bytes.HasPrefix(head, []byte(m.prefix)) {
			return m.format, true, nil
		}
	}
	if tar, err := readAt(f, 257, 5); err != nil || string(tar) == "ustar" {
		return Tar, true, err
	}
	if strings.EqualFold(path.Ext(f.name), ".br") {
		return Br, false, nil
	}
	hidden, err := hasZipTail(f)
	if hidden {
		return Zip, false, err
	}
	return "", false, err
}

// hasZipTail finds a zip behind other bytes: readers look for its directory at
// the end, so an image with an app package appended is one to them.
func hasZipTail(c Content) (bool, error) {
	const endRecord, longestComment = 22, 1<<16 - 1
	from := max(0, c.Size()-endRecord-longestComment)
	tail, err := readAt(c, from, endRecord+longestComment)
	if err != nil {
		return false, err
	}
	i := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	return i >= 0 && len(tail)-i >= endRecord, nil
}

// errEnough stops the walk through an archive of which enough is known.
var errEnough = errors.New("enough is known")

// maxInside bounds the findings of one archive: a jar would otherwise report
// each of its thousand classes.
const maxInside = 8

// archive looks into f when it is an archive.
func (in inspector) archive(f file, head []byte) ([]Finding, error) {
	format, sure, err := archiveFormat(f, head)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", f.shown, err)
	}
	if format == "" || !sure && (in.expand == nil || f.depth >= MaxDepth) {
		return nil, nil
	}
	if in.expand == nil || f.depth >= MaxDepth {
		return f.closed("archive.depth", fmt.Sprintf("a %s archive inside %d others, which is not looked into", format, f.depth)), nil
	}
	var found []Finding
	err = in.expand(format, f, func(inner string, c Content) error {
		within, err := in.inner(f, inner, c)
		if err != nil {
			return err
		}
		if found = append(found, within...); len(Blocked(found)) >= maxInside {
			return errEnough
		}
		return nil
	})
	switch {
	case err == nil, errors.Is(err, errEnough):
		return found, nil
	case errors.Is(err, ErrTooMuch):
		return append(found, f.closed("archive.too-much", fmt.Sprintf("a %s archive that unpacks to more than is looked into", format))...), nil
	case errors.Is(err, ErrUnopenable) && sure:
		return append(found, f.closed("archive.unopenable", fmt.Sprintf("a %s archive that cannot be opened (damaged, encrypted or of another kind), so nobody can say what it holds", format))...), nil
	case errors.Is(err, ErrUnopenable):
		return found, nil
	}
	return nil, fmt.Errorf("look into %s: %w", f.shown, err)
}

// closed is the finding about an archive that stays closed.
func (f file) closed(rule, why string) []Finding {
	return []Finding{{Rule: rule, Path: f.shown, Kind: Archive, Severity: Block, Explanation: why}}
}

// inner looks at a file inside the archive outer. A compressed single file has
// the name of its container without the last extension, so that "lib.so.gz" is
// still named like a library.
func (in inspector) inner(outer file, inner string, c Content) ([]Finding, error) {
	if inner == "" {
		plain := strings.TrimSuffix(outer.name, path.Ext(outer.name))
		return in.inspect(file{shown: outer.shown, name: plain, depth: outer.depth + 1, Content: c})
	}
	f := file{shown: outer.shown + "!" + inner, name: inner, depth: outer.depth + 1, Content: c}
	found, err := in.inspect(f)
	if err != nil {
		return nil, err
	}
	if holds, ok := byInnerName(inner); ok {
		holds.Path = f.shown
		found = append([]Finding{holds}, found...)
	}
	return found, nil
}
