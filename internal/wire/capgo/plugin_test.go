package capgo

import (
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

// Every gate, on both sides of its line in every major (device-clients.md §13,
// the head of §7, §6.4, §4.1, §4.4; decisions.md §1.1 rows 21 and 36, §1.5,
// §2). "" has none of the feature, "0" all of it.
func TestGatesAtTheirLines(t *testing.T) {
	t.Parallel()
	gates := map[feature]struct{ five, six, seven, eight, unknown string }{
		readsManifest:    {"5.10.0", "6.25.0", "7.25.0", "0", ""},
		comparesSHA256:   {"5.10.0", "6.14.28", "7.0.2", "0", "0"},
		goesBuiltin:      {"5.50.1", "6.2.0", "7.0.2", "0", "0"},
		hearsKeyMismatch: {"", "", "", "8.40.8", ""},
		failsClosed:      {"", "", "", "8.51.23", ""},
		showsMetadata:    {"5.35.0", "6.35.0", "7.35.0", "8.35.0", ""},
		keepsChannel:     {"5.34.0", "6.34.0", "7.34.0", "0", "0"},
		understandsUnset: {"5.50.1", "6.50.1", "7.50.1", "8.42.6", ""},
		readsNumericID:   {"5.50.1", "6.50.1", "7.50.1", "8.47.7", "0"},
	}
	if len(gates) != features {
		t.Errorf("%d gates are tested, there are %d", len(gates), features)
	}
	last := map[uint64]string{5: "5.50.2", 6: "6.51.16", 7: "7.51.21", 8: "8.51.23"}
	for f, g := range gates {
		for major, line := range map[uint64]string{5: g.five, 6: g.six, 7: g.seven, 8: g.eight} {
			first := capstan.Version{Major: major, Pre: "0"}
			switch line {
			case "":
				expect(t, f, first, false)
				expect(t, f, parsed(t, last[major]), false)
				expect(t, f, capstan.Version{Major: major, Minor: 999}, false)
			case "0":
				expect(t, f, first, true)
				expect(t, f, parsed(t, last[major]), true)
			default:
				at := parsed(t, line)
				expect(t, f, first, false)
				expect(t, f, before(at), false)
				expect(t, f, at, true)
				expect(t, f, parsed(t, last[major]), true)
			}
		}
		for _, old := range []string{"1.0.0", "3.9.9", "4.61.10", "9.0.0", "9.51.23", "10.0.0", "10.99.0"} {
			expect(t, f, parsed(t, old), false)
		}
		for _, unknown := range []string{"0.9.0", "11.0.0", "99.51.23"} {
			expect(t, f, parsed(t, unknown), g.unknown == "0")
		}
	}
}

func expect(t *testing.T, f feature, v capstan.Version, want bool) {
	t.Helper()
	if got := (plugin{version: v}).has(f); got != want {
		t.Errorf("plugin %+v has feature %d: %t, want %t", v, f, got, want)
	}
}

func parsed(t *testing.T, s string) capstan.Version {
	t.Helper()
	v, ok := capstan.ParseVersion(s)
	if !ok {
		t.Fatalf("version %q", s)
	}
	return v
}

// before is the highest version below v that could have been published.
func before(v capstan.Version) capstan.Version {
	if v.Patch > 0 {
		return capstan.Version{Major: v.Major, Minor: v.Minor, Patch: v.Patch - 1}
	}
	return capstan.Version{Major: v.Major, Minor: v.Minor - 1, Patch: 999}
}

// Electron says 0.0.1 whatever it is, so its platform decides
// (device-clients.md §15).
func TestElectronIsKnownByItsPlatform(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"0.0.1", "4.0.0", "8.51.23", "10.0.0"} {
		p := plugin{version: parsed(t, version), electron: true}
		c := p.capabilities()
		if c.Unsupported || c.NeedsSeal || c.ChecksKeyID || c.Form != 0 || !p.has(keepsChannel) || p.has(understandsUnset) {
			t.Errorf("Electron %s: %+v", version, c)
		}
	}
}

func TestOnlyMajors1To4AreRefused(t *testing.T) {
	t.Parallel()
	for version, refused := range map[string]bool{"0.0.1": false, "1.0.0": true, "4.0.0": true, "4.99.99": true, "5.0.0": false, "10.0.0": false, "11.0.0": false} {
		if got := (plugin{version: parsed(t, version)}).capabilities().Unsupported; got != refused {
			t.Errorf("plugin %s is refused: %t, want %t", version, got, refused)
		}
	}
}

func TestStrayMajorsGetTheOldestForm(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"9.0.0", "10.0.0"} {
		if c := (plugin{version: parsed(t, version)}).capabilities(); c.Form != decide.FormCRC32 || !c.NoBuiltin || c.Unsupported {
			t.Errorf("plugin %s: %+v", version, c)
		}
	}
}
