package store

import (
	"time"

	"github.com/capstan-ota/capstan"
)

// The shapes are what change rows hold as before and after. They are a format:
// history shows them, the sealed log hashes them and the past is rebuilt from
// them, so keys are only ever added. Times are RFC 3339 in UTC; what is at its
// zero value may be left out. The ETag number is not part of them, since the
// change has it.

type appRow struct {
	ID             string    `json:"id"`
	Org            string    `json:"org"`
	Name           string    `json:"name,omitzero"`
	SelfSet        bool      `json:"self_set,omitzero"`
	ExposeMetadata bool      `json:"expose_metadata,omitzero"`
	CreatedAt      time.Time `json:"created_at"`
}

func appShape(a capstan.App) any {
	return appRow{a.ID, a.Org, a.Name, a.SelfSet, a.ExposeMetadata, a.CreatedAt.UTC()}
}

type channelRow struct {
	Name          string             `json:"name"`
	Seq           int64              `json:"seq"`
	Default       []capstan.Platform `json:"default,omitempty"`
	FormerDefault []capstan.Platform `json:"former_default,omitempty"`
	Platforms     []capstan.Platform `json:"platforms,omitempty"`
	SelfAssign    bool               `json:"self_assign,omitzero"`
	Policy        capstan.Policy     `json:"policy"`
	UnderNative   bool               `json:"under_native,omitzero"`
	Prod          bool               `json:"prod,omitzero"`
	Dev           bool               `json:"dev,omitzero"`
	Device        bool               `json:"device,omitzero"`
	Emulator      bool               `json:"emulator,omitzero"`
	CreatedAt     time.Time          `json:"created_at"`
}

func channelShape(c *capstan.Channel) any {
	if c == nil {
		return nil
	}
	return channelRow{
		c.Name, c.Seq, c.Default.List(), c.FormerDefault.List(), c.Platforms.List(), c.SelfAssign, c.Policy,
		c.UnderNative, c.Prod, c.Dev, c.Device, c.Emulator, c.CreatedAt.UTC(),
	}
}

type bundleRow struct {
	ID           string                      `json:"id"`
	Version      string                      `json:"version"`
	Root         capstan.Digest              `json:"root"`
	State        capstan.BundleState         `json:"state"`
	Archive      capstan.Digest              `json:"archive"`
	ArchiveBytes int64                       `json:"archive_bytes"`
	ArchiveCRC32 string                      `json:"archive_crc32,omitzero"`
	FileCount    int                         `json:"file_count"`
	SizeBytes    int64                       `json:"size_bytes"`
	DeltaOffered bool                        `json:"delta_offered,omitzero"`
	NativeMin    map[capstan.Platform]string `json:"native_min,omitempty"`
	KeyID        string                      `json:"key_id,omitzero"`
	Link         string                      `json:"link,omitzero"`
	Comment      string                      `json:"comment,omitzero"`
	CreatedAt    time.Time                   `json:"created_at"`
	CreatedBy    string                      `json:"created_by,omitzero"`
}

func bundleShape(b capstan.Bundle) any {
	return bundleRow{
		b.ID, b.Version, b.Root, b.State, b.Archive, b.ArchiveBytes, b.ArchiveCRC32, b.FileCount, b.SizeBytes,
		b.DeltaOffered, b.NativeMin, b.KeyID, b.Link, b.Comment, b.CreatedAt.UTC(), b.CreatedBy,
	}
}

type releaseRow struct {
	Number    int64             `json:"number"`
	Channel   string            `json:"channel"`
	Bundle    string            `json:"bundle,omitzero"`
	Version   string            `json:"version,omitzero"`
	ShareBP   int               `json:"share_bp"`
	Salt      string            `json:"salt,omitzero"`
	Paused    bool              `json:"paused,omitzero"`
	At        time.Time         `json:"at"`
	By        string            `json:"by,omitzero"`
	EndedAt   time.Time         `json:"ended_at,omitzero"`
	EndReason capstan.EndReason `json:"end_reason,omitzero"`
}

func releaseShape(r capstan.Release) any {
	row := releaseRow{
		r.Number, r.Channel, r.Bundle, r.Version, r.ShareBP, r.Salt, r.Paused, r.At.UTC(), r.By, r.EndedAt, r.EndReason,
	}
	if r.Ended() {
		row.EndedAt = r.EndedAt.UTC()
	}
	return row
}

type pinRow struct {
	Device  capstan.DeviceID `json:"device"`
	Channel string           `json:"channel"`
	At      time.Time        `json:"at"`
}

func pinShape(p capstan.Pin) any { return pinRow{p.Device, p.Channel, p.At.UTC()} }

// tokenRow leaves the hash out: history is read by more people than tokens.
type tokenRow struct {
	ID        string    `json:"id"`
	Org       string    `json:"org"`
	Name      string    `json:"name"`
	Scopes    []string  `json:"scopes"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

func tokenShape(t capstan.Token) any {
	return tokenRow{t.ID, t.Org, t.Name, t.Scopes, t.CreatedAt.UTC(), t.ExpiresAt, t.RevokedAt}
}
