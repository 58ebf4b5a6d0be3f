package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"strings"
	"time"

	"github.com/capstan-ota/capstan"
)

// The text of a token:
//
//	capstan_admin_Zk3fQ0aB_<43 characters of secret>_<6 characters of checksum>
//	        kind  id
//
// Id, secret and checksum are base62. The secret holds 256 random bits, so a
// fast hash of the whole text is all that has to be kept. The checksum is the
// CRC-32 of everything before it: it lets us, and secret scanners, tell a
// mistyped token from a wrong one without asking the store.
const (
	tokenPrefix = "capstan"
	idChars     = 8
	secretBytes = 32
	secretChars = 43
	sumChars    = 6
)

// TokenPattern matches the text of every token, for secret scanners.
const TokenPattern = `capstan_[a-z]+_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}`

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Encode writes n in exactly width base62 digits; higher ones are cut off.
func encode(n *big.Int, width int) string {
	n = new(big.Int).Set(n)
	out := make([]byte, width)
	digit, base := new(big.Int), big.NewInt(62)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		out[i] = base62[digit.Int64()]
	}
	return string(out)
}

// NewToken makes a token of the given kind from random bytes. The text is
// shown once and never stored.
func NewToken(random io.Reader, kind string) (text string, id string, err error) {
	b := make([]byte, idChars+secretBytes)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", "", fmt.Errorf("make token: %w", err)
	}
	id = encode(new(big.Int).SetBytes(b[:idChars]), idChars)
	body := tokenPrefix + "_" + kind + "_" + id + "_" + encode(new(big.Int).SetBytes(b[idChars:]), secretChars)
	return body + "_" + checksum(body), id, nil
}

func checksum(body string) string {
	return encode(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), sumChars)
}

// ParseToken returns the public id of a token, or an error with code
// unauthorized that never repeats the text.
func ParseToken(text string) (id string, err error) {
	parts := strings.Split(text, "_")
	if len(parts) != 5 || parts[0] != tokenPrefix || len(parts[2]) != idChars || len(parts[3]) != secretChars {
		return "", capstan.Errorf(capstan.CodeUnauthorized, "that is not a Capstan token").
			Hint("a token starts with capstan_; the server's first one is in its data directory, file admin-token")
	}
	body := text[:len(text)-len(parts[4])-1]
	if checksum(body) != parts[4] {
		return "", capstan.Errorf(capstan.CodeUnauthorized, "the token %s… is incomplete or mistyped", strings.Join(parts[:3], "_")).
			Hint("copy the whole line, 43 characters of secret and 6 of checksum included")
	}
	return parts[2], nil
}

// Hash is what is stored of a token.
func Hash(text string) capstan.Digest {
	sum := sha256.Sum256([]byte(text))
	return capstan.Digest(hex.EncodeToString(sum[:]))
}

// check compares a presented token with its row in constant time.
func check(t capstan.Token, text string, now time.Time) error {
	if subtle.ConstantTimeCompare([]byte(Hash(text)), []byte(t.Hash)) != 1 {
		return errUnknown()
	}
	switch {
	case !t.RevokedAt.IsZero():
		return capstan.Errorf(capstan.CodeUnauthorized, "token %s was revoked at %s", t.ID, t.RevokedAt.UTC().Format(time.RFC3339))
	case !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt):
		return capstan.Errorf(capstan.CodeUnauthorized, "token %s expired at %s", t.ID, t.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return nil
}

func errUnknown() error {
	return capstan.Errorf(capstan.CodeUnauthorized, "this server does not know the token").
		Hint("capstan login --server URL, with a token of this server")
}
