package native

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/capstan-ota/capstan"
)

// content is a file in memory.
type content struct{ *bytes.Reader }

func (c content) Size() int64 { return c.Reader.Size() }

func of(s string) content { return content{bytes.NewReader([]byte(s))} }

func rules(found []Finding) []string {
	var ids []string
	for _, f := range found {
		ids = append(ids, string(f.Severity)+" "+f.Rule)
	}
	return ids
}

func look(t *testing.T, path, body string, expand Expand) []Finding {
	t.Helper()
	found, err := Inspect(path, of(body), expand)
	if err != nil {
		t.Fatalf("Inspect(%s): %v", path, err)
	}
	return found
}

// pe makes a file that begins like a Windows program, with its header at off.
func pe(off int, signature string) string {
	b := make([]byte, off+64)
	copy(b, "MZ\x90\x00")
	binary.LittleEndian.PutUint32(b[0x3c:], uint32(off))
	copy(b[off:], signature)
	return string(b)
}

// fixtures is one content for each row of security-reliability.md §3.3: magic
// bytes and filler, nothing that runs.
var fixtures = []struct {
	name, rule string
	kind       Kind
	body       string
}{
	{"libfoo.so", "magic.elf", ELF, "\x7fELF\x02\x01\x01\x00"},
	{"libfoo.dylib", "magic.macho32", MachO, "\xfe\xed\xfa\xce\x00"},
	{"libfoo.dylib", "magic.macho64", MachO, "\xfe\xed\xfa\xcf\x00"},
	{"libfoo.dylib", "magic.macho32-swapped", MachO, "\xce\xfa\xed\xfe\x07"},
	{"libfoo.dylib", "magic.macho64-swapped", MachO, "\xcf\xfa\xed\xfe\x07"},
	{"libfoo.dylib", "magic.fat", Fat, "\xca\xfe\xba\xbe\x00\x00\x00\x02"},
	{"Main.class", "magic.fat", Fat, "\xca\xfe\xba\xbe\x00\x00\x00\x34"},
	{"libfoo.dylib", "magic.fat64", Fat, "\xca\xfe\xba\xbf\x00"},
	{"libfoo.dylib", "magic.fat-swapped", Fat, "\xbe\xba\xfe\xca\x00"},
	{"libfoo.dylib", "magic.fat64-swapped", Fat, "\xbf\xba\xfe\xca\x00"},
	{"classes.dex", "magic.dex", DEX, "dex\n035\x00"},
	{"classes.odex", "magic.dey", DEX, "dey\n036\x00"},
	{"classes.dex", "magic.cdex", DEX, "cdex001\x00"},
	{"classes.vdex", "magic.vdex", DEX, "vdex027\x00"},
	{"boot.oat", "magic.oat", DEX, "oat\n170\x00"},
	{"boot.art", "magic.art", DEX, "art\n074\x00"},
	{"libfoo.a", "magic.ar", Object, "!<arch>\nfoo.o/"},
	{"libfoo.a", "magic.ar-thin", Object, "!<thin>\nfoo.o/"},
	{"foo.bc", "magic.bitcode", Bitcode, "BC\xc0\xde\x35\x14"},
	{"foo.bc", "magic.bitcode-wrapper", Bitcode, "\xde\xc0\x17\x0b\x00"},
	{"main.jsbundle", "magic.hermes", Bytecode, "\xc6\x1f\xbc\x03\xc1\x03\x19\x1f"},
	{"main.luac", "magic.lua", Bytecode, "\x1bLuaT\x00"},
	{"setup.msi", "magic.ole", Installer, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"},
	{"setup.exe", "magic.pe", PE, pe(0x80, "PE\x00\x00")},
	{"setup.dll", "magic.pe", PE, pe(100_000, "PE\x00\x00")},
}

func TestNativeCodeIsBlockedUnderEveryName(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures {
		for _, name := range []string{f.name, "assets/logo.png", "main.js", "x"} {
			found := Blocked(look(t, name, f.body, nil))
			i := len(found) - 1
			if i < 0 || found[i].Rule != f.rule || found[i].Kind != f.kind || found[i].Path != name || found[i].Explanation == "" {
				t.Errorf("%s as %s: %+v, want %s of kind %s", f.rule, name, found, f.rule, f.kind)
			}
		}
	}
}

func TestFindingOfAProgramNamesItsOffset(t *testing.T) {
	t.Parallel()
	found := look(t, "logo.png", pe(0x80, "PE\x00\x00"), nil)
	want := []Finding{{Rule: "magic.pe", Path: "logo.png", Offset: 0x80, Kind: PE, Severity: Block, Explanation: "PE machine code of Windows"}}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("Inspect (-want +got):\n%s", diff)
	}
}

