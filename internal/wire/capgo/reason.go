package capgo

import (
	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

// echo says which of its own versions a device is told as "old".
type echo uint8

const (
	noOld      echo = iota
	oldRunning      // version_name
	oldNative       // version_build
)

// refusal is how a reason is said on the wire. The core's reasons are finer
// than the protocol's codes.
type refusal struct {
	code    string
	message string
	version bool // the version of the bundle that was considered
	major   bool // "major":true, which plugins show as a breaking update
	old     echo
}

// refusals translate the core's reasons (decisions.md §1.1). What is up to
// date to us must carry a code that every client takes as that: Electron and
// plugins before 8.45.11 know only no_new_version_available.
var refusals = map[capstan.Reason]refusal{
	capstan.ReasonSameVersion:     {code: "no_new_version_available", message: "No new version available"},
	capstan.ReasonNamedLikeNative: {code: "no_new_version_available", message: "No new version available: the release has the version of the native app"},
	capstan.ReasonNoRelease:       {code: "no_new_version_available", message: "No new version available: nothing was released on the channel"},
	capstan.ReasonOutsideRollout:  {code: "no_new_version_available", message: "No new version available: the rollout has not reached this device"},
	capstan.ReasonRolloutPaused:   {code: "no_new_version_available", message: "No new version available: the rollout is paused"},
	capstan.ReasonFailedBefore:    {code: "no_new_version_available", message: "No new version available: this device reported the release as failed"},
	capstan.ReasonNoEarlier:       {code: "no_new_version_available", message: "No new version available: there is no earlier release for this device"},
	capstan.ReasonOnBuiltin:       {code: "already_on_builtin", message: "Already on the built-in bundle"},

	capstan.ReasonKeyMismatch: {code: "key_id_mismatch", message: "The release was sealed for another key than this app's"},
	capstan.ReasonNotSealed:   {code: "key_id_mismatch", message: "The release is not sealed, and this app installs only what is sealed for its key"},
	capstan.ReasonMajor:       {code: "disable_auto_update_to_major", message: "Cannot upgrade major version", version: true, major: true, old: oldNative},
	capstan.ReasonMinor:       {code: "disable_auto_update_to_minor", message: "Cannot change minor version", version: true, major: true, old: oldNative},
	capstan.ReasonPatch:       {code: "disable_auto_update_to_patch", message: "Cannot change patch version", version: true, major: true, old: oldNative},
	capstan.ReasonNative:      {code: "disable_auto_update_to_metadata", message: "The release needs a newer native app", version: true, major: true, old: oldNative},
	capstan.ReasonUnderNative: {code: "disable_auto_update_under_native", message: "Cannot go below the native version", version: true, old: oldRunning},
	capstan.ReasonProdOff:     {code: "disable_prod_build", message: "The channel does not serve production builds", version: true, old: oldRunning},
	capstan.ReasonDevOff:      {code: "disable_dev_build", message: "The channel does not serve development builds", version: true, old: oldRunning},
	capstan.ReasonDeviceOff:   {code: "disable_device", message: "The channel does not serve physical devices", version: true, old: oldRunning},
	capstan.ReasonEmulatorOff: {code: "disable_emulator", message: "The channel does not serve emulators", version: true, old: oldRunning},
	capstan.ReasonPlatformOff: {code: "disabled_platform_", message: "The channel does not serve this platform", version: true, old: oldRunning},

	capstan.ReasonPluginOld:       {code: "unsupported_plugin_version", message: "This plugin version is not supported"},
	capstan.ReasonNoChannel:       {code: "no_channel", message: "No channel for this device"},
	capstan.ReasonBytesGone:       {code: "no_bundle", message: "Cannot get bundle"},
	capstan.ReasonNoMinimum:       {code: "misconfigured_channel", message: "The channel needs releases that name a minimum native version", version: true, old: oldNative},
	capstan.ReasonPluginNoBuiltin: {code: "revert_to_builtin_plugin_version_too_old", message: "This plugin version cannot go back to the built-in bundle"},
	capstan.ReasonNoForm:          {code: "no_bundle_url", message: "No form of the release that this plugin version can read"},
}

// builtinAnswer is all that sends a device back to its store build: with an
// error, kind or message beside it, plugins would not go
// (device-clients.md §3.2, §3.5).
const builtinAnswer = `{"version":"builtin"}`

// appendRefusal appends the answer for a decision that neither offers nor
// sends back.
func appendRefusal(b []byte, d *decide.Decision, q *decide.Query, sentRunning string) []byte {
	r := refusals[d.Reason]
	code := r.code
	if d.Reason == capstan.ReasonPlatformOff {
		code += string(q.Platform)
	}
	b = append(b, `{"error":"`...)
	b = append(b, code...)
	b = append(b, `","message":`...)
	b = appendString(b, r.message)
	switch {
	case d.Outcome == capstan.UpToDate:
		// Echoing what the device runs, as it said it, spares iOS a second
		// request (§9.3).
		b = append(b, `,"version":`...)
		b = appendString(b, sentRunning)
	case r.version:
		b = append(b, `,"version":`...)
		b = appendString(b, version(d))
	}
	if r.major {
		b = append(b, `,"major":true`...)
	}
	switch r.old {
	case oldRunning:
		b = append(b, `,"old":`...)
		b = appendString(b, q.Running)
	case oldNative:
		b = append(b, `,"old":`...)
		b = appendString(b, q.Native)
	}
	if d.Reason == capstan.ReasonKeyMismatch || d.Reason == capstan.ReasonNotSealed {
		b = append(b, `,"deviceKeyId":`...)
		b = appendString(b, q.KeyID)
		b = append(b, `,"bundleKeyId":`...)
		b = appendString(b, d.Bundle.KeyID)
	}
	b = append(b, `,"kind":"`...)
	b = append(b, d.Outcome...)
	return append(b, `"}`...)
}

// version of what was considered; built-in has the name that plugins give it.
func version(d *decide.Decision) string {
	if d.Bundle == nil {
		return "builtin"
	}
	return d.Bundle.Version
}
