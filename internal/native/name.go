package native

import (
	"slices"
	"strings"
)

// nameRule is one row of the table of names that are recognised. Names are
// compared in lower case, since half of the devices do not tell case apart.
type nameRule struct {
	rule        string
	suffixes    []string // of the last segment, or of any folder when dir is set
	names       []string // whole segment
	dir         bool     // the segment must be a folder
	kind        Kind
	severity    Severity
	explanation string
}

// nameRules is the table of security-reliability.md §3.3; Flutter's names come
// first, since they say more than their suffix. First match wins.
var nameRules = []nameRule{
	{rule: "flutter.library", names: []string{"libflutter.so", "libapp.so"}, kind: Flutter, severity: Block, explanation: "compiled Dart or the engine of a Flutter Android app"},
	{rule: "flutter.framework", names: []string{"app.framework", "flutter.framework", "app.xcframework", "flutter.xcframework"}, kind: Flutter, severity: Block, explanation: "compiled Dart or the engine of a Flutter iOS app"},
	{rule: "flutter.kernel", names: []string{"kernel_blob.bin"}, kind: Flutter, severity: Block, explanation: "Dart kernel code of a Flutter mobile app"},
	{rule: "flutter.snapshot", names: []string{"vm_snapshot_data", "isolate_snapshot_data", "vm_snapshot_instr", "isolate_snapshot_instr"}, kind: Flutter, severity: Block, explanation: "a Dart snapshot of a Flutter mobile app"},
	{rule: "flutter.assets", names: []string{"flutter_assets"}, dir: true, kind: Flutter, severity: Block, explanation: "the asset folder of a Flutter mobile app (Flutter for the web writes assets/)"},

	{rule: "name.so", suffixes: []string{".so"}, kind: ELF, severity: Block, explanation: "named like a Linux or Android library"},
	{rule: "name.dylib", suffixes: []string{".dylib"}, kind: MachO, severity: Block, explanation: "named like a library of Apple systems"},
	{rule: "name.framework", suffixes: []string{".framework", ".xcframework"}, dir: true, kind: Library, severity: Block, explanation: "inside a framework of Apple systems"},
	{rule: "name.bundle", suffixes: []string{".bundle"}, kind: Library, severity: Block, explanation: "named like a loadable bundle of Apple systems"},
	{rule: "name.dex", suffixes: []string{".dex", ".odex", ".vdex", ".oat", ".art"}, kind: DEX, severity: Block, explanation: "named like code of Android's runtime"},
	{rule: "name.java", suffixes: []string{".jar", ".aar", ".class"}, kind: Java, severity: Block, explanation: "named like Java code"},
	{rule: "name.app-package", suffixes: []string{".apk", ".aab", ".apks", ".xapk", ".ipa"}, kind: AppPackage, severity: Block, explanation: "named like an app package"},
	{rule: "name.pe", suffixes: []string{".exe", ".dll"}, kind: PE, severity: Block, explanation: "named like a Windows program or library"},
	{rule: "name.msi", suffixes: []string{".msi"}, kind: Installer, severity: Block, explanation: "named like a Windows installer"},
	{rule: "name.node", suffixes: []string{".node"}, kind: Library, severity: Block, explanation: "named like a native add-on of Node.js"},
	{rule: "name.object", suffixes: []string{".a", ".o", ".ko"}, kind: Object, severity: Block, explanation: "named like an object file, static library or kernel module"},
	{rule: "name.bitcode", suffixes: []string{".bc"}, kind: Bitcode, severity: Block, explanation: "named like LLVM bitcode"},
	{rule: "name.script", suffixes: []string{".py", ".lua", ".sh"}, kind: Script, severity: Warn, explanation: "named like a script for an interpreter that the app does not have"},
}

func byName(path string) []Finding {
	segments := strings.Split(strings.ToLower(strings.ReplaceAll(path, `\`, "/")), "/")
	for _, r := range nameRules {
		if r.matches(segments) {
			return []Finding{{Rule: r.rule, Kind: r.kind, Severity: r.severity, Explanation: r.explanation}}
		}
	}
	if isVersionedSo(segments[len(segments)-1]) {
		return []Finding{{Rule: "name.so", Kind: ELF, Severity: Block, Explanation: "named like a Linux library with a version"}}
	}
	return nil
}

// matches looks at every segment: a folder "x.bundle/" is what Apple's systems
// load, and a file inside "App.framework/" is part of it. Rules that are not
// about folders and have suffixes look at the last segment alone, but for
// bundles, which are folders as often as files.
func (r nameRule) matches(segments []string) bool {
	last := len(segments) - 1
	for i, s := range segments {
		folder := i < last
		if slices.Contains(r.names, s) && (folder || !r.dir) {
			return true
		}
		for _, suffix := range r.suffixes {
			if strings.HasSuffix(s, suffix) && (folder == r.dir || r.rule == "name.bundle") {
				return true
			}
		}
	}
	return false
}

// isVersionedSo holds for "libx.so.1" and "libx.so.1.2.3", not for
// "libx.so.map" or "logo.so.png".
func isVersionedSo(name string) bool {
	_, version, found := strings.Cut(name, ".so.")
	if !found || version == "" {
		return false
	}
	return strings.Trim(version, "0123456789.") == ""
}

// byInnerName knows the names that make an archive an app package or Java code,
// wherever the archive stands and whatever it is called.
func byInnerName(name string) (Finding, bool) {
	lower := strings.ToLower(strings.TrimPrefix(strings.ReplaceAll(name, `\`, "/"), "/"))
	segments := strings.Split(lower, "/")
	base := segments[len(segments)-1]
	found := Finding{Kind: AppPackage, Severity: Block}
	switch {
	case strings.HasPrefix(base, "classes") && strings.HasSuffix(base, ".dex"):
		found.Rule, found.Explanation = "inside.dex", "an archive that holds DEX bytecode: an Android app or library"
	case base == "androidmanifest.xml":
		found.Rule, found.Explanation = "inside.android-manifest", "an archive that holds AndroidManifest.xml: an Android app or library"
	case lower == "meta-inf/manifest.mf":
		found.Rule, found.Kind, found.Explanation = "inside.jar", Java, "an archive that holds META-INF/MANIFEST.MF: Java code or an Android app"
	case base == "bundleconfig.pb":
		found.Rule, found.Explanation = "inside.aab", "an archive that holds BundleConfig.pb: an Android App Bundle"
	case len(segments) > 1 && segments[0] == "payload" && strings.HasSuffix(segments[1], ".app"):
		found.Rule, found.Explanation = "inside.ipa", "an archive that holds Payload/*.app/: an iOS app"
	default:
		return Finding{}, false
	}
	return found, true
}
