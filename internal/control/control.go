// Package control holds the verbs: make an app, set a channel, register a
// bundle, publish, roll back, delete. Each authorises its caller, writes rows
// and change in one transaction, waits until the catalog serves the result,
// and answers with the change's number, so that what was acknowledged is what
// the next device sees.
//
// It knows the write order of a publication: blobs are durable under their
// digests before a row names them, rows are durable before the snapshot swaps,
// the snapshot has swapped before the caller hears of it. It knows no HTTP.
package control

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/blob"
	"github.com/capstan-ota/capstan/internal/catalog"
	"github.com/capstan-ota/capstan/internal/manifest"
	"github.com/capstan-ota/capstan/internal/store"
)

// Control is safe for concurrent use.
type Control struct {
	DB      *store.DB
	Blobs   blob.Store
	Catalog *catalog.Catalog
	Log     *slog.Logger
	Now     func() time.Time
	Random  io.Reader // for ids and salts
	Limits  manifest.Limits
}

// ChannelChange is what came of changing a channel.
type ChannelChange struct {
	Channel capstan.Channel
	Moved   []DefaultMoved
}

// DefaultMoved tells that a platform has a new default channel, and how many
// devices carry the old name.
type DefaultMoved struct {
	Platform capstan.Platform
	From     string
	Devices  int64
}

// Published is what came of putting a release on a channel.
type Published struct {
	Release    capstan.Release
	Channel    capstan.Channel
	Previous   *capstan.Release // that the channel served before, nil if none
	Ended      []int64          // releases that were taken back
	DeltaFiles int              // files that a device on the previous version downloads
	DeltaBytes int64            // their stored bytes
	Unchanged  bool             // the channel served this already; nothing was written
}

// Target says where a rollback goes. The zero value is the previous finished
// release.
type Target struct {
	Release int64
	Builtin bool
}

// NewBundle is a bundle whose bytes have been put.
type NewBundle struct {
	Bundle capstan.Bundle // Version, Archive, NativeMin, Link, Comment
	Files  capstan.Manifest
}

// Registered is what came of registering a bundle.
type Registered struct {
	Bundle   capstan.Bundle
	Existed  bool
	Warnings []string
}

// Upload is one plain content in its stored form.
type Upload struct {
	Digest   capstan.Digest // of the plain content
	Size     int64          // of the plain content
	Encoding capstan.Encoding
	Blob     capstan.Digest // of the body
	BlobSize int64          // of the body
}

// App returns an app for a caller who may do action on it.
func (c *Control) App(ctx context.Context, p auth.Principal, action auth.Action, id string) (capstan.App, error) {
	a, err := c.DB.App(ctx, id)
	if err != nil {
		return a, err
	}
	if err := auth.Authorize(p, action, a.Org); err != nil {
		return capstan.App{}, appError(err, id)
	}
	return a, nil
}

// appError names the app in an answer about something of somebody else.
func appError(err error, id string) error {
	if capstan.CodeOf(err) != capstan.CodeAppNotFound {
		return err
	}
	return capstan.Errorf(capstan.CodeAppNotFound, "there is no app %q", id).On("app").
		Hint("capstan app list", "capstan app add "+id)
}

// commit runs fn in a write transaction and returns once the catalog serves
// what it wrote.
func (c *Control) commit(ctx context.Context, p auth.Principal, app string, fn func(*store.Tx) error) error {
	number, err := c.DB.Write(ctx, p.Actor(), fn)
	if err != nil || number == 0 {
		return err
	}
	return c.Catalog.Sync(ctx, app, number)
}

// compareAndSet refuses a change that was made on an old view.
func compareAndSet(what string, given, current int64) error {
	if given == current {
		return nil
	}
	err := capstan.Errorf(capstan.CodeStale, "%s was changed by somebody else: it is at %d, you looked at %d", what, current, given)
	err.Number = current
	return err.Hint("look at it again, then repeat the command")
}
