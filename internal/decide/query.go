package decide

import (
	"time"

	"github.com/capstan-ota/capstan"
)

// Query is what a device says when it asks, already normalised by the wire
// protocol, and when. It holds everything besides snapshot and overlay that a
// decision may depend on.
type Query struct {
	At       time.Time
	Device   capstan.DeviceID
	Platform capstan.Platform
	// Running is the version that the device runs. On the built-in bundle it
	// equals Native: plugins before 8.44 / x.50.1 say "builtin", which the wire
	// replaces, so the two cannot be told apart (decisions.md §0 step 6).
	Running       string
	Native        string          // native version, canonical
	NativeVersion capstan.Version // Native, parsed
	Channel       string          // the channel that the device names, "" if none
	KeyID         string          // first 20 characters of its public key, "" if none
	Prod          bool
	Emulator      bool
	Plugin        Plugin
}

// Builtin reports whether the device runs the web content of its store build.
func (q *Query) Builtin() bool { return q.Running == q.Native }

// Plugin is what the asking plugin can do. The wire derives it from platform
// and plugin version; the core knows no plugin versions.
type Plugin struct {
	Unsupported bool // cannot be served at all
	NoBuiltin   bool // does not understand being sent to built-in
	ChecksKeyID bool // a key mismatch is answered, not left to fail on the device
	NeedsSeal   bool // with a key it installs nothing that is not sealed for it
	Form        Form // the form it can read
}

// Form says in which form an offer is encoded: a set of bits.
type Form uint8

const (
	// FormDelta carries the manifest beside the zip.
	FormDelta Form = 1 << iota
	// FormCRC32 carries the CRC-32 of the zip in place of its SHA-256.
	FormCRC32
	// FormMetadata carries link and comment.
	FormMetadata

	// Forms is the number of different forms.
	Forms = 1 << iota
)

// Answer is one offer as bytes, ready to be written.
type Answer struct {
	Identity []byte
	Gzip     []byte // Identity compressed; nil when that does not help
}

// Overlay is what is known about the one asking device that is not compiled
// into the snapshot. The zero value means: nothing.
type Overlay struct {
	Pin      string // name of the channel it is tied to, "" if none
	PinKind  capstan.PinKind
	Failures []capstan.Failure // read only
}

// Decision is what a device is told. Bundle and Release are set for an offer,
// and for refusals wherever one was considered; Channel wherever one resolved.
type Decision struct {
	Outcome capstan.Outcome
	Reason  capstan.Reason
	Channel *Channel
	Release *capstan.Release
	Bundle  *Bundle
	Form    Form // of an offer
}

// Step is one gate of the walk, as Explain reports it.
type Step struct {
	Gate   string // stable name, such as "under_native"
	Pass   bool
	Detail string // the values that were compared
}

// Bundle is a bundle as compiled into a snapshot.
type Bundle struct {
	capstan.Bundle
	Parsed    capstan.Version
	NativeMin [3]capstan.Version // by index of capstan.Platforms; zero: no bound
	Files     []capstan.StoredFile

	// Answers holds the prepared offers, by Form. The wire protocol fills it
	// before the snapshot is published; it is never written afterwards.
	Answers [Forms]Answer
}
