package capstan

import (
	"cmp"
	"strings"
)

// Version is a parsed semantic version (semver.org 2.0.0). Build metadata is
// accepted and plays no part in comparison.
type Version struct {
	Major, Minor, Patch uint64
	Pre                 string // "beta.1" of 1.0.0-beta.1, "" for a finished version
}

// ParseVersion parses a strict semantic version: three dot-separated decimal
// numbers without leading zeros, then optional -prerelease and +build. It does
// not allocate, since it runs on every device check.
func ParseVersion(s string) (Version, bool) {
	var v Version
	rest, build, hasBuild := strings.Cut(s, "+")
	if hasBuild && !validIdentifiers(build, false) {
		return v, false
	}
	core, pre, hasPre := strings.Cut(rest, "-")
	if hasPre && !validIdentifiers(pre, true) {
		return v, false
	}
	var ok bool
	if v.Major, core, ok = number(core, true); !ok {
		return v, false
	}
	if v.Minor, core, ok = number(core, true); !ok {
		return v, false
	}
	if v.Patch, core, ok = number(core, false); !ok || core != "" {
		return v, false
	}
	v.Pre = pre
	return v, true
}

// number reads one decimal number from the front of s, and the dot after it
// if more is to come.
func number(s string, dot bool) (n uint64, rest string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		n = n*10 + uint64(s[i]-'0')
		i++
	}
	if i == 0 || i > 18 || (i > 1 && s[0] == '0') {
		return 0, "", false
	}
	if !dot {
		return n, s[i:], true
	}
	if i == len(s) || s[i] != '.' {
		return 0, "", false
	}
	return n, s[i+1:], true
}

func validIdentifiers(s string, prerelease bool) bool {
	for {
		id, rest, more := strings.Cut(s, ".")
		if id == "" {
			return false
		}
		numeric := true
		for i := range len(id) {
			switch c := id[i]; {
			case c >= '0' && c <= '9':
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-':
				numeric = false
			default:
				return false
			}
		}
		if prerelease && numeric && len(id) > 1 && id[0] == '0' {
			return false
		}
		if !more {
			return true
		}
		s = rest
	}
}

// Compare orders versions by semver precedence: -1 when v is lower than w, 0
// when equal, 1 when higher. A prerelease is lower than its finished version.
func (v Version) Compare(w Version) int {
	if c := cmp.Or(cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor), cmp.Compare(v.Patch, w.Patch)); c != 0 {
		return c
	}
	switch {
	case v.Pre == w.Pre:
		return 0
	case v.Pre == "":
		return 1
	case w.Pre == "":
		return -1
	}
	return comparePrerelease(v.Pre, w.Pre)
}

// Less reports whether v comes before w.
func (v Version) Less(w Version) bool { return v.Compare(w) < 0 }

func comparePrerelease(a, b string) int {
	for {
		x, restA, moreA := strings.Cut(a, ".")
		y, restB, moreB := strings.Cut(b, ".")
		if c := compareIdentifier(x, y); c != 0 {
			return c
		}
		if !moreA || !moreB {
			switch {
			case moreA:
				return 1
			case moreB:
				return -1
			}
			return 0
		}
		a, b = restA, restB
	}
}

func compareIdentifier(x, y string) int {
	nx, ny := isNumeric(x), isNumeric(y)
	switch {
	case nx && ny:
		return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y))
	case nx:
		return -1
	case ny:
		return 1
	}
	return strings.Compare(x, y)
}

func isNumeric(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
