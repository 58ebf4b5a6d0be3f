package capgo

import (
	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

// feature is something that plugins can do from a version on.
type feature int

const (
	// readsManifest: single files with the suffix rule for ".br". Earlier
	// plugins decode every file as brotli (device-clients.md §7).
	readsManifest feature = iota
	// comparesSHA256: earlier ones compare the CRC-32 of the zip (§6.4).
	comparesSHA256
	// goesBuiltin: understands being sent back to the store build (§3.7).
	goesBuiltin
	// hearsKeyMismatch: told about a key that does not fit (decisions.md row 21).
	hearsKeyMismatch
	// showsMetadata: passes link and comment on (decisions.md §1.5).
	showsMetadata
	// keepsChannel: stores the channel that it chose and sends it for ever;
	// earlier ones need the server to remember (§4.1).
	keepsChannel
	// understandsUnset: drops its stored channel when told so (§4.1).
	understandsUnset
	// readsNumericID: wants channel ids as integers; on iOS earlier ones fail
	// on a number, later ones on a string (§4.4).
	readsNumericID

	features = int(readsNumericID) + 1
)

// never is above every version of a line.
var never = capstan.Version{Major: 1 << 30}

func from(major, minor, patch uint64) capstan.Version {
	return capstan.Version{Major: major, Minor: minor, Patch: patch}
}

// lines says for each known major from which version on a plugin has a
// feature (device-clients.md §13; manifests by the line in bold at the head of
// §7). Gates are looked up here and never written as "at least": majors 9 and
// 10 are stray packages of 5.0-era code, and their row says so.
var lines = map[uint64][features]capstan.Version{
	5: {
		readsManifest: from(5, 10, 0), comparesSHA256: from(5, 10, 0), goesBuiltin: from(5, 50, 1), hearsKeyMismatch: never,
		showsMetadata: from(5, 35, 0), keepsChannel: from(5, 34, 0), understandsUnset: from(5, 50, 1), readsNumericID: from(5, 50, 1),
	},
	6: {
		readsManifest: from(6, 25, 0), comparesSHA256: from(6, 14, 28), goesBuiltin: from(6, 2, 0), hearsKeyMismatch: never,
		showsMetadata: from(6, 35, 0), keepsChannel: from(6, 34, 0), understandsUnset: from(6, 50, 1), readsNumericID: from(6, 50, 1),
	},
	7: {
		readsManifest: from(7, 25, 0), comparesSHA256: from(7, 0, 2), goesBuiltin: from(7, 0, 2), hearsKeyMismatch: never,
		showsMetadata: from(7, 35, 0), keepsChannel: from(7, 34, 0), understandsUnset: from(7, 50, 1), readsNumericID: from(7, 50, 1),
	},
	8: {
		readsManifest: from(8, 0, 0), comparesSHA256: from(8, 0, 0), goesBuiltin: from(8, 0, 0), hearsKeyMismatch: from(8, 40, 8),
		showsMetadata: from(8, 35, 0), keepsChannel: from(8, 0, 0), understandsUnset: from(8, 42, 6), readsNumericID: from(8, 47, 7),
	},
	9:  {never, never, never, never, never, never, never, never},
	10: {never, never, never, never, never, never, never, never},
}

// unknownLine is for majors that nobody has seen: the form that every plugin
// since 2024 reads, a zip with its SHA-256.
var unknownLine = [features]capstan.Version{
	readsManifest: never, comparesSHA256: {}, goesBuiltin: {}, hearsKeyMismatch: never,
	showsMetadata: never, keepsChannel: {}, understandsUnset: never, readsNumericID: {},
}

// plugin is the plugin that asks. Electron's always says 0.0.1, so its platform
// is looked at first (device-clients.md §15).
type plugin struct {
	version  capstan.Version
	electron bool
	ios      bool
}

func (p plugin) has(f feature) bool {
	if p.electron {
		return f == comparesSHA256 || f == keepsChannel || f == readsNumericID
	}
	line, known := lines[p.version.Major]
	if !known {
		line = unknownLine
	}
	return !p.version.Less(line[f])
}

// capabilities is what the core needs to know of a plugin.
func (p plugin) capabilities() decide.Plugin {
	c := decide.Plugin{
		Unsupported: !p.electron && p.version.Major >= 1 && p.version.Major <= 4,
		NoBuiltin:   !p.has(goesBuiltin),
		ChecksKeyID: p.has(hearsKeyMismatch),
	}
	if p.has(readsManifest) {
		c.Form |= decide.FormDelta
	}
	if !p.has(comparesSHA256) {
		c.Form |= decide.FormCRC32
	}
	if p.has(showsMetadata) {
		c.Form |= decide.FormMetadata
	}
	return c
}
