package capstan

// Outcome is what a decision does.
type Outcome string

const (
	Offer    Outcome = "offer"      // a bundle to install
	Builtin  Outcome = "builtin"    // back to the web content of the store build
	UpToDate Outcome = "up_to_date" // nothing to do
	Blocked  Outcome = "blocked"    // a rule says no
	Failed   Outcome = "failed"     // something is set up wrongly
)

// Reason says why a decision came out as it did. Its page under
// docs/reasons.md is generated from [Reasons].
type Reason string

const (
	ReasonNewRelease      Reason = "new_release"
	ReasonBuiltinRelease  Reason = "builtin_release"
	ReasonWithdrawn       Reason = "withdrawn"
	ReasonSameVersion     Reason = "same_version"
	ReasonNamedLikeNative Reason = "named_like_native"
	ReasonOnBuiltin       Reason = "already_on_builtin"
	ReasonNoRelease       Reason = "no_release"
	ReasonOutsideRollout  Reason = "outside_rollout"
	ReasonRolloutPaused   Reason = "rollout_paused"
	ReasonFailedBefore    Reason = "failed_before"
	ReasonNoEarlier       Reason = "no_earlier_release"
	ReasonAppUnknown      Reason = "app_unknown"
	ReasonPlatformOff     Reason = "platform_off"
	ReasonMajor           Reason = "policy_major"
	ReasonMinor           Reason = "policy_minor"
	ReasonPatch           Reason = "policy_patch"
	ReasonNative          Reason = "native_incompatible"
	ReasonUnderNative     Reason = "under_native"
	ReasonProdOff         Reason = "prod_off"
	ReasonDevOff          Reason = "dev_off"
	ReasonDeviceOff       Reason = "device_off"
	ReasonEmulatorOff     Reason = "emulator_off"
	ReasonKeyMismatch     Reason = "key_mismatch"
	ReasonNotSealed       Reason = "not_sealed"
	ReasonNoChannel       Reason = "no_channel"
	ReasonBytesGone       Reason = "bytes_gone"
	ReasonNoForm          Reason = "no_form"
	ReasonNoMinimum       Reason = "policy_without_minimum"
	ReasonPluginOld       Reason = "plugin_unsupported"
	ReasonPluginNoBuiltin Reason = "plugin_without_builtin"
)

// ReasonEntry documents one reason.
type ReasonEntry struct {
	Reason  Reason
	Outcome Outcome
	Means   string // one sentence about the device
	Fix     string // what an operator can do; "" when nothing needs doing
}

// Reasons is the table of every reason that a decision can have.
var Reasons = []ReasonEntry{
	{ReasonNewRelease, Offer, "The device gets the newest release that its native build can run.", ""},
	{ReasonBuiltinRelease, Builtin, "The channel's release sends devices back to the web content of their store build.", ""},
	{ReasonWithdrawn, Builtin, "The device runs a bundle that was taken back and every other target is refused for it, so it goes back to its store build.", "Publish a bundle that this native version accepts."},
	{ReasonSameVersion, UpToDate, "The device already runs the version it would get.", ""},
	{ReasonNamedLikeNative, UpToDate, "The bundle has the same version as the native app, so a fresh install looks as if it ran the bundle already and never gets it.", "Upload the bundle again under a higher version: `capstan bundle upload --auto-bump`."},
	{ReasonOnBuiltin, UpToDate, "The channel sends devices back to their store build, and the device is on it.", ""},
	{ReasonNoRelease, UpToDate, "Nothing was ever released on the channel; the device stays as it is.", "Put a bundle on it: `capstan bundle upload -c CHANNEL`."},
	{ReasonOutsideRollout, UpToDate, "The release has not reached this device's share yet, and there is no earlier one for it.", ""},
	{ReasonRolloutPaused, UpToDate, "The release is paused and the device does not have it yet.", ""},
	{ReasonFailedBefore, UpToDate, "The device reported this version as failed, and there is no earlier release for it.", "Publish a version that works; a new release is offered again."},
	{ReasonNoEarlier, UpToDate, "The device cannot be sent back to a store build and there is no earlier release for it.", ""},
	{ReasonAppUnknown, Blocked, "The server has no app with the id that the device sent.", "Add it: `capstan app add ID`."},
	{ReasonPlatformOff, Blocked, "The channel does not serve this platform.", "`capstan channel set CHANNEL --ios`, `--android` or `--electron`."},
	{ReasonMajor, Blocked, "The bundle's major version is above that of the native app.", "Ship a store build of that major, or `capstan channel set CHANNEL --disable-auto-update none`."},
	{ReasonMinor, Blocked, "The bundle's major or minor version differs from that of the native app.", "Ship a store build of that version, or change the policy of the channel."},
	{ReasonPatch, Blocked, "The bundle's version differs from that of the native app.", "Ship a store build of that version, or change the policy of the channel."},
	{ReasonNative, Blocked, "The bundle needs a newer native app than the device has, and no live release fits it.", "Ship the store build, or publish a bundle for the older one."},
	{ReasonUnderNative, Blocked, "The bundle is older than the native app.", "Publish a newer version, or `capstan channel set CHANNEL --downgrade`."},
	{ReasonProdOff, Blocked, "The channel does not serve production builds.", "`capstan channel set CHANNEL --prod`."},
	{ReasonDevOff, Blocked, "The channel does not serve development builds (TestFlight counts as one).", "`capstan channel set CHANNEL --dev`."},
	{ReasonDeviceOff, Blocked, "The channel does not serve physical devices.", "`capstan channel set CHANNEL --device`."},
	{ReasonEmulatorOff, Blocked, "The channel does not serve emulators.", "`capstan channel set CHANNEL --emulator`."},
	{ReasonKeyMismatch, Blocked, "The app was built with another public key than the one the bundle was sealed for.", "Upload the bundle sealed with the key of this store build."},
	{ReasonNotSealed, Blocked, "The app was built with a public key and its plugin (8.51.23 or later) installs only what is sealed for it; this bundle is not sealed.", "Seal the bundle for the key of this store build, or ship a store build without a key."},
	{ReasonNoChannel, Failed, "No channel fits: the device names one that does not exist or may not be chosen, or its platform has no default.", "`capstan channel set CHANNEL --state default`, or allow `--self-assign`."},
	{ReasonBytesGone, Failed, "The bytes of the bundle are gone.", "Upload the bundle again."},
	{ReasonNoForm, Failed, "The bundle has no form that this plugin version can read.", "Update the plugin in the next store build."},
	{ReasonNoMinimum, Failed, "The channel demands that bundles name the native version they need, and this one does not.", "Upload with `--min-update-version`, or change the policy of the channel."},
	{ReasonPluginOld, Failed, "Plugin 4 cannot be served.", "Update the plugin in the next store build."},
	{ReasonPluginNoBuiltin, Failed, "The plugin is too old to be sent back to the store build.", "Release an earlier bundle instead."},
}

// Outcome returns the outcome that r leads to.
func (r Reason) Outcome() Outcome {
	for i := range Reasons {
		if Reasons[i].Reason == r {
			return Reasons[i].Outcome
		}
	}
	return Failed
}
