package capstan

import (
	"encoding/hex"
	"time"
)

// DeviceID is a device's UUID as 16 bytes. Devices send it in any case
// (old iOS plugins upper); we print it in lower case.
type DeviceID [16]byte

// ParseDeviceID reads a UUID in the 36-character form, in any case.
func ParseDeviceID(s string) (DeviceID, bool) {
	var id DeviceID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	for n, i := range [16]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34} {
		hi, lo := unhex(s[i]), unhex(s[i+1])
		if hi > 15 || lo > 15 {
			return DeviceID{}, false
		}
		id[n] = hi<<4 | lo
	}
	return id, true
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// AppendText appends the 36 lower-case characters of id to b.
func (id DeviceID) AppendText(b []byte) ([]byte, error) {
	for i, n := range [...]int{4, 2, 2, 2, 6} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, id[:n])
		copy(id[:], id[n:]) // id is a copy: consume it from the front
	}
	return b, nil
}

// String returns the 36 lower-case characters of id.
func (id DeviceID) String() string {
	b, _ := id.AppendText(make([]byte, 0, 36))
	return string(b)
}

// MarshalText implements encoding.TextMarshaler.
func (id DeviceID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler; the error has code
// [CodeInvalid].
func (id *DeviceID) UnmarshalText(b []byte) error {
	parsed, ok := ParseDeviceID(string(b))
	if !ok {
		return Errorf(CodeInvalid, "device id %.64q is not a UUID", b).On("device")
	}
	*id = parsed
	return nil
}

// Device is one installation, as it last described itself.
type Device struct {
	App           string
	ID            DeviceID
	Platform      Platform
	CustomID      string
	NativeVersion string // version_build, canonical
	NativeBuild   string // version_code
	OSVersion     string
	PluginVersion string
	InstallSource string
	Channel       string // the defaultChannel that it sent; "" if none
	KeyID         string
	Prod          bool
	Emulator      bool

	Running string // version it said it runs; equals NativeVersion on the built-in bundle
	// Offered is the version of the last offer, kept apart from Running since
	// an offer is not yet installed.
	Offered        string
	OfferedRelease int64
	OfferedAt      time.Time
	Reason         Reason // of the last decision

	FirstSeen time.Time
	LastSeen  time.Time
}

// PinKind says who tied a device to a channel.
type PinKind string

const (
	PinOperator PinKind = "operator" // never expires by itself
	PinSelf     PinKind = "self"     // by a legacy plugin; expires after 90 silent days
)

// Pin is a device tied to a channel, by an operator or by itself.
type Pin struct {
	App     string
	Device  DeviceID
	Kind    PinKind
	Channel string
	At      time.Time
}

// Failure records that a device reported a version as failed. Releases up to
// and including Release that carry the version are not offered to it again.
type Failure struct {
	App     string
	Device  DeviceID
	Version string
	Release int64
	At      time.Time
}
