package native

import (
	"fmt"
	"io"
	"strings"

	"github.com/capstan-ota/capstan"
)

// RuleSet names this version of the rules. It is stored with the findings of a
// bundle, so that a later, stricter version can tell what was looked at.
const RuleSet = "capstan native rules 1"

// NotApproval is the sentence that stands in every refusal and every report.
const NotApproval = "Passing this gate is not store approval: Apple and Google decide, and they look at what the app does."

// WhyFlutter explains why Flutter artefacts are refused.
const WhyFlutter = "A Flutter mobile app is native code: its Dart is compiled to machine code (libapp.so on Android, the signed App.framework on iOS), " +
	"so a new one must go through the stores. Only the output of `flutter build web` can be updated this way."

// Kind is what a finding is about.
type Kind string

const (
	ELF        Kind = "elf"
	MachO      Kind = "mach-o"
	Fat        Kind = "fat" // fat Mach-O or Java class: the two share one magic number
	DEX        Kind = "dex"
	PE         Kind = "pe"
	Java       Kind = "java"
	Object     Kind = "object"
	Bitcode    Kind = "bitcode"
	Bytecode   Kind = "bytecode"
	Installer  Kind = "installer"
	AppPackage Kind = "app-package"
	Library    Kind = "library"
	Flutter    Kind = "flutter"
	Archive    Kind = "archive"
	Script     Kind = "script"
	Wasm       Kind = "wasm"
)

// Severity says what follows from a finding.
type Severity string

const (
	// Block refuses the bundle.
	Block Severity = "block"
	// Warn is shown and passes.
	Warn Severity = "warn"
	// Note is kept in the report and passes.
	Note Severity = "note"
)

// Finding is one match of a rule.
type Finding struct {
	Rule        string   `json:"rule"`   // stable id, such as "magic.elf" or "name.so"
	Path        string   `json:"path"`   // a file inside an archive is "outer.zip!inner"
	Offset      int64    `json:"offset"` // bytes from the start of that file; 0 for names
	Kind        Kind     `json:"kind"`
	Severity    Severity `json:"severity"`
	Explanation string   `json:"explanation"`
}

func (f Finding) String() string {
	return fmt.Sprintf("%s: %s (%s)", f.Path, f.Explanation, f.Rule)
}

// Content is the content of one file. ReadAt follows [io.ReaderAt]; a caller
// that has only a stream may read it as far as it is asked.
type Content interface {
	io.ReaderAt
	Size() int64
}

// Inspect looks at the name and the content of one file and returns what it
// finds, in a fixed order. expand opens archives; with nil, archives inside
// stay closed and are blocked, since nobody can say what they hold. An error
// is one of reading.
func Inspect(path string, c Content, expand Expand) ([]Finding, error) {
	return inspector{expand}.inspect(file{shown: path, name: path, Content: c})
}

// Blocked returns the findings that refuse a bundle.
func Blocked(findings []Finding) []Finding {
	var blocked []Finding
	for _, f := range findings {
		if f.Severity == Block {
			blocked = append(blocked, f)
		}
	}
	return blocked
}

// Refuse returns nil when nothing in findings blocks, and else an error with
// [capstan.CodeNativeCode] that names the first finding, lists all of them as
// details, and says what passing the gate would mean.
func Refuse(findings []Finding) error {
	blocked := Blocked(findings)
	if len(blocked) == 0 {
		return nil
	}
	first := blocked[0]
	more := ""
	if n := len(blocked) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	err := capstan.Errorf(capstan.CodeNativeCode, "the bundle holds native code: %s%s. The app stores forbid to download it; ship it in a store build. %s",
		first, more, NotApproval).On(first.Path)
	for _, f := range blocked {
		err.Details = append(err.Details, f.String())
	}
	for _, f := range blocked {
		if f.Kind == Flutter {
			return err.Hint(WhyFlutter)
		}
	}
	return err.Hint("take " + strings.SplitN(first.Path, "!", 2)[0] + " out of the folder, or ship it in a store build; see docs/store-rules.md")
}
