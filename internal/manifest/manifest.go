package manifest

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"

	"github.com/capstan-ota/capstan"
)

// Header is the first line of the canonical text.
const Header = "capstan manifest v1"

// Sort orders m by the bytes of the path, in place.
func Sort(m capstan.Manifest) {
	slices.SortFunc(m, func(a, b capstan.File) int { return strings.Compare(a.Path, b.Path) })
}

// Encode returns the canonical text of m. It sorts a copy where m is not in
// order; it does not validate.
func Encode(m capstan.Manifest) []byte {
	m = sorted(m)
	text := make([]byte, 0, len(Header)+1+len(m)*120)
	text = append(append(text, Header...), '\n')
	for _, f := range m {
		text = appendLine(text, f)
	}
	return text
}

// Root returns the identity of the bundle that holds the files of m.
func Root(m capstan.Manifest) capstan.Digest {
	h := sha256.New()
	h.Write([]byte(Header + "\n"))
	var line []byte
	for _, f := range sorted(m) {
		line = appendLine(line[:0], f)
		h.Write(line)
	}
	return capstan.DigestSum(h.Sum(nil))
}

func appendLine(b []byte, f capstan.File) []byte {
	b = append(append(b, f.Digest...), ' ')
	b = append(strconv.AppendInt(b, f.Size, 10), ' ')
	return append(append(b, f.Path...), '\n')
}

func sorted(m capstan.Manifest) capstan.Manifest {
	byPath := func(a, b capstan.File) int { return strings.Compare(a.Path, b.Path) }
	if slices.IsSortedFunc(m, byPath) {
		return m
	}
	m = slices.Clone(m)
	slices.SortFunc(m, byPath)
	return m
}

// Parse reads a canonical text. Anything but the one text that [Encode] makes
// of the result is refused with [capstan.CodeInvalid], and a bad name with
// [capstan.CodePathRefused]: two texts for one manifest would be two roots.
func Parse(text []byte) (capstan.Manifest, error) {
	rest, found := bytes.CutPrefix(text, []byte(Header+"\n"))
	if !found {
		return nil, capstan.Errorf(capstan.CodeInvalid, "manifest does not begin with %q", Header).On("manifest")
	}
	var m capstan.Manifest
	for n := 2; len(rest) > 0; n++ {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		f, ok := parseLine(string(line))
		if !ended || !ok {
			return nil, capstan.Errorf(capstan.CodeInvalid, "manifest line %d is not \"<digest> <size> <path>\": %.200q", n, line).On("manifest")
		}
		if len(m) > 0 && m[len(m)-1].Path >= f.Path {
			return nil, capstan.Errorf(capstan.CodeInvalid, "manifest line %d is out of order: %.200q", n, f.Path).On("manifest")
		}
		m, rest = append(m, f), after
	}
	return m, Validate(m)
}

func parseLine(line string) (f capstan.File, ok bool) {
	digest, rest, _ := strings.Cut(line, " ")
	size, path, found := strings.Cut(rest, " ")
	d, err := capstan.ParseDigest(digest)
	if err != nil || !found {
		return f, false
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != size {
		return f, false
	}
	return capstan.File{Path: path, Digest: d, Size: n}, true
}

// Bytes is the sum of the plain sizes of m.
func Bytes(m capstan.Manifest) int64 {
	var sum int64
	for _, f := range m {
		sum += f.Size
	}
	return sum
}
