// Package store keeps the rows: rows in, rows out, on SQLite and PostgreSQL
// from the same SQL text.
package store

import (
	"context"
	"log/slog"
	"time"

	"github.com/capstan-ota/capstan"
)

// Options says where the rows live.
type Options struct {
	Dir         string // data directory; SQLite database and event files. Locked against other processes
	PostgresURL string // postgres://…; "" means SQLite in Dir
	Now         func() time.Time
	Log         *slog.Logger // nil discards
}

// DB is the store. It is safe for concurrent use.
type DB struct{}

// Open opens and migrates the store.
func Open(ctx context.Context, o Options) (*DB, error) { panic("skeleton") }

// Close waits for what is being written and closes every file.
func (db *DB) Close() error { panic("skeleton") }

// Engine returns "sqlite" or "postgres".
func (db *DB) Engine() string { panic("skeleton") }

// Write runs fn in one transaction and commits it. Every mutation that fn
// makes through the Tx appends one change row; the returned number is that of
// the last one, 0 when fn changed nothing. fn is called again when the engine
// asks for a retry, so it must not keep state from an earlier call.
func (db *DB) Write(ctx context.Context, actor string, fn func(*Tx) error) (number int64, err error) {
	panic("skeleton")
}

// Tx is a write transaction. It is used by one goroutine, inside Write. What
// reads an app's rows through it first locks the app, so two Writes about one
// app follow each other and what was read stays true until commit.
type Tx struct{}

// Now is the time of the transaction.
func (tx *Tx) Now() time.Time { panic("skeleton") }

// Reads: errors carry app_not_found, channel_not_found, bundle_not_found, release_not_found.
func (tx *Tx) App(id string) (capstan.App, error)                              { panic("skeleton") }
func (tx *Tx) Channel(app, name string) (capstan.Channel, error)               { panic("skeleton") }
func (tx *Tx) Channels(app string) ([]capstan.Channel, error)                  { panic("skeleton") }
func (tx *Tx) Bundle(app, version string) (capstan.Bundle, error)              { panic("skeleton") }
func (tx *Tx) BundleByID(app, id string) (capstan.Bundle, error)               { panic("skeleton") }
func (tx *Tx) BundleFiles(bundleID string) ([]capstan.StoredFile, error)       { panic("skeleton") }
func (tx *Tx) Release(app string, number int64) (capstan.Release, error)       { panic("skeleton") }
func (tx *Tx) Releases(app string, f ReleaseFilter) ([]capstan.Release, error) { panic("skeleton") }

// App mutations. CreatedAt is set from Now when zero.
func (tx *Tx) CreateApp(a capstan.App) error { panic("skeleton") } // app_exists
func (tx *Tx) UpdateApp(a capstan.App) error { panic("skeleton") } // equal to the row: no change
func (tx *Tx) DeleteApp(id string) error     { panic("skeleton") } // with everything of it

// Channel mutations. Default moves away from the channel that had the
// platform, which becomes FormerDefault. Seq is assigned.
func (tx *Tx) CreateChannel(c capstan.Channel) (capstan.Channel, error) { panic("skeleton") }
func (tx *Tx) UpdateChannel(c capstan.Channel) (capstan.Channel, error) { panic("skeleton") }
func (tx *Tx) DeleteChannel(app, name string) error                     { panic("skeleton") }

// CreateBundle inserts a ready bundle with its files, after CheckBlobs of all
// of them and of the archive. Errors: version_exists, blob_missing.
func (tx *Tx) CreateBundle(b capstan.Bundle, files []capstan.StoredFile) error { panic("skeleton") }
func (tx *Tx) MarkBundleGone(app, id string) error                             { panic("skeleton") }

// ReviveBundle makes a gone bundle ready again with the archive of b and
// files; its id, version, root, created stay.
func (tx *Tx) ReviveBundle(b capstan.Bundle, files []capstan.StoredFile) error { panic("skeleton") }

// CreateRelease numbers and inserts r (Number and Version are assigned; At
// from Now, By from the actor when empty). Errors: channel_not_found,
// bundle_not_found, bytes_gone.
func (tx *Tx) CreateRelease(r capstan.Release) (capstan.Release, error)            { panic("skeleton") }
func (tx *Tx) EndRelease(app string, number int64, why capstan.EndReason) error    { panic("skeleton") }
func (tx *Tx) SetRollout(app string, number int64, shareBP int, paused bool) error { panic("skeleton") }

// Operator pins.
func (tx *Tx) SetPin(p capstan.Pin) error                          { panic("skeleton") }
func (tx *Tx) DeletePin(app string, device capstan.DeviceID) error { panic("skeleton") }

