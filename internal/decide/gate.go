package decide

import (
	"fmt"
	"strings"

	"github.com/capstan-ota/capstan"
)

// gate is one rule. refuse returns the reason to say no, "" to pass. detail
// says which values were compared; it is called only for a trace.
type gate struct {
	name    string // stable, shown by `capstan why`
	row     int    // of the table in decisions.md §1.1; 0: ours
	builtin bool   // also asked when the target is built-in
	refuse  func(look) capstan.Reason
	detail  func(look) string
}

// gates in the order in which they are asked. Rows 15 and 18 come before a
// target is known, row 38 is the offer. Every comparison is of the bundle with
// the native version, never with the running bundle.
var gates = [...]gate{
	{"bytes", 20, false, look.gone, func(w look) string { return fmt.Sprintf("bundle %s is %s", w.version(), w.target.bundle.State) }},
	{"key", 21, false, look.otherKey, func(w look) string {
		return fmt.Sprintf("device key %s, bundle key %s", orNone(w.q.KeyID), orNone(w.target.bundle.KeyID))
	}},
	{"failed_before", 0, true, look.notMeant, look.notMeantDetail},
	{"same_version", 22, false, look.same, func(w look) string {
		return fmt.Sprintf("device runs %s, release is %s, native version is %s", w.q.Running, w.version(), w.q.Native)
	}},
	{"platform", 23, true, look.platformOff, func(w look) string {
		return fmt.Sprintf("device is %s, channel serves %s", w.q.Platform, platforms(w.channel.Platforms))
	}},
	{"major", 24, false, look.aboveMajor, look.policyDetail},
	{"minor", 26, false, look.otherMinor, look.policyDetail},
	{"patch", 27, false, look.otherPatch, look.policyDetail},
	{"minimum", 28, false, look.noMinimum, look.minimumDetail},
	{"native", 29, false, look.belowMinimum, look.minimumDetail},
	{"under_native", 30, false, look.underNative, func(w look) string {
		return fmt.Sprintf("bundle %s, native %s, channel may serve below native: %t", w.version(), w.q.Native, w.channel.UnderNative)
	}},
	{"prod", 31, true, func(w look) capstan.Reason { return when(w.q.Prod && !w.channel.Prod, capstan.ReasonProdOff) }, func(w look) string {
		return fmt.Sprintf("production build: %t, channel serves them: %t", w.q.Prod, w.channel.Prod)
	}},
	{"dev", 32, true, func(w look) capstan.Reason { return when(!w.q.Prod && !w.channel.Dev, capstan.ReasonDevOff) }, func(w look) string {
		return fmt.Sprintf("development build: %t, channel serves them: %t", !w.q.Prod, w.channel.Dev)
	}},
	{"device", 33, true, func(w look) capstan.Reason { return when(!w.q.Emulator && !w.channel.Device, capstan.ReasonDeviceOff) }, func(w look) string {
		return fmt.Sprintf("physical device: %t, channel serves them: %t", !w.q.Emulator, w.channel.Device)
	}},
	{"emulator", 34, true, func(w look) capstan.Reason {
		return when(w.q.Emulator && !w.channel.Emulator, capstan.ReasonEmulatorOff)
	}, func(w look) string {
		return fmt.Sprintf("emulator: %t, channel serves them: %t", w.q.Emulator, w.channel.Emulator)
	}},
	{"builtin", 35, true, look.builtin, func(w look) string {
		if w.target.bundle != nil {
			return "the release is a bundle"
		}
		return fmt.Sprintf("the release is the store build; device runs %s, native is %s, plugin can go back: %t", w.q.Running, w.q.Native, !w.q.Plugin.NoBuiltin)
	}},
	{"form", 37, false, look.noForm, func(w look) string {
		return fmt.Sprintf("plugin reads %s, bundle has zip: %t, single files: %t", w.q.Plugin.Form, w.target.bundle.Archive != "", w.target.bundle.DeltaOffered)
	}},
}

func when(refused bool, reason capstan.Reason) capstan.Reason {
	if refused {
		return reason
	}
	return ""
}

func (w look) version() string { return w.target.bundle.Version }

func (w look) gone() capstan.Reason {
	return when(w.target.bundle.State != capstan.BundleReady, capstan.ReasonBytesGone)
}

// otherKey refuses a bundle that the device could not open. Only plugins above
// 8.40.7 are told; older ones find out by themselves. From 8.51.23 on a device
// with a key can never install a plain bundle (device-clients.md §12 rule 13).
func (w look) otherKey() capstan.Reason {
	b, q := w.target.bundle, w.q
	if q.Plugin.NeedsSeal && q.KeyID != "" && b.KeyID == "" {
		return capstan.ReasonNotSealed
	}
	return when(q.Plugin.ChecksKeyID && q.KeyID != "" && b.KeyID != "" && q.KeyID != b.KeyID, capstan.ReasonKeyMismatch)
}

// notMeant stands before same_version: a device that keeps running the bundle
// that it reported as failed must not hear that all is well. A native range
// refuses at its own row.
func (w look) notMeant() capstan.Reason {
	return when(w.skipped != capstan.ReasonNative, w.skipped)
}

func (w look) notMeantDetail() string {
	if w.skipped == "" || w.skipped == capstan.ReasonNative {
		return "the release is meant for the device"
	}
	return skippedDetail(w, w.target, w.skipped)
}

