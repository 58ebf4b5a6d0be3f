package capstan

import (
	"time"
)

// Platform is where a device runs.
type Platform string

const (
	IOS      Platform = "ios"
	Android  Platform = "android"
	Electron Platform = "electron"
)

// Platforms lists the known platforms in the order in which we print them.
var Platforms = [...]Platform{IOS, Android, Electron}

// Known reports whether p is a platform that Capstan serves.
func (p Platform) Known() bool { return p == IOS || p == Android || p == Electron }

// PlatformSet is a set of known platforms, one bit each.
type PlatformSet uint8

func bit(p Platform) PlatformSet {
	switch p {
	case IOS:
		return 1
	case Android:
		return 2
	case Electron:
		return 4
	}
	return 0
}

// AllPlatforms holds every known platform.
const AllPlatforms PlatformSet = 7

// NewPlatformSet returns the set of ps; unknown platforms are left out.
func NewPlatformSet(ps ...Platform) PlatformSet {
	var s PlatformSet
	for _, p := range ps {
		s |= bit(p)
	}
	return s
}

// Has reports whether p is in s.
func (s PlatformSet) Has(p Platform) bool { return s&bit(p) != 0 }

// With returns s with p in it or, if in is false, without.
func (s PlatformSet) With(p Platform, in bool) PlatformSet {
	if in {
		return s | bit(p)
	}
	return s &^ bit(p)
}

// List returns the platforms of s in the order of [Platforms].
func (s PlatformSet) List() []Platform {
	list := []Platform{}
	for _, p := range Platforms {
		if s.Has(p) {
			list = append(list, p)
		}
	}
	return list
}

// Policy says which bundle versions a channel may give to which native
// versions (decisions.md §1.1 rows 24–29). It compares the bundle with the
// native version, never with the running bundle.
type Policy string

const (
	PolicyNone  Policy = "none"
	PolicyMajor Policy = "major" // a higher major than the native version's is blocked; a lower one is not
	PolicyMinor Policy = "minor" // any difference in major or minor is blocked, up or down
	PolicyPatch Policy = "patch" // any difference in major, minor or patch is blocked, up or down
	// PolicyMetadata demands that a bundle names the native version it needs.
	PolicyMetadata Policy = "metadata"
)

// Policies lists every policy.
var Policies = [...]Policy{PolicyMajor, PolicyMinor, PolicyPatch, PolicyMetadata, PolicyNone}

// Channel is a named lane with rules.
type Channel struct {
	App  string
	Name string
	Seq  int64 // small number, unique in the app and never reused; the id that plugins are told

	Default       PlatformSet // platforms whose devices come here when they name no channel
	FormerDefault PlatformSet // platforms whose default this once was: devices naming it get today's default

	Platforms  PlatformSet // platforms that are served at all
	SelfAssign bool        // devices may choose this channel

	Policy      Policy
	UnderNative bool // may serve a bundle below the native version

	Prod     bool // serve production builds
	Dev      bool // serve development builds
	Device   bool // serve physical devices
	Emulator bool // serve emulators and simulators

	CreatedAt time.Time
	Number    int64 // of the last change that touched this channel or its releases: its ETag
}

// NewChannel returns a channel with the defaults that Capgo's users know:
// every platform, build kind and device kind served, major policy, never
// below the native version, no self-assignment, default for no platform.
func NewChannel(app, name string) Channel {
	return Channel{
		App: app, Name: name, Platforms: AllPlatforms, Policy: PolicyMajor,
		Prod: true, Dev: true, Device: true, Emulator: true,
	}
}

// Validate reports the first thing that is wrong with c.
func (c Channel) Validate() error {
	if err := ValidateChannelName(c.Name); err != nil {
		return err
	}
	for _, p := range Policies {
		if c.Policy == p {
			if c.Default&^c.Platforms != 0 {
				return Errorf(CodeInvalid, "channel %q cannot be the default of a platform that it does not serve", c.Name).On("default").
					Hint("capstan channel set " + c.Name + " --ios --android --electron")
			}
			return nil
		}
	}
	return Errorf(CodeInvalid, "policy %q is not one of major, minor, patch, metadata, none", string(c.Policy)).On("policy")
}

// ValidateChannelName accepts what devices can send and people can type:
// 1–64 bytes of letters, digits, ".", "_", "-" and "/".
func ValidateChannelName(name string) error {
	ok := name != "" && len(name) <= 64
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-', c == '/':
		default:
			ok = false
		}
	}
	switch {
	case !ok:
		return Errorf(CodeInvalid, "channel name %.80q is not 1 to 64 letters, digits, dots, slashes, _ or -", name).On("channel")
	case name == "builtin", name == "unknown":
		return Errorf(CodeInvalid, "channel name %q is reserved by the plugins", name).On("channel")
	}
	return nil
}