func TestNativeNamesAreBlockedWithoutTheirContent(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]string{
		"lib/arm64/libfoo.so": "name.so", "libfoo.SO": "name.so", "libfoo.so.1": "name.so", "libfoo.so.1.2.3": "name.so",
		"a.dylib": "name.dylib", "a.bundle": "name.bundle", "A.bundle/Info.plist": "name.bundle",
		"A.framework/Info.plist": "name.framework", "x/A.xcframework/ios/y": "name.framework",
		"a.dex": "name.dex", "a.odex": "name.dex", "a.vdex": "name.dex", "a.oat": "name.dex", "a.art": "name.dex",
		"a.jar": "name.java", "a.aar": "name.java", "a.class": "name.java",
		"a.apk": "name.app-package", "a.aab": "name.app-package", "a.apks": "name.app-package", "a.xapk": "name.app-package", "a.ipa": "name.app-package",
		"a.exe": "name.pe", "a.DLL": "name.pe", "a.msi": "name.msi", "a.node": "name.node",
		"a.a": "name.object", "a.o": "name.object", "a.ko": "name.object", "a.bc": "name.bitcode",
		"lib/libflutter.so": "flutter.library", "libapp.so": "flutter.library",
		"Frameworks/App.framework/App": "flutter.framework", "Flutter.framework/Flutter": "flutter.framework",
		"assets/kernel_blob.bin": "flutter.kernel", "vm_snapshot_data": "flutter.snapshot", "isolate_snapshot_data": "flutter.snapshot",
		"vm_snapshot_instr": "flutter.snapshot", "isolate_snapshot_instr": "flutter.snapshot", "assets/flutter_assets/AssetManifest.json": "flutter.assets",
	} {
		found := Blocked(look(t, name, "encrypted", nil))
		if len(found) != 1 || found[0].Rule != rule {
			t.Errorf("%s: %v, want %s", name, found, rule)
		}
	}
}

func TestWebContentPasses(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"index.html": "<!doctype html>", "main.js": "MZ = 1; // begins like a program, and is longer than sixty-four bytes of it",
		"dos.txt": pe(0x80, "NE\x00\x00"), "far.txt": "MZ" + strings.Repeat("z", 100), "short.txt": "MZ",
		"grain.txt": "oat\nbarley\nrye\n", "tags.txt": "art\nmusic\n", "words.txt": "dey\n", "cdex.txt": "cdex is a word", "vdex.md": "vdex", "dex.txt": "dex\n",
		"main.bundle.js": "x", "so.html": "x", "logo.so.png": "x", "x.so.map": "x", "framework.js": "x", "a.framework": "x", "flutter_assets": "x",
		"assets/AssetManifest.json": "{}", "main.dart.js": "x", "flutter_service_worker.js": "x", "flutter.js": "x",
		"empty": "", "photo.jpg": "\xff\xd8\xff\xe0", "logo.png": "\x89PNG\r\n\x1a\n", "font.woff2": "wOF2", "song.mp3": "ID3", "film.mp4": "\x00\x00\x00\x18ftyp",
		"doc.pdf": "%PDF-1.7", "app.wasmx": "\x00as", "bom.txt": "\xef\xbb\xbfx", "utf16.txt": "\xff\xfeM\x00Z\x00", "node": "x", "o": "x",
	} {
		if found := look(t, name, body, nil); len(found) != 0 {
			t.Errorf("%s: %v, want nothing", name, found)
		}
	}
}

