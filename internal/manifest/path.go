package manifest

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/capstan-ota/capstan"
)

const (
	// MaxPathBytes bounds a whole path.
	MaxPathBytes = 512
	// MaxSegmentBytes bounds one name in it: the limit of ext4 and of APFS.
	MaxSegmentBytes = 255
)

// Normal returns path in NFC, the form that goes over the wire. macOS hands out
// decomposed names; "ü" of a Mac and "ü" of a Linux build are then the same file.
func Normal(path string) string { return norm.NFC.String(path) }

// CheckPath reports why path cannot be installed on every device, with
// [capstan.CodePathRefused] and the path as the error's field. Spaces, "#",
// "%", "?", umlauts and emoji are all fine.
func CheckPath(path string) error {
	if why := pathFault(path); why != "" {
		return capstan.Errorf(capstan.CodePathRefused, "file name %.600q %s", path, why).On(path)
	}
	return nil
}

func pathFault(path string) string {
	switch {
	case path == "":
		return "is empty"
	case !utf8.ValidString(path):
		return "is not valid UTF-8"
	case len(path) > MaxPathBytes:
		return "is longer than 512 bytes"
	case strings.ContainsFunc(path, unicode.IsControl):
		return "holds a control character"
	case strings.Contains(path, `\`):
		return "holds a backslash, which Windows takes for a folder and the plugins refuse"
	case strings.Contains(path, ":"):
		return "holds a colon, which Windows takes for a drive or a stream"
	case path[0] == '/':
		return "is absolute"
	case !norm.NFC.IsNormalString(path):
		return "is not in Unicode normal form NFC"
	}
	for segment := range strings.SplitSeq(path, "/") {
		if why := segmentFault(segment); why != "" {
			return why
		}
	}
	return ""
}

func segmentFault(s string) string {
	switch {
	case s == "":
		return "has an empty segment"
	case s == "." || s == "..":
		return `has a "` + s + `" segment`
	case len(s) > MaxSegmentBytes:
		return "has a segment longer than 255 bytes"
	case s[len(s)-1] == '.':
		return "has a segment that ends in a dot, which Windows drops"
	case s[len(s)-1] == ' ':
		return "has a segment that ends in a space, which Windows drops"
	case isDeviceName(s):
		return "is the name of a Windows device"
	}
	return ""
}

// isDeviceName knows the names that Windows opens as devices, in any folder and
// with any extension: "aux.js" is one.
func isDeviceName(segment string) bool {
	base, _, _ := strings.Cut(segment, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	for _, port := range []string{"COM", "LPT"} {
		if n, ok := strings.CutPrefix(base, port); ok && isPortNumber(n) {
			return true
		}
	}
	return false
}

// isPortNumber holds for 0–9 and for the superscript digits, which Windows
// reads as digits too.
func isPortNumber(s string) bool {
	switch s {
	case "¹", "²", "³":
		return true
	}
	return len(s) == 1 && s[0] >= '0' && s[0] <= '9'
}

// Fold returns the key under which two paths clash: canonical caseless
// matching of Unicode (decomposed, case-folded, decomposed again).
func Fold(path string) string {
	if isLowerASCII(path) {
		return path
	}
	return norm.NFD.String(cases.Fold().String(norm.NFD.String(path)))
}

func isLowerASCII(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}
