package decide

import "github.com/capstan-ota/capstan"

// tableRow is one device that asks, as a change to the rig, and what it gets.
type tableRow struct {
	row  int // of decisions.md §1.1; 0: ours
	name string
	edit func(*rig)
	want want
}

// rollBack takes release 2 back to release 1.
func rollBack(r *rig) {
	r.release("1.3.0", nil)
	r.end(2)
	r.release("1.2.0", nil)
	r.q.Running = "1.3.0"
}

var table = []tableRow{
	{15, "plugin 4", func(r *rig) { r.q.Plugin.Unsupported = true }, failed(capstan.ReasonPluginOld)},
	{18, "no default for the platform", func(r *rig) { r.production().Default = capstan.NewPlatformSet(capstan.IOS) }, failed(capstan.ReasonNoChannel)},
	{18, "named channel does not exist", func(r *rig) { r.q.Channel = "beta" }, failed(capstan.ReasonNoChannel)},
	{18, "named channel may not be chosen", func(r *rig) { r.channel("beta", nil); r.q.Channel = "beta" }, failed(capstan.ReasonNoChannel)},
	{18, "named channel does not serve the platform", func(r *rig) {
		r.channel("beta", func(c *capstan.Channel) { c.SelfAssign, c.Platforms = true, capstan.NewPlatformSet(capstan.IOS) })
		r.q.Channel = "beta"
	}, failed(capstan.ReasonNoChannel)},
	{18, "names are case-sensitive", func(r *rig) { r.q.Channel = "Production" }, failed(capstan.ReasonNoChannel)},
	{20, "bytes gone", func(r *rig) { r.bundle(0).State = capstan.BundleGone }, failed(capstan.ReasonBytesGone)},
	{20, "bytes gone beats same version", func(r *rig) { r.bundle(0).State = capstan.BundleGone; r.q.Running = "1.2.0" }, failed(capstan.ReasonBytesGone)},
	{21, "other key", func(r *rig) { r.q.KeyID, r.bundle(0).KeyID = "A", "B" }, blocked(capstan.ReasonKeyMismatch)},
	{21, "other key beats same version", func(r *rig) { r.q.KeyID, r.bundle(0).KeyID, r.q.Running = "A", "B", "1.2.0" }, blocked(capstan.ReasonKeyMismatch)},
	{21, "other key up to plugin 8.40.7", func(r *rig) { r.q.KeyID, r.bundle(0).KeyID, r.q.Plugin.ChecksKeyID = "A", "B", false }, offer("1.2.0")},
	{21, "same key", func(r *rig) { r.q.KeyID, r.bundle(0).KeyID = "A", "A" }, offer("1.2.0")},
	{21, "device without key", func(r *rig) { r.bundle(0).KeyID = "B" }, offer("1.2.0")},
	{21, "bundle without key", func(r *rig) { r.q.KeyID = "A" }, offer("1.2.0")},
	{21, "bundle without key from plugin 8.51.23", func(r *rig) { r.q.KeyID, r.q.Plugin.NeedsSeal = "A", true }, blocked(capstan.ReasonNotSealed)},
	{21, "sealed bundle from plugin 8.51.23", func(r *rig) { r.q.KeyID, r.bundle(0).KeyID, r.q.Plugin.NeedsSeal = "A", "A", true }, offer("1.2.0")},
	{21, "device without key from plugin 8.51.23", func(r *rig) { r.q.Plugin.NeedsSeal = true }, offer("1.2.0")},
	{22, "same version", func(r *rig) { r.q.Running = "1.2.0" }, upToDate(capstan.ReasonSameVersion)},
	{22, "same version beats every policy", func(r *rig) {
		r.q.Running, r.production().Policy, r.production().Prod = "1.2.0", capstan.PolicyPatch, false
	}, upToDate(capstan.ReasonSameVersion)},
	{22, "bundle named like the native version", func(r *rig) { r.onBuiltin("1.2.0") }, upToDate(capstan.ReasonNamedLikeNative)},
	{23, "platform off, through a pin", func(r *rig) {
		r.channel("beta", func(c *capstan.Channel) { c.Platforms = capstan.NewPlatformSet(capstan.IOS) })
		r.release("1.2.0", func(x *capstan.Release) { x.Channel = "beta" })
		r.over.Pin = "beta"
	}, blocked(capstan.ReasonPlatformOff)},
	{24, "major above native", func(r *rig) { r.native("0.9.0") }, blocked(capstan.ReasonMajor)},
	{24, "major only blocks upwards", func(r *rig) { r.native("2.0.0"); r.production().UnderNative = true }, offer("1.2.0")},
	{24, "major looks at the native version, not at the running one", func(r *rig) { r.q.Running = "0.5.0" }, offer("1.2.0")},
	{26, "minor above", func(r *rig) { r.production().Policy = capstan.PolicyMinor }, blocked(capstan.ReasonMinor)},
	{26, "minor below is blocked too", func(r *rig) {
		r.production().Policy = capstan.PolicyMinor
		r.native("1.5.0")
		r.production().UnderNative = true
	}, blocked(capstan.ReasonMinor)},
	{26, "minor with another major", func(r *rig) { r.production().Policy = capstan.PolicyMinor; r.native("2.2.0") }, blocked(capstan.ReasonMinor)},
	{26, "minor allows another patch", func(r *rig) { r.production().Policy = capstan.PolicyMinor; r.native("1.2.0-rc.1") }, offer("1.2.0")},
	{27, "patch above", func(r *rig) { r.production().Policy = capstan.PolicyPatch; r.release("1.2.1", nil); r.native("1.2.0") }, blocked(capstan.ReasonPatch)},
	{27, "patch below is blocked too", func(r *rig) {
		r.production().Policy = capstan.PolicyPatch
		r.native("1.2.5")
		r.production().UnderNative = true
	}, blocked(capstan.ReasonPatch)},
	{27, "patch allows a prerelease of the same", func(r *rig) { r.production().Policy = capstan.PolicyPatch; r.native("1.2.0-rc.1") }, offer("1.2.0")},
	{28, "minimum policy without minimum", func(r *rig) { r.production().Policy = capstan.PolicyMetadata }, failed(capstan.ReasonNoMinimum)},
	{29, "minimum above native", func(r *rig) { r.production().Policy = capstan.PolicyMetadata; r.needs(0, "1.1.0") }, blocked(capstan.ReasonNative)},
	{29, "minimum met", func(r *rig) { r.production().Policy = capstan.PolicyMetadata; r.needs(0, "1.0.0") }, offer("1.2.0")},
	{29, "minimum policy does not look at majors", func(r *rig) {
		r.production().Policy = capstan.PolicyMetadata
		r.needs(0, "0.1.0")
		r.native("0.2.0")
	}, offer("1.2.0")},
	{30, "bundle below native", func(r *rig) { r.native("1.3.0") }, blocked(capstan.ReasonUnderNative)},
	{30, "allowed below native", func(r *rig) { r.native("1.3.0"); r.production().UnderNative = true }, offer("1.2.0")},
	{30, "native prerelease is below its release", func(r *rig) { r.native("1.2.0-get.1") }, offer("1.2.0")},
	{30, "bundle prerelease is below its release", func(r *rig) { r.release("1.3.0-beta.1", nil); r.native("1.3.0") }, blocked(capstan.ReasonUnderNative)},
	{30, "policy none still guards the native version", func(r *rig) { r.production().Policy = capstan.PolicyNone; r.native("2.0.0") }, blocked(capstan.ReasonUnderNative)},
	{31, "production builds off", func(r *rig) { r.production().Prod = false }, blocked(capstan.ReasonProdOff)},
	{32, "development builds off", func(r *rig) { r.production().Dev, r.q.Prod = false, false }, blocked(capstan.ReasonDevOff)},
	{32, "development builds off does not hit production", func(r *rig) { r.production().Dev = false }, offer("1.2.0")},
	{33, "devices off", func(r *rig) { r.production().Device = false }, blocked(capstan.ReasonDeviceOff)},
	{33, "devices off does not hit emulators", func(r *rig) { r.production().Device, r.q.Emulator = false, true }, offer("1.2.0")},
	{34, "emulators off does not hit devices", func(r *rig) { r.production().Emulator = false }, offer("1.2.0")},
	{34, "emulators off", func(r *rig) { r.production().Emulator, r.q.Emulator = false, true }, blocked(capstan.ReasonEmulatorOff)},
	{34, "prod is asked before emulator", func(r *rig) {
		r.production().Prod, r.production().Emulator, r.q.Emulator = false, false, true
	}, blocked(capstan.ReasonProdOff)},
	{35, "built-in, on a bundle", func(r *rig) { r.release("", nil) }, builtin(capstan.ReasonBuiltinRelease)},
	{35, "built-in, on built-in", func(r *rig) { r.release("", nil); r.onBuiltin("1.0.0") }, upToDate(capstan.ReasonOnBuiltin)},
	{35, "built-in knows no policy", func(r *rig) { r.production().Policy = capstan.PolicyPatch; r.release("", nil) }, builtin(capstan.ReasonBuiltinRelease)},
	{35, "built-in respects the build kinds", func(r *rig) { r.production().Prod = false; r.release("", nil) }, blocked(capstan.ReasonProdOff)},
	{35, "built-in, Electron: the newest earlier release", func(r *rig) {
		r.q.Platform = capstan.Electron
		r.release("", nil)
	}, offer("1.2.0")},
	{35, "built-in, Electron: runs the newest earlier release", func(r *rig) {
		r.q.Platform, r.q.Running = capstan.Electron, "1.2.0"
		r.release("", nil)
	}, upToDate(capstan.ReasonSameVersion)},
	{35, "built-in, Electron: the earlier release does not fit the native build", func(r *rig) {
		r.q.Platform = capstan.Electron
		r.needs(0, "1.5.0")
		r.release("", nil)
	}, upToDate(capstan.ReasonNoEarlier)},
	{35, "built-in, Electron: the earlier release is walked through the gates", func(r *rig) {
		r.q.Platform = capstan.Electron
		r.native("1.3.0")
		r.release("", nil)
	}, blocked(capstan.ReasonUnderNative)},
	{35, "built-in, Electron: failed the earlier release", func(r *rig) {
		r.q.Platform = capstan.Electron
		r.failed("1.2.0", 1)
		r.release("", nil)
	}, upToDate(capstan.ReasonNoEarlier)},
	{35, "built-in, Electron: nothing earlier", func(r *rig) {
		r.q.Platform = capstan.Electron
		r.end(1)
		r.release("", nil)
	}, upToDate(capstan.ReasonNoEarlier)},
	{36, "built-in, plugin below 6.2.0", func(r *rig) { r.release("", nil); r.q.Plugin.NoBuiltin = true }, failed(capstan.ReasonPluginNoBuiltin)},
	{37, "no zip, and a plugin that reads nothing else", func(r *rig) { r.bundle(0).Archive, r.q.Plugin.Form = "", 0 }, failed(capstan.ReasonNoForm)},
	{37, "no zip, and a plugin that reads single files", func(r *rig) { r.bundle(0).Archive = "" }, offer("1.2.0")},
	{38, "offer", func(*rig) {}, offer("1.2.0")},
	{38, "offer on built-in", func(r *rig) { r.onBuiltin("1.0.0") }, offer("1.2.0")},
	{38, "offer of an older bundle than the running one", func(r *rig) { r.q.Running = "9.0.0" }, offer("1.2.0")},

	{0, "channel without a release", func(r *rig) { r.state.Releases = nil }, upToDate(capstan.ReasonNoRelease)},
	{0, "pin beats the named channel", func(r *rig) { r.over.Pin, r.q.Channel = "production", "nowhere" }, offer("1.2.0")},
	{0, "pin to a deleted channel is no pin", func(r *rig) { r.over.Pin = "gone" }, offer("1.2.0")},
	{0, "named channel that may be chosen", func(r *rig) {
		r.channel("beta", func(c *capstan.Channel) { c.SelfAssign = true })
		r.release("1.9.0", func(x *capstan.Release) { x.Channel = "beta" })
		r.q.Channel = "beta"
	}, offer("1.9.0")},
	{0, "named channel that is the default", func(r *rig) { r.q.Channel = "production" }, offer("1.2.0")},
	{0, "former default gets today's", func(r *rig) {
		r.channel("old", func(c *capstan.Channel) { c.FormerDefault = capstan.AllPlatforms })
		r.q.Channel = "old"
	}, offer("1.2.0")},
	{0, "former default of another platform is a bad name", func(r *rig) {
		r.channel("old", func(c *capstan.Channel) { c.FormerDefault = capstan.NewPlatformSet(capstan.IOS) })
		r.q.Channel = "old"
	}, failed(capstan.ReasonNoChannel)},
	{0, "former default gets today's, although devices may choose it", func(r *rig) {
		r.channel("old", func(c *capstan.Channel) { c.FormerDefault, c.SelfAssign = capstan.AllPlatforms, true })
		r.q.Channel = "old"
	}, offer("1.2.0")},
	{0, "former default that does not serve the platform any more gets today's", func(r *rig) {
		r.channel("old", func(c *capstan.Channel) { c.FormerDefault, c.Platforms = capstan.AllPlatforms, 0 })
		r.q.Channel = "old"
	}, offer("1.2.0")},
	{0, "former default where none is the default today", func(r *rig) {
		r.production().Default = 0
		r.channel("old", func(c *capstan.Channel) { c.FormerDefault = capstan.AllPlatforms })
		r.q.Channel = "old"
	}, failed(capstan.ReasonNoChannel)},
	{0, "newest release wins", func(r *rig) { r.release("1.3.0", nil) }, offer("1.3.0")},
	{0, "newest release wins when it is older by version", func(r *rig) { r.release("1.1.5", nil) }, offer("1.1.5")},

	{0, "rollout reaches nobody", func(r *rig) { r.release("1.3.0", func(x *capstan.Release) { x.ShareBP = 0 }) }, offer("1.2.0")},
	{0, "rollout without an earlier release", func(r *rig) { r.newest().ShareBP = 0 }, upToDate(capstan.ReasonOutsideRollout)},
	{0, "paused keeps devices that have it", func(r *rig) {
		r.release("1.3.0", func(x *capstan.Release) { x.Paused = true })
		r.q.Running = "1.3.0"
	}, upToDate(capstan.ReasonSameVersion)},
	{0, "paused gives it to nobody else", func(r *rig) { r.release("1.3.0", func(x *capstan.Release) { x.Paused = true }) }, offer("1.2.0")},
	{0, "paused without an earlier release", func(r *rig) { r.newest().Paused = true }, upToDate(capstan.ReasonRolloutPaused)},
	{0, "share 0 keeps devices that have it", func(r *rig) {
		r.release("1.3.0", func(x *capstan.Release) { x.ShareBP = 0 })
		r.q.Running = "1.3.0"
	}, upToDate(capstan.ReasonSameVersion)},
	{0, "paused keeps devices that went back to built-in", func(r *rig) {
		r.release("", func(x *capstan.Release) { x.Paused = true })
		r.onBuiltin("1.0.0")
	}, upToDate(capstan.ReasonOnBuiltin)},
	{0, "paused built-in sends nobody else back", func(r *rig) {
		r.release("", func(x *capstan.Release) { x.Paused = true })
		r.q.Running = "1.2.0"
	}, upToDate(capstan.ReasonSameVersion)},
	{0, "built-in on its way leaves fresh installs outside to the earlier release", func(r *rig) {
		r.release("", func(x *capstan.Release) { x.ShareBP = 0 })
		r.onBuiltin("1.0.0")
	}, offer("1.2.0")},
	{0, "aborted rollout returns devices", func(r *rig) {
		r.release("1.3.0", func(x *capstan.Release) { x.ShareBP = 5000 })
		r.end(2)
		r.q.Running = "1.3.0"
	}, offer("1.2.0")},

	{0, "older native build gets the older live release", func(r *rig) {
		r.release("2.0.0", nil)
		r.needs(1, "2.0.0")
	}, offer("1.2.0")},
	{0, "newer native build gets the newer live release", func(r *rig) {
		r.release("2.0.0", nil)
		r.needs(1, "2.0.0")
		r.native("2.0.0")
	}, offer("2.0.0")},
	{0, "an older native build keeps its release through two newer ones", func(r *rig) {
		r.release("2.0.0", nil)
		r.needs(1, "2.0.0")
		r.release("2.0.1", nil)
		r.needs(2, "2.0.0")
	}, offer("1.2.0")},
	{0, "a finished release for all replaces the one for older native builds", func(r *rig) {
		r.release("2.0.0", nil)
		r.needs(1, "2.0.0")
		r.release("1.2.1", nil)
		r.native("1.0.0")
	}, offer("1.2.1")},
	{0, "the native version may be a prerelease of the minimum, which is lower", func(r *rig) {
		r.needs(0, "1.1.0")
		r.native("1.1.0-rc.1")
	}, blocked(capstan.ReasonNative)},
	{0, "major above native comes before the native range", func(r *rig) {
		r.release("2.0.0", nil)
		r.needs(1, "2.0.0")
		r.end(1)
	}, blocked(capstan.ReasonMajor)},
	{0, "no live release fits", func(r *rig) { r.needs(0, "1.5.0") }, blocked(capstan.ReasonNative)},
	{0, "the range of another platform does not count", func(r *rig) {
		r.bundle(0).NativeMin = map[capstan.Platform]string{capstan.IOS: "9.0.0"}
	}, offer("1.2.0")},

	{0, "failed before: the previous release", func(r *rig) { r.release("1.3.0", nil); r.failed("1.3.0", 2) }, offer("1.2.0")},
	{0, "failed before: runs the previous release", func(r *rig) {
		r.release("1.3.0", nil)
		r.failed("1.3.0", 2)
		r.q.Running = "1.2.0"
	}, upToDate(capstan.ReasonSameVersion)},
	{0, "failed before stands before same version", func(r *rig) {
		r.release("1.3.0", nil)
		r.failed("1.3.0", 2)
		r.q.Running = "1.3.0"
	}, offer("1.2.0")},
	{0, "failed before: nothing earlier", func(r *rig) { r.failed("1.2.0", 1); r.q.Running = "1.2.0" }, upToDate(capstan.ReasonFailedBefore)},
	{0, "failed before: a withdrawn release is no way back", func(r *rig) {
		r.end(1)
		r.release("1.3.0", nil)
		r.failed("1.3.0", 2)
	}, upToDate(capstan.ReasonFailedBefore)},
	{0, "failed before: what it failed was superseded, and the next is good", func(r *rig) {
		r.release("1.3.0", nil)
		r.failed("1.3.0", 2)
		r.release("1.3.1", nil)
		r.q.Running = "1.3.0"
	}, offer("1.3.1")},
	{0, "failed before: two in a row", func(r *rig) {
		r.release("1.3.0", nil)
		r.release("1.4.0", nil)
		r.failed("1.3.0", 2)
		r.failed("1.4.0", 3)
	}, offer("1.2.0")},
	{0, "failed before: the previous release still has to pass the gates", func(r *rig) {
		r.release("1.3.0", nil)
		r.failed("1.3.0", 2)
		r.native("1.2.5")
	}, blocked(capstan.ReasonUnderNative)},
	{0, "failed before: a version that was taken back later is no way back", func(r *rig) {
		r.release("1.3.0", nil) // 2
		r.release("1.2.0", nil) // 3
		r.end(3)
		r.failed("1.3.0", 2)
	}, upToDate(capstan.ReasonFailedBefore)},
	{0, "failed before: bytes of the previous release gone", func(r *rig) {
		r.release("1.3.0", nil)
		r.failed("1.3.0", 2)
		r.bundle(0).State = capstan.BundleGone
	}, upToDate(capstan.ReasonFailedBefore)},
	{0, "a new release of the failed version is offered again", func(r *rig) {
		r.release("1.3.0", nil)
		r.failed("1.3.0", 2)
		r.release("1.3.0", nil)
	}, offer("1.3.0")},

	{0, "rolled back: the earlier bundle", rollBack, offer("1.2.0")},
	{0, "rolled back under the native version: to built-in", func(r *rig) { rollBack(r); r.native("1.3.0-x") }, builtin(capstan.ReasonWithdrawn)},
	{0, "rolled back, and runs something else: stays refused", func(r *rig) {
		rollBack(r)
		r.native("1.3.0-x")
		r.q.Running = "1.1.0"
	}, blocked(capstan.ReasonUnderNative)},
	{0, "rolled back, on built-in: stays refused", func(r *rig) { rollBack(r); r.onBuiltin("1.3.0") }, blocked(capstan.ReasonUnderNative)},
	{0, "rolled back, plugin without built-in: stays refused", func(r *rig) {
		rollBack(r)
		r.native("1.3.0-x")
		r.q.Plugin.NoBuiltin = true
	}, blocked(capstan.ReasonUnderNative)},
	{0, "rolled back, Electron: the newest earlier release that fits", func(r *rig) {
		r.release("1.4.0", nil) // 2
		r.release("1.5.0", nil) // 3
		r.end(3)
		r.release("1.2.0", nil) // 4, below the native version
		r.q.Platform, r.q.Running = capstan.Electron, "1.5.0"
		r.native("1.3.0")
	}, offer("1.4.0")},
	{0, "rolled back, Electron: nothing fits", func(r *rig) {
		rollBack(r)
		r.q.Platform = capstan.Electron
		r.native("1.3.0-x")
	}, upToDate(capstan.ReasonNoEarlier)},
	{0, "rolled back while outside the next rollout: to built-in", func(r *rig) {
		r.end(1)
		r.release("1.3.0", func(x *capstan.Release) { x.ShareBP = 0 })
		r.q.Running = "1.2.0"
	}, builtin(capstan.ReasonWithdrawn)},
	{0, "rolled back, and the earlier bundle failed before: to built-in", func(r *rig) {
		rollBack(r)
		r.failed("1.2.0", 3)
	}, builtin(capstan.ReasonWithdrawn)},
	{0, "rolled back, and the channel stopped serving its builds: to built-in", func(r *rig) {
		rollBack(r)
		r.production().Prod = false
	}, builtin(capstan.ReasonWithdrawn)},
	{0, "rolled back, and named a channel that is gone: no channel", func(r *rig) {
		rollBack(r)
		r.q.Channel = "gone"
	}, failed(capstan.ReasonNoChannel)},
	{0, "taken back for the newest native builds only: older ones keep it", func(r *rig) {
		r.release("2.0.0", nil) // 2
		r.needs(1, "2.0.0")
		r.release("1.2.0", nil) // 3, on every native build
		r.end(3)
		r.q.Running = "1.2.0"
	}, upToDate(capstan.ReasonSameVersion)},
	{0, "everything taken back: to built-in", func(r *rig) { r.end(1); r.q.Running = "1.2.0" }, builtin(capstan.ReasonWithdrawn)},
	{0, "everything taken back, Electron: nothing", func(r *rig) {
		r.end(1)
		r.q.Platform, r.q.Running = capstan.Electron, "1.2.0"
	}, upToDate(capstan.ReasonNoEarlier)},
	{0, "taken back and released again: no longer withdrawn", func(r *rig) {
		rollBack(r)
		r.release("1.3.0", nil)
	}, upToDate(capstan.ReasonSameVersion)},
	{0, "taken back and released again: a refusal leaves it where it is", func(r *rig) {
		rollBack(r)
		r.release("1.3.0", nil)
		r.bundle(1).State = capstan.BundleGone
	}, failed(capstan.ReasonBytesGone)},
}
