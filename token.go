package capstan

import "time"

// Token is an API key. Only the SHA-256 of its secret is kept.
type Token struct {
	ID        string // 8 characters, public part of the token
	Org       string
	Name      string
	Hash      Digest // of the whole token text
	Scopes    []string
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: not
}

// ScopeAdmin may do everything in its organisation.
const ScopeAdmin = "admin"