func TestWebAssemblyIsNotedAndScriptsAreWarnedAbout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"canvaskit.wasm": {"\x00asm\x01\x00\x00\x00", []string{"note magic.wasm"}},
		"hidden.png":     {"\x00asm\x01\x00\x00\x00", []string{"note magic.wasm"}},
		"run":            {"#!/bin/sh\n", []string{"warn magic.script"}},
		"run.py":         {"print(1)", []string{"warn name.script"}},
	} {
		found := look(t, name, c.body, nil)
		if diff := cmp.Diff(c.want, rules(found)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if err := Refuse(found); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
}

func TestRefusalSaysWhatItDoesNotPromise(t *testing.T) {
	t.Parallel()
	found := append(look(t, "a.wasm", "\x00asm", nil), look(t, "img/logo.png", "\x7fELF", nil)...)
	found = append(found, look(t, "b.exe", "x", nil)...)
	err, ok := errors.AsType[*capstan.Error](Refuse(found))
	if !ok || err.Code != capstan.CodeNativeCode || err.Field != "img/logo.png" {
		t.Fatalf("Refuse = %+v, want %s about img/logo.png", err, capstan.CodeNativeCode)
	}
	for _, part := range []string{"img/logo.png", "ELF machine code", "magic.elf", "1 more", NotApproval} {
		if !strings.Contains(err.Message, part) {
			t.Errorf("the message lacks %q: %s", part, err.Message)
		}
	}
	if len(err.Details) != 2 || len(err.Hints) != 1 || !strings.Contains(err.Hints[0], "img/logo.png") {
		t.Errorf("details %q, hints %q", err.Details, err.Hints)
	}
	flutter, _ := errors.AsType[*capstan.Error](Refuse(look(t, "lib/arm64-v8a/libapp.so", "\x7fELF", nil)))
	if flutter == nil || len(flutter.Hints) != 1 || flutter.Hints[0] != WhyFlutter {
		t.Errorf("the refusal of Flutter does not say why a Flutter app is native: %+v", flutter)
	}
	if err := Refuse(nil); err != nil {
		t.Errorf("Refuse(nil) = %v", err)
	}
}

// opener is an archive whose entries are given, in order of name and body.
func opener(err error, entries ...string) Expand {
	return func(_ Format, _ Content, visit func(string, Content) error) error {
		for i := 0; i < len(entries); i += 2 {
			if err := visit(entries[i], of(entries[i+1])); err != nil {
				return err
			}
		}
		return err
	}
}

func TestArchivesAreKnownByContent(t *testing.T) {
	t.Parallel()
	ustar := strings.Repeat("\x00", 257) + "ustar\x0000" + strings.Repeat("\x00", 300)
	for body, want := range map[string]Format{
		"PK\x03\x04": Zip, "PK\x05\x06": Zip, "PK\x07\x08": Zip, "\x1f\x8b\x08": Gzip, "\xfd7zXZ\x00": XZ, "\x28\xb5\x2f\xfd": Zstd, "7z\xbc\xaf\x27\x1c": SevenZip, ustar: Tar,
		"\x89PNG, and behind it PK\x05\x06" + strings.Repeat("\x00", 18): Zip,
		"\x89PNG and PK\x05\x06" + strings.Repeat("c", 18+1<<16-1):       Zip,
	} {
		var got Format
		look(t, "logo.png", body, func(f Format, _ Content, _ func(string, Content) error) error { got = f; return nil })
		if got != want {
			t.Errorf("%.20q is opened as %q, want %q", body, got, want)
		}
	}
	var got Format
	look(t, "main.js.br", "anything", func(f Format, _ Content, _ func(string, Content) error) error { got = f; return nil })
	if got != Br {
		t.Errorf("main.js.br is opened as %q", got)
	}
}

func TestArchivesAreJudgedByWhatTheyHold(t *testing.T) {
	t.Parallel()
	const zip = "PK\x03\x04"
	for name, c := range map[string]struct {
		expand Expand
		want   []string
	}{
		"clean":          {opener(nil, "index.html", "x", "a/b.js", "y"), nil},
		"apk":            {opener(nil, "AndroidManifest.xml", "x"), []string{"block inside.android-manifest"}},
		"dex":            {opener(nil, "classes2.dex", "x"), []string{"block inside.dex", "block name.dex"}},
		"jar":            {opener(nil, "META-INF/MANIFEST.MF", "x"), []string{"block inside.jar"}},
		"jar, any case":  {opener(nil, "meta-inf/Manifest.mf", "x"), []string{"block inside.jar"}},
		"aab":            {opener(nil, "BundleConfig.pb", "x"), []string{"block inside.aab"}},
		"ipa":            {opener(nil, "Payload/Demo.app/Info.plist", "x"), []string{"block inside.ipa"}},
		"ipa folder":     {opener(nil, "Payload/Demo.app/", ""), []string{"block inside.ipa"}},
		"elf inside":     {opener(nil, "img.png", "\x7fELF"), []string{"block magic.elf"}},
		"flutter inside": {opener(nil, "libapp.so", "x"), []string{"block flutter.library"}},
		"epub":           {opener(nil, "META-INF/container.xml", "x"), nil},
		"unopenable":     {opener(ErrUnopenable), []string{"block archive.unopenable"}},
		"half readable":  {opener(ErrUnopenable, "a.exe", "x"), []string{"block name.pe", "block archive.unopenable"}},
		"bomb":           {opener(ErrTooMuch), []string{"block archive.too-much"}},
		"no opener":      {nil, []string{"block archive.depth"}},
		"nested too far": {opener(nil, "a", zip), []string{"block archive.depth"}},
	} {
		if diff := cmp.Diff(c.want, rules(look(t, "pack.png", zip, c.expand))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFindingInsideAnArchiveNamesBothFiles(t *testing.T) {
	t.Parallel()
	found := look(t, "a/pack.png", "PK\x03\x04", opener(nil, "lib/x.png", "\x7fELF"))
	if len(found) != 1 || found[0].Path != "a/pack.png!lib/x.png" {
		t.Errorf("found %+v, want one at a/pack.png!lib/x.png", found)
	}
	packed := look(t, "libx.so.gz", "\x1f\x8b", opener(nil, "", "x"))
	if len(packed) != 1 || packed[0].Rule != "name.so" || packed[0].Path != "libx.so.gz" {
		t.Errorf("found %+v, want name.so at libx.so.gz", packed)
	}
}

func TestOneArchiveDoesNotFloodTheReport(t *testing.T) {
	t.Parallel()
	var many []string
	for range 1000 {
		many = append(many, "A.class", "x")
	}
	if found := look(t, "x.png", "PK\x03\x04", opener(nil, many...)); len(found) != maxInside {
		t.Errorf("%d findings, want %d", len(found), maxInside)
	}
}

func TestWhatOnlyLooksLikeAnArchivePasses(t *testing.T) {
	t.Parallel()
	tail := "text PK\x05\x06" + strings.Repeat("\x00", 18)
	for name, body := range map[string]string{"x.br": "not brotli", "x.txt": tail} {
		for _, expand := range []Expand{nil, opener(ErrUnopenable)} {
			if found := look(t, name, body, expand); len(found) != 0 {
				t.Errorf("%s: %v, want nothing", name, found)
			}
		}
	}
}

// broken cannot be read.
type broken struct{}

func (broken) Size() int64                       { return 100 }
func (broken) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

func TestReadErrorsAreReturned(t *testing.T) {
	t.Parallel()
	if _, err := Inspect("x", broken{}, nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Inspect = %v, want the error of reading", err)
	}
	expand := func(_ Format, _ Content, visit func(string, Content) error) error { return visit("a", broken{}) }
	if _, err := Inspect("x", of("PK\x03\x04"), expand); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Inspect of an archive = %v, want the error of reading", err)
	}
}

func FuzzInspect(f *testing.F) {
	for _, x := range fixtures {
		f.Add(x.name, []byte(x.body))
	}
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		if _, err := Inspect(name, content{bytes.NewReader(body)}, opener(nil, name, string(body))); err != nil {
			t.Fatal(err)
		}
	})
}
