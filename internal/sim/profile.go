package sim

import (
	"strings"

	"github.com/capstan-ota/capstan"
)

// Newest is the newest plugin version that is modelled.
const Newest = "8.51.23"

// ElectronPlugin is the version that every Electron client announces: its
// constant was never raised (device-clients.md §2).
const ElectronPlugin = "0.0.1"

// Profile says which client a device is.
type Profile struct {
	Platform capstan.Platform
	Plugin   string // version as sent in plugin_version
	OS       string // sent in version_os
	Cores    int    // bounds parallel downloads (device-clients.md §7.4)
}

// NewProfile returns a profile with a usual operating system. An empty plugin
// means the newest; on Electron it is ignored. The error has code invalid.
func NewProfile(platform capstan.Platform, plugin string) (Profile, error) {
	p := Profile{Platform: platform, Plugin: plugin, Cores: 4}
	if p.Plugin == "" {
		p.Plugin = Newest
	}
	switch platform {
	case capstan.Android:
		p.OS = "14"
	case capstan.IOS:
		p.OS = "17.5.1"
	case capstan.Electron:
		p.OS, p.Plugin = "23.5.0", ElectronPlugin
	default:
		return Profile{}, capstan.Errorf(capstan.CodeInvalid, "platform %q is not one of ios, android, electron", string(platform)).On("profile")
	}
	if _, ok := capstan.ParseVersion(p.Plugin); !ok {
		return Profile{}, capstan.Errorf(capstan.CodeInvalid, "plugin version %q is not three numbers", p.Plugin).On("profile").
			Hint("capstan device simulate android@" + Newest)
	}
	return p, nil
}

// ParseProfile reads "platform" or "platform@plugin version", such as
// "android@7.51.21". The error has code invalid.
func ParseProfile(s string) (Profile, error) {
	platform, plugin, _ := strings.Cut(s, "@")
	return NewProfile(capstan.Platform(platform), plugin)
}

// String returns what [ParseProfile] reads.
func (p Profile) String() string { return string(p.Platform) + "@" + p.Plugin }

// Generations lists the plugin versions that stand for everything in the
// field: the stray 10.0.0, the newest of every line, and the last one before
// keys and checksums became obligatory (device-clients.md §14).
func Generations() []string {
	return []string{"10.0.0", "5.50.1", "6.51.16", "7.51.21", "8.51.22", "8.51.23"}
}

// Profiles returns Android and iOS in every generation, and Electron.
func Profiles() []Profile {
	var list []Profile
	for _, platform := range []capstan.Platform{capstan.Android, capstan.IOS} {
		for _, plugin := range Generations() {
			p, _ := NewProfile(platform, plugin) // both are known to be good
			list = append(list, p)
		}
	}
	electron, _ := NewProfile(capstan.Electron, "")
	return append(list, electron)
}