func (tx *Tx) CreateToken(t capstan.Token) error { panic("skeleton") }
func (tx *Tx) RevokeToken(id string) error       { panic("skeleton") }

// CheckBlobs locks the rows of blobs and fails with blob_missing (Details
// lists them) when one is absent or being deleted.
func (tx *Tx) CheckBlobs(blobs []capstan.Digest) error { panic("skeleton") }

// AppFilter pages apps by id.
type AppFilter struct {
	Org   string
	After string // id of the last app of the page before
	Limit int    // 0: 100, at most 1000
}

// BundleFilter pages bundles, newest first.
type BundleFilter struct {
	Before string              // id of the last bundle of the page before, "" for the newest
	State  capstan.BundleState // "" for all
	Limit  int                 // 0: 100, at most 1000
}

// ReleaseFilter pages releases, newest first.
type ReleaseFilter struct {
	Channel string // "" for all channels
	Before  int64  // number of the last release of the page before, 0 for the newest
	Limit   int    // 0: 100, at most 1000
}

// DeviceFilter pages devices: most recent day of being seen first, then by id.
type DeviceFilter struct {
	After string // cursor that Devices returned, "" for the first page
	Limit int    // 0: 100, at most 1000
}

func (db *DB) Apps(ctx context.Context, f AppFilter) ([]capstan.App, error)        { panic("skeleton") }
func (db *DB) App(ctx context.Context, id string) (capstan.App, error)             { panic("skeleton") }
func (db *DB) AppIDs(ctx context.Context) ([]string, error)                        { panic("skeleton") }
func (db *DB) Channels(ctx context.Context, app string) ([]capstan.Channel, error) { panic("skeleton") }
func (db *DB) Channel(ctx context.Context, app, name string) (capstan.Channel, error) {
	panic("skeleton")
}
func (db *DB) Bundles(ctx context.Context, app string, f BundleFilter) ([]capstan.Bundle, error) {
	panic("skeleton")
}
func (db *DB) Bundle(ctx context.Context, app, version string) (capstan.Bundle, error) {
	panic("skeleton")
}
func (db *DB) BundleByID(ctx context.Context, app, id string) (capstan.Bundle, error) {
	panic("skeleton")
}
func (db *DB) BundleFiles(ctx context.Context, bundleID string) ([]capstan.StoredFile, error) {
	panic("skeleton")
}
func (db *DB) Releases(ctx context.Context, app string, f ReleaseFilter) ([]capstan.Release, error) {
	panic("skeleton")
}
func (db *DB) Release(ctx context.Context, app string, number int64) (capstan.Release, error) {
	panic("skeleton")
}

// AppState reads everything for decide.Compile in one read transaction.
func (db *DB) AppState(ctx context.Context, app string) (capstan.AppState, error) { panic("skeleton") }

// Number is the number of the last change.
func (db *DB) Number(ctx context.Context) (int64, error) { panic("skeleton") }

// Changes returns the changes above after in number order, at most limit.
func (db *DB) Changes(ctx context.Context, after int64, limit int) ([]capstan.Change, error) {
	panic("skeleton")
}

func (db *DB) Token(ctx context.Context, id string) (capstan.Token, error)     { panic("skeleton") } // not_found
func (db *DB) Tokens(ctx context.Context, org string) ([]capstan.Token, error) { panic("skeleton") }

// Pins of one app, both kinds; EachPin and EachFailure feed the overlays.
func (db *DB) Pins(ctx context.Context, app string) ([]capstan.Pin, error)   { panic("skeleton") }
func (db *DB) EachPin(ctx context.Context, fn func(capstan.Pin) error) error { panic("skeleton") }
func (db *DB) EachFailure(ctx context.Context, fn func(capstan.Failure) error) error {
	panic("skeleton")
}
func (db *DB) Failures(ctx context.Context, app string, device capstan.DeviceID) ([]capstan.Failure, error) {
	panic("skeleton")
}

func (db *DB) Devices(ctx context.Context, app string, f DeviceFilter) (devices []capstan.Device, next string, err error) {
	panic("skeleton")
}

// Device finds a device by id or, when key is no UUID or no device has it, by
// custom id (the one seen last). Error: device_not_found.
func (db *DB) Device(ctx context.Context, app, key string) (capstan.Device, error) { panic("skeleton") }
func (db *DB) CountDevicesOnChannelName(ctx context.Context, app, name string) (int64, error) {
	panic("skeleton")
}