func (w look) same() capstan.Reason {
	switch {
	case w.q.Running != w.version():
		return ""
	case w.q.Builtin():
		return capstan.ReasonNamedLikeNative
	}
	return capstan.ReasonSameVersion
}

// platformOff can only be met through a pin: names and defaults respect it.
func (w look) platformOff() capstan.Reason {
	return when(!w.channel.Platforms.Has(w.q.Platform), capstan.ReasonPlatformOff)
}

// aboveMajor blocks upwards only.
func (w look) aboveMajor() capstan.Reason {
	return when(w.channel.Policy == capstan.PolicyMajor && w.target.bundle.Parsed.Major > w.q.NativeVersion.Major, capstan.ReasonMajor)
}

// otherMinor blocks any difference, in either direction.
func (w look) otherMinor() capstan.Reason {
	b, n := w.target.bundle.Parsed, w.q.NativeVersion
	return when(w.channel.Policy == capstan.PolicyMinor && (b.Major != n.Major || b.Minor != n.Minor), capstan.ReasonMinor)
}

// otherPatch blocks any difference, in either direction.
func (w look) otherPatch() capstan.Reason {
	b, n := w.target.bundle.Parsed, w.q.NativeVersion
	return when(w.channel.Policy == capstan.PolicyPatch && (b.Major != n.Major || b.Minor != n.Minor || b.Patch != n.Patch), capstan.ReasonPatch)
}

func (w look) noMinimum() capstan.Reason {
	_, given := w.target.bundle.Bundle.NativeMin[w.q.Platform]
	return when(w.channel.Policy == capstan.PolicyMetadata && !given, capstan.ReasonNoMinimum)
}

func (w look) belowMinimum() capstan.Reason {
	return when(w.nativeTooOld(w.target), capstan.ReasonNative)
}

// underNative compares in full semver order: native 1.0.0-rc.1 takes 1.0.0.
func (w look) underNative() capstan.Reason {
	return when(!w.channel.UnderNative && w.target.bundle.Parsed.Less(w.q.NativeVersion), capstan.ReasonUnderNative)
}

// builtin answers a release that sends devices back to their store build. A
// device that is on it is left alone, since plugins do not notice by
// themselves (device-clients.md §3.5).
func (w look) builtin() capstan.Reason {
	switch {
	case w.target.bundle != nil:
		return ""
	case w.q.Platform == capstan.Electron:
		return capstan.ReasonNoEarlier
	case w.q.Builtin():
		return capstan.ReasonOnBuiltin
	}
	return when(w.q.Plugin.NoBuiltin, capstan.ReasonPluginNoBuiltin)
}

func (w look) noForm() capstan.Reason {
	return when(w.target.bundle.Archive == "" && w.form()&FormDelta == 0, capstan.ReasonNoForm)
}

// form is the part of what the plugin can read that this bundle has.
func (w look) form() Form {
	b, f := w.target.bundle, w.q.Plugin.Form
	if !b.DeltaOffered {
		f &^= FormDelta
	}
	if !w.app.Row.ExposeMetadata || b.Link == "" && b.Comment == "" {
		f &^= FormMetadata
	}
	return f
}

// String names a form for traces, such as "delta+sha256".
func (f Form) String() string {
	name := "zip"
	if f&FormDelta != 0 {
		name = "delta"
	}
	if f&FormCRC32 != 0 {
		name += "+crc32"
	} else {
		name += "+sha256"
	}
	if f&FormMetadata != 0 {
		name += "+metadata"
	}
	return name
}

func (w look) policyDetail() string {
	return fmt.Sprintf("policy %s, bundle %s, native %s", w.channel.Policy, w.version(), w.q.Native)
}

func (w look) minimumDetail() string {
	return fmt.Sprintf("policy %s, bundle needs native %s, device has %s",
		w.channel.Policy, orNone(w.target.bundle.Bundle.NativeMin[w.q.Platform]), w.q.Native)
}

// note records a step that is not in the table.
func (w *walk) note(gate string, pass bool, detail string) {
	if w.steps != nil {
		*w.steps = append(*w.steps, Step{Gate: gate, Pass: pass, Detail: detail})
	}
}

// notef formats only when somebody reads it. Its operands are strings, so that
// calling it does not allocate.
func (w *walk) notef(gate string, pass bool, format string, args ...string) {
	if w.steps == nil {
		return
	}
	operands := make([]any, len(args))
	for i, a := range args {
		operands[i] = a
	}
	w.note(gate, pass, fmt.Sprintf(format, operands...))
}

func (w *walk) noteSkipped(c *candidate, reason capstan.Reason) {
	if w.steps != nil {
		w.note("release", false, skippedDetail(w.look, c, reason))
	}
}

func skippedDetail(w look, c *candidate, reason capstan.Reason) string {
	name := fmt.Sprintf("release %d (%s)", c.release.Number, orBuiltin(c.release.Version))
	switch reason {
	case capstan.ReasonNative:
		return fmt.Sprintf("%s needs native %s, device has %s", name, c.bundle.Bundle.NativeMin[w.q.Platform], w.q.Native)
	case capstan.ReasonFailedBefore:
		return name + " was reported as failed by the device"
	case capstan.ReasonRolloutPaused:
		return name + " is paused and the device does not run it"
	}
	return fmt.Sprintf("%s reaches %d of 10000, and the device is not among them", name, c.release.ShareBP)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func orBuiltin(version string) string {
	if version == "" {
		return "built-in"
	}
	return version
}

func platforms(s capstan.PlatformSet) string {
	var names []string
	for _, p := range s.List() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}
