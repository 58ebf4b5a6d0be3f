package native

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// headBytes is how much of each file is looked at for a magic number.
const headBytes = 64

// magic is one row of the table of contents that are recognised.
type magic struct {
	rule        string
	prefix      string
	kind        Kind
	severity    Severity
	explanation string
	// notText lets a file pass that begins like this by chance: the real format
	// goes on with a version in digits, or with bytes that no text has.
	notText bool
}

// magics is the table of security-reliability.md §3.3, first match wins.
var magics = []magic{
	{rule: "magic.elf", prefix: "\x7fELF", kind: ELF, severity: Block, explanation: "ELF machine code: an Android or Linux library or program"},

	{rule: "magic.macho32", prefix: "\xfe\xed\xfa\xce", kind: MachO, severity: Block, explanation: "Mach-O machine code of Apple systems, 32 bit"},
	{rule: "magic.macho64", prefix: "\xfe\xed\xfa\xcf", kind: MachO, severity: Block, explanation: "Mach-O machine code of Apple systems, 64 bit"},
	{rule: "magic.macho32-swapped", prefix: "\xce\xfa\xed\xfe", kind: MachO, severity: Block, explanation: "Mach-O machine code of Apple systems, 32 bit"},
	{rule: "magic.macho64-swapped", prefix: "\xcf\xfa\xed\xfe", kind: MachO, severity: Block, explanation: "Mach-O machine code of Apple systems, 64 bit"},

	{rule: "magic.fat", prefix: "\xca\xfe\xba\xbe", kind: Fat, severity: Block, explanation: "fat Mach-O machine code or a Java class, which begin alike"},
	{rule: "magic.fat64", prefix: "\xca\xfe\xba\xbf", kind: Fat, severity: Block, explanation: "fat Mach-O machine code, 64 bit"},
	{rule: "magic.fat-swapped", prefix: "\xbe\xba\xfe\xca", kind: Fat, severity: Block, explanation: "fat Mach-O machine code"},
	{rule: "magic.fat64-swapped", prefix: "\xbf\xba\xfe\xca", kind: Fat, severity: Block, explanation: "fat Mach-O machine code, 64 bit"},

	{rule: "magic.dex", prefix: "dex\n0", kind: DEX, severity: Block, explanation: "DEX bytecode of Android"},
	{rule: "magic.dey", prefix: "dey\n", kind: DEX, severity: Block, notText: true, explanation: "optimised DEX bytecode of Android"},
	{rule: "magic.cdex", prefix: "cdex", kind: DEX, severity: Block, notText: true, explanation: "compact DEX bytecode of Android"},
	{rule: "magic.vdex", prefix: "vdex", kind: DEX, severity: Block, notText: true, explanation: "verified DEX bytecode of Android"},
	{rule: "magic.oat", prefix: "oat\n", kind: DEX, severity: Block, notText: true, explanation: "compiled code of Android's runtime"},
	{rule: "magic.art", prefix: "art\n", kind: DEX, severity: Block, notText: true, explanation: "an image of Android's runtime"},

	{rule: "magic.ar", prefix: "!<arch>\n", kind: Object, severity: Block, explanation: "a static library"},
	{rule: "magic.ar-thin", prefix: "!<thin>\n", kind: Object, severity: Block, explanation: "a thin static library"},
	{rule: "magic.bitcode", prefix: "BC\xc0\xde", kind: Bitcode, severity: Block, explanation: "LLVM bitcode"},
	{rule: "magic.bitcode-wrapper", prefix: "\xde\xc0\x17\x0b", kind: Bitcode, severity: Block, explanation: "wrapped LLVM bitcode"},
	{rule: "magic.hermes", prefix: "\xc6\x1f\xbc\x03", kind: Bytecode, severity: Block, explanation: "Hermes bytecode, which no web view runs"},
	{rule: "magic.lua", prefix: "\x1bLua", kind: Bytecode, severity: Block, explanation: "Lua bytecode, which no web view runs"},
	{rule: "magic.ole", prefix: "\xd0\xcf\x11\xe0", kind: Installer, severity: Block, explanation: "an OLE container, the form of MSI installers"},

	{rule: "magic.wasm", prefix: "\x00asm", kind: Wasm, severity: Note, explanation: "WebAssembly: the web view runs it, so it may be updated"},
	{rule: "magic.script", prefix: "#!", kind: Script, severity: Warn, explanation: "a script for an interpreter that the app does not have"},
}

func byMagic(c Content, head []byte) ([]Finding, error) {
	var found []Finding
	for _, m := range magics {
		if !bytes.HasPrefix(head, []byte(m.prefix)) || m.notText && readsAsText(head, len(m.prefix)) {
			continue
		}
		found = append(found, Finding{Rule: m.rule, Kind: m.kind, Severity: m.severity, Explanation: m.explanation})
		break
	}
	at, err := peOffset(c, head)
	if err != nil {
		return nil, err
	}
	if at > 0 {
		found = append(found, Finding{Rule: "magic.pe", Offset: at, Kind: PE, Severity: Block, Explanation: "PE machine code of Windows"})
	}
	return found, nil
}

// readsAsText reports whether head, which begins with a magic number made of n
// letters, is a text after all: the runtime formats put a version in digits
// there, and a zero byte soon after it.
func readsAsText(head []byte, n int) bool {
	if len(head) > n && head[n] >= '0' && head[n] <= '9' {
		return false
	}
	for _, b := range head {
		if b < ' ' && b != '\n' && b != '\r' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

// peOffset returns where "PE\0\0" stands in a file that begins with "MZ", or 0.
// Without the second look every text that begins with "MZ" would be a program.
func peOffset(c Content, head []byte) (int64, error) {
	const pointerAt = 0x3c
	if len(head) < pointerAt+4 || head[0] != 'M' || head[1] != 'Z' {
		return 0, nil
	}
	at := int64(binary.LittleEndian.Uint32(head[pointerAt:]))
	if at < 4 || at+4 > c.Size() {
		return 0, nil
	}
	sig, err := readAt(c, at, 4)
	if err != nil || string(sig) != "PE\x00\x00" {
		return 0, err
	}
	return at, nil
}

// readAt reads up to n bytes at off; fewer only at the end of c.
func readAt(c Content, off int64, n int) ([]byte, error) {
	b := make([]byte, max(0, min(int64(n), c.Size()-off)))
	read, err := c.ReadAt(b, off)
	if read == len(b) || errors.Is(err, io.EOF) {
		return b[:read], nil
	}
	return nil, fmt.Errorf("read %d bytes at %d: %w", n, off, err)
}
