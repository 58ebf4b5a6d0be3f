package sim

import "github.com/capstan-ota/capstan"

// age says how a plugin reacts to a refusal (device-clients.md §3.7).
type age int

const (
	ageMessage age = iota // any message means: no update
	ageRefusal            // error or message: stat backend_refusal
	ageFail               // error: stat download_fail at every check
	ageQuiet              // error: an event and no stat
	ageKind               // the kind decides (§3.5)
)

// traits is the matrix of device-clients.md §13, and the versions scattered
// over its other sections, for one plugin.
type traits struct {
	age           age
	messageErrors bool // ageMessage: error counts as message does
	messageFails  bool // ageMessage: such an answer also sends download_fail

	defaultChannel bool // sends defaultChannel
	keepsChannel   bool // remembers its channel itself
	unsetField     bool // understands unset:true
	getKeeps       bool // getChannel's answer is remembered
	deletes        bool // unset is a DELETE
	lists          bool // can list channels
	listsInfo      bool // lists with the whole info object
	numericID      bool // channel ids are integers

	userAgent     bool
	installSource bool
	keyID         bool
	oldName       bool // sends old_version_name
	builtinNative bool // the built-in bundle is named like the native version
	builtin       bool // understands version "builtin"
	upperID       bool // device id in upper case

	v2Key         bool // reads publicKey
	v1Key         bool // has a built-in or configured V1 key: tries to decrypt whatever has a session key
	crc           bool // plain zips have a CRC-32
	hexChecksum   bool // V3 checksums
	exactCipher   bool // RSA input must be exactly 256 bytes
	strictRSA     bool // iOS: RSA-2048 and exact padding only
	failsClosed   bool // key demands a session key; zips demand a checksum
	ignoresTop    bool // iOS: top-level checksum of a manifest is not looked at
	strictAES     bool // IV and key must have 16 bytes
	strictPaths   bool // "..", "./" refused; entries checked before any GET
	manifest      bool
	suffix        bool // only names that end in .br are brotli
	pathStat      bool // sends manifest_path_fail
	resumesFiles  bool // partial manifest files; iOS also accepts an empty body from here on
	builtinFiles  bool // reuses files of the store build
	builtinBrotli bool // … also for .br entries
	zipCache      bool // fills the cache from zips
	coreLimit     bool // parallel downloads by cores
	zipRetry      bool // Android worker retries and checks lengths
	totalLimit    bool // iOS: 25 s for everything
	refetches     bool // iOS: a bundle left downloading is fetched again

	batches      bool // stats as arrays
	requeues     bool // stats are sent again and survive a restart
	latches      bool // a 429 silences until restart
	retryAfter   bool // a 429 blocks for as long as it says
	launchStats  bool // app_launch_*
	setNextStat  bool
	metadata     bool
	changeStats  bool // native_app_version_changed, os_version_changed
	patient      bool // Android: at least 30 s for an unproven bundle
	onlyDownload bool
}

