package capgo

import (
	"math"

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
	// failsClosed: with a public key it installs nothing that was not sealed
	// for it (§8.5).
	failsClosed
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

// never is above every version; always is below every one, prereleases too.
var (
	never  = capstan.Version{Major: math.MaxUint64}
	always = capstan.Version{}
)

func from(major, minor, patch uint64) capstan.Version {
	return capstan.Version{Major: major, Minor: minor, Patch: patch}
}

// line says from which version on the plugins of one major have each feature.
type line [features]capstan.Version

// lines is indexed by major (device-clients.md §13; manifests by the line in
// bold at the head of §7, so that 5.10 to 5.49, which the publisher's own tool
// treats like 5.50.1, get one and the SHA-256 with it). Gates are looked up
// here and never written as "at least": majors 9 and 10 are stray packages of
// 5.0-era code, and their rows say so.
var lines = [...]line{
	0: unknown, 1: old, 2: old, 3: old, 4: old,
	5: {
		readsManifest: from(5, 10, 0), comparesSHA256: from(5, 10, 0), goesBuiltin: from(5, 50, 1), hearsKeyMismatch: never,
		failsClosed: never, showsMetadata: from(5, 35, 0), keepsChannel: from(5, 34, 0), understandsUnset: from(5, 50, 1), readsNumericID: from(5, 50, 1),
	},
	6: {
		readsManifest: from(6, 25, 0), comparesSHA256: from(6, 14, 28), goesBuiltin: from(6, 2, 0), hearsKeyMismatch: never,
		failsClosed: never, showsMetadata: from(6, 35, 0), keepsChannel: from(6, 34, 0), understandsUnset: from(6, 50, 1), readsNumericID: from(6, 50, 1),
	},
	7: {
		readsManifest: from(7, 25, 0), comparesSHA256: from(7, 0, 2), goesBuiltin: from(7, 0, 2), hearsKeyMismatch: never,
		failsClosed: never, showsMetadata: from(7, 35, 0), keepsChannel: from(7, 34, 0), understandsUnset: from(7, 50, 1), readsNumericID: from(7, 50, 1),
	},
	8: {
		readsManifest: always, comparesSHA256: always, goesBuiltin: always, hearsKeyMismatch: from(8, 40, 8),
		failsClosed: from(8, 51, 23), showsMetadata: from(8, 35, 0), keepsChannel: always, understandsUnset: from(8, 42, 6), readsNumericID: from(8, 47, 7),
	},
	9: old, 10: old,
}

// old plugins have none of it.
var old = line{never, never, never, never, never, never, never, never, never}

// unknown is for majors that nobody has seen: a zip with the SHA-256 that all
// but the plugins listed in device-clients.md §6.4 compare, and nothing that a
// plugin could misread.
var unknown = line{
	readsManifest: never, comparesSHA256: always, goesBuiltin: always, hearsKeyMismatch: never,
	failsClosed: never, showsMetadata: never, keepsChannel: always, understandsUnset: never, readsNumericID: always,
}

// plugin is the plugin that asks. Electron's always says 0.0.1, so its platform
// is looked at first (device-clients.md §15).
type plugin struct {
	version  capstan.Version
	electron bool
	// silent: the request names no version, as the shortest list requests of
	// old plugins do.
	silent bool
}

func (p plugin) has(f feature) bool {
	if p.electron {
		return f == comparesSHA256 || f == keepsChannel || f == readsNumericID
	}
	if p.silent {
		return f == keepsChannel // as Capgo's server takes it (decisions.md §2)
	}
	l := &unknown
	if p.version.Major < uint64(len(lines)) {
		l = &lines[p.version.Major]
	}
	return !p.version.Less(l[f])
}

// capabilities is what the core needs to know of a plugin.
func (p plugin) capabilities() decide.Plugin {
	c := decide.Plugin{
		Unsupported: !p.electron && p.version.Major >= 1 && p.version.Major <= 4,
		NoBuiltin:   !p.has(goesBuiltin),
		ChecksKeyID: p.has(hearsKeyMismatch),
		NeedsSeal:   p.has(failsClosed),
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
