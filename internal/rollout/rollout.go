// Package rollout says which devices a release reaches. A device's place is a
// hash of the release's salt and the device's id, so it is the same on every
// node and after every restart, costs no memory, and raising a share never
// takes the release from a device that was inside.
//
// It knows nothing of releases, channels or time: it turns a salt and an id
// into two numbers. test/vectors/bucket holds what they must be in any
// language.
package rollout

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/capstan-ota/capstan"
)

// place hashes salt ‖ lower-case device id and returns bytes 0–7 and 8–15 of
// the SHA-256, big-endian. It does not allocate for salts of up to 64 bytes.
func place(salt string, id capstan.DeviceID) (share, spread uint64) {
	var buf [100]byte
	b := append(buf[:0], salt...)
	b, _ = id.AppendText(b)
	d := sha256.Sum256(b)
	return binary.BigEndian.Uint64(d[0:8]), binary.BigEndian.Uint64(d[8:16])
}

// Bucket places a device among the 10 000 basis points of a salt, 0–9 999.
func Bucket(salt string, id capstan.DeviceID) int {
	share, _ := place(salt, id)
	return int(share % capstan.ShareAll)
}

// In reports whether a share of basis points reaches the device. 0 reaches
// nobody, 10 000 everybody.
func In(salt string, id capstan.DeviceID, shareBP int) bool {
	switch {
	case shareBP >= capstan.ShareAll:
		return true
	case shareBP <= 0:
		return false
	}
	return Bucket(salt, id) < shareBP
}

// Spread returns how long after the start of a window the device's turn comes,
// at least 0 and less than window. Devices are spread evenly.
func Spread(salt string, id capstan.DeviceID, window time.Duration) time.Duration {
	if window <= 0 {
		return 0
	}
	_, spread := place(salt, id)
	hi, _ := bits.Mul64(spread, uint64(window))
	return time.Duration(hi)
}