// traitsOf reads the matrix. Majors outside 5 to 8 (4, and the strays 9 and
// 10) get none of it: they are old code (§0).
func traitsOf(platform capstan.Platform, plugin string) traits {
	v, _ := capstan.ParseVersion(plugin)
	// since takes the first version of each of the lines 5, 6, 7 and 8.
	since := func(first ...string) bool {
		if v.Major < 5 || v.Major > 8 || first[v.Major-5] == "" {
			return false
		}
		w, _ := capstan.ParseVersion(first[v.Major-5])
		return !v.Less(w)
	}
	const all6, all7, all8 = "6.0.0", "7.0.0", "8.0.0"
	ios, android := platform == capstan.IOS, platform == capstan.Android

	t := traits{
		defaultChannel: since("5.5.0", all6, all7, all8),
		keepsChannel:   since("5.50.1", "6.50.1", "7.34.0", "8.2.0"),
		unsetField:     since("5.50.1", "6.50.1", "7.50.1", "8.42.6"),
		getKeeps:       since("5.50.1", "6.50.1", "7.50.1", "8.47.9"),
		deletes:        since("5.3.0", all6, all7, "") && !since("5.50.1", "6.50.1", "7.34.0", ""),
		lists:          since("5.50.1", "6.14.28", "7.5.0", all8),
		listsInfo:      since("5.50.1", "6.27.11", "7.29.0", "8.2.0"),
		numericID:      since("5.50.1", "6.50.1", "7.50.1", "8.47.7"),

		userAgent:     since("5.50.1", "6.14.28", "7.9.0", all8),
		installSource: since("5.50.1", "6.50.1", "7.50.1", "8.50.0"),
		keyID:         since("5.50.1", "6.50.1", "7.50.1", "8.2.0"),
		oldName:       since("5.9.0", all6, all7, all8),
		builtinNative: since("5.50.1", "6.50.1", "7.50.1", "8.44.0"),
		builtin:       since("5.50.1", "6.2.0", "7.0.2", all8),
		upperID:       ios && !since("5.50.1", all6, all7, all8),

		v2Key:         since("5.50.1", "6.1.18", "7.0.2", all8),
		v1Key:         !since("5.50.1", "6.1.0", all7, all8),
		crc:           !since("5.50.1", "6.14.28", "7.0.2", all8),
		hexChecksum:   since("5.50.1", "6.50.1", "7.30.0", "8.2.0"),
		exactCipher:   since("5.50.1", "6.50.1", "7.50.1", "8.41.3"),
		strictRSA:     android || since("", "6.51.16", "7.51.16", "8.51.16"),
		failsClosed:   since("", "", "", "8.51.23"),
		ignoresTop:    android || since("", "", "", "8.51.23"),
		strictAES:     ios || since("", "", "", "8.51.22"),
		strictPaths:   since("", "", "", "8.51.22"),
		manifest:      since("5.50.1", "6.3.0", "7.0.2", all8),
		suffix:        since("5.50.1", "6.14.28", "7.0.38", all8),
		pathStat:      since("5.50.1", "6.50.1", "7.50.1", "8.47.3"),
		resumesFiles:  since("", "6.51.15", "7.51.15", "8.51.13"),
		builtinFiles:  ios || since("", "6.51.15", "7.51.15", "8.51.10"),
		builtinBrotli: android || since("", "6.51.16", "7.51.16", "8.51.16"),
		zipCache:      since("5.50.1", "6.50.1", "7.50.1", "8.42.4"),
		coreLimit:     since("", "6.51.15", "7.51.15", "8.51.11"),
		zipRetry:      android && since("", "", "7.51.20", "8.51.20"),
		totalLimit:    ios && since("5.50.1", "6.50.1", "7.50.1", "8.45.11"),
		refetches:     since("", "6.51.15", "7.51.15", "8.51.16"),

		batches:      since("5.50.1", "6.50.1", "7.50.1", "8.42.0"),
		requeues:     since("", "6.51.15", "7.51.15", "8.51.6"),
		retryAfter:   since("", "6.51.15", "7.51.15", "8.51.5"),
		launchStats:  since("5.50.1", "6.50.1", "7.50.1", "8.51.0"),
		setNextStat:  since("5.50.1", "6.50.1", "7.50.1", "8.44.0"),
		metadata:     since("5.50.1", "6.50.1", "7.50.1", "8.46.0"),
		changeStats:  since("5.50.1", "6.50.1", "7.50.1", "8.49.2"),
		patient:      android && since("5.50.1", "6.50.1", "7.50.1", "8.45.9"),
		onlyDownload: since("5.50.1", "6.50.1", "7.50.1", "8.47.2"),
	}
	if platform == capstan.Electron {
		t.v2Key = true
	}
	t.latches = since("5.50.1", "6.14.28", "7.23.8", all8) && !t.retryAfter
	switch {
	case since("5.50.1", "6.50.1", "7.50.1", "8.45.11"):
		t.age = ageKind
	case since("", "6.27.10", "7.28.0", all8):
		t.age = ageQuiet
	case since("", "6.25.5", "7.27.5", ""):
		t.age = ageFail
	case since("", "6.14.28", "7.17.0", ""):
		t.age = ageRefusal
	}
	t.messageErrors = since("", "", "7.16.0", "")
	t.messageFails = since("", "", "7.5.0", "") || android && since("5.9.5", "", "", "")
	return t
}
