package capstan

import (
	"crypto/sha256"
	"encoding/hex"
)

// Digest is a SHA-256 in 64 lower-case hex digits, the form in which the
// plugins compare it (iOS compares case-sensitively, device-clients.md §7.1).
// The zero value "" means "none".
type Digest string

// ParseDigest returns s as a Digest, or an [Error] with code [CodeInvalid].
func ParseDigest(s string) (Digest, error) {
	if len(s) != 64 {
		return "", Errorf(CodeInvalid, "digest %.80q is not 64 hex digits", s)
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", Errorf(CodeInvalid, "digest %q is not lower-case hex", s)
		}
	}
	return Digest(s), nil
}

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(hex.EncodeToString(sum[:]))
}

// DigestSum turns the output of a SHA-256 hash into a Digest.
func DigestSum(sum []byte) Digest { return Digest(hex.EncodeToString(sum)) }

// EmptyDigest is the digest of no bytes.
const EmptyDigest Digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