// Sighting is one update check as it is written: Device says who asked and
// what it runs, seen at Device.LastSeen.
type Sighting struct {
	Device  capstan.Device
	Offered bool // Device.Offered, OfferedRelease, OfferedAt are of this check; otherwise the stored ones stay
}

// WriteSightings writes a batch in one transaction; of several about one
// device the last counts. Apps that do not exist are left out.
func (db *DB) WriteSightings(ctx context.Context, batch []Sighting) error { panic("skeleton") }

// FailureReport is a device's word that it could not activate Version.
type FailureReport struct {
	App     string
	Device  capstan.DeviceID
	Version string
	At      time.Time
}

// AddFailures keeps those reports whose version is the one last offered to the
// device and returns them with the release that offered it.
func (db *DB) AddFailures(ctx context.Context, reports []FailureReport) ([]capstan.Failure, error) {
	panic("skeleton")
}

// ClearFailures forgets the failures of one device.
func (db *DB) ClearFailures(ctx context.Context, app string, device capstan.DeviceID) error {
	panic("skeleton")
}

// MaxSelfPins is how many self-set pins an app keeps; the oldest go first.
const MaxSelfPins = 100_000

// SetSelfPin records p (Kind is ignored) and returns the devices whose pins
// had to go.
func (db *DB) SetSelfPin(ctx context.Context, p capstan.Pin) (removed []capstan.DeviceID, err error) {
	panic("skeleton")
}

// UnsetSelfPin removes the self-set pin of a device, if any.
func (db *DB) UnsetSelfPin(ctx context.Context, app string, device capstan.DeviceID) error {
	panic("skeleton")
}

// AppendEvents keeps events and returns once they are durable, all or none.
// Errors: storage_full, unavailable.
func (db *DB) AppendEvents(ctx context.Context, events []capstan.Event) error { panic("skeleton") }

// Events returns the newest events of a device, newest first, before the event
// with id before ("" for the newest).
func (db *DB) Events(ctx context.Context, app string, device capstan.DeviceID, limit int, before string) ([]capstan.Event, error) {
	panic("skeleton")
}

// Want is a plain content that a bundle needs.
type Want struct {
	Digest   capstan.Digest
	Bytes    int64            // plain size
	Encoding capstan.Encoding // stored form that it must have, "" for any
}

// Content is a plain content that an organisation has, and its stored form.
type Content struct {
	Org       string
	Digest    capstan.Digest // of the plain bytes; of the zip for archives
	Encoding  capstan.Encoding
	Blob      capstan.Digest
	BlobBytes int64
	Bytes     int64 // plain size
}

// MissingContents returns those wants that org lacks, and leases the blobs of
// the others until leaseUntil. It looks within org only.
func (db *DB) MissingContents(ctx context.Context, org string, wants []Want, leaseUntil time.Time) ([]Want, error) {
	panic("skeleton")
}

// Contents returns what org has of digests, in every stored form.
func (db *DB) Contents(ctx context.Context, org string, digests []capstan.Digest) ([]Content, error) {
	panic("skeleton")
}

// ClaimBlob must be called before the bytes are put into the blob store: it
// makes the blob's row, or holds it, until leaseUntil. Error: unavailable while
// the collector is deleting this blob; try again shortly.
func (db *DB) ClaimBlob(ctx context.Context, blob capstan.Digest, blobBytes int64, leaseUntil time.Time) error {
	panic("skeleton")
}

// PutContent records, after the bytes are durable, that c.Org has c. The blob
// must have been claimed (else unavailable).
func (db *DB) PutContent(ctx context.Context, c Content, leaseUntil time.Time) error {
	panic("skeleton")
}

// Keep says which names hold bytes.
type Keep struct {
	Grace    time.Duration // no blob younger than this is collected; 0: 24 h
	Releases int           // per channel; 0: 10
	Seen     time.Duration // bundles of devices seen within; 0: 30 days
	Unnamed  time.Duration // bundles that were never released; 0: 30 days
	Limit    int           // blobs per call; 0: 1000
}

// MarkCollectable marks bundles gone that nothing holds, marks blobs that no
// ready bundle names `deleting`, and returns the digests of every blob in that
// state. The caller deletes their bytes, then calls ForgetBlobs.
func (db *DB) MarkCollectable(ctx context.Context, keep Keep) ([]capstan.Digest, error) {
	panic("skeleton")
}

// ForgetBlobs removes the rows of deleted blobs.
func (db *DB) ForgetBlobs(ctx context.Context, blobs []capstan.Digest) error { panic("skeleton") }
