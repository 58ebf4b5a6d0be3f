package control

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/store"
)

// Publish puts a bundle (or, with builtin, the way back to the store build) on
// a channel as a new release, by compare-and-set on the channel's number.
// Publishing what the channel serves already writes nothing. Errors:
// channel_not_found, bundle_not_found, bytes_gone, stale.
func (c *Control) Publish(ctx context.Context, p auth.Principal, app, channel string, number int64, version string, builtin bool) (Published, error) {
	if _, err := c.App(ctx, p, auth.MoveChannel, app); err != nil {
		return Published{}, err
	}
	if builtin == (version != "") {
		return Published{}, capstan.Errorf(capstan.CodeInvalid, "name either a version or built-in").On("version")
	}
	var out Published
	err := c.commit(ctx, p, app, func(tx *store.Tx) error {
		out = Published{}
		ch, releases, err := channelReleases(tx, app, channel)
		if err != nil {
			return err
		}
		if err := compareAndSet("channel "+channel, number, ch.Number); err != nil {
			return err
		}
		next := capstan.Release{App: app, Channel: channel}
		if !builtin {
			b, err := tx.Bundle(app, version)
			if err != nil {
				return err
			}
			next.Bundle, next.Version = b.ID, b.Version
		}
		out.Previous = current(releases)
		if out.Previous != nil && out.Previous.Bundle == next.Bundle && out.Previous.Finished() {
			out.Release, out.Unchanged = *out.Previous, true
			return nil
		}
		return c.release(tx, next, &out)
	})
	return c.published(ctx, app, channel, out, err)
}

// Rollback ends the newest releases of a channel and releases an earlier
// bundle again, or the way back to built-in. With number 0 it goes back from
// whatever the channel serves, as an emergency wants; otherwise by
// compare-and-set. Errors: nothing_earlier, release_not_found, bytes_gone.
func (c *Control) Rollback(ctx context.Context, p auth.Principal, app, channel string, number int64, to Target) (Published, error) {
	if _, err := c.App(ctx, p, auth.RollBack, app); err != nil {
		return Published{}, err
	}
	var out Published
	err := c.commit(ctx, p, app, func(tx *store.Tx) error {
		out = Published{}
		ch, releases, err := channelReleases(tx, app, channel)
		if err != nil {
			return err
		}
		if number != 0 {
			if err := compareAndSet("channel "+channel, number, ch.Number); err != nil {
				return err
			}
		}
		out.Previous = current(releases)
		target, err := rollbackTarget(tx, releases, channel, to)
		if err != nil {
			return err
		}
		for _, r := range releases {
			if r.Ended() || r.Number < target.Number || r.Bundle == target.Bundle {
				continue
			}
			if err := tx.EndRelease(app, r.Number, capstan.EndRolledBack); err != nil {
				return err
			}
			out.Ended = append(out.Ended, r.Number)
		}
		return c.release(tx, capstan.Release{App: app, Channel: channel, Bundle: target.Bundle, Version: target.Version}, &out)
	})
	return c.published(ctx, app, channel, out, err)
}

// channelReleases reads a channel and all its releases, newest first.
func channelReleases(tx *store.Tx, app, channel string) (capstan.Channel, []capstan.Release, error) {
	ch, err := tx.Channel(app, channel)
	if err != nil {
		return ch, nil, err
	}
	var all []capstan.Release
	for before := int64(0); ; {
		page, err := tx.Releases(app, store.ReleaseFilter{Channel: channel, Before: before, Limit: 1000})
		all = append(all, page...)
		if err != nil || len(page) < 1000 {
			return ch, all, err
		}
		before = page[len(page)-1].Number
	}
}

// current is the newest release that was not taken back, nil when none.
func current(releases []capstan.Release) *capstan.Release {
	i := slices.IndexFunc(releases, func(r capstan.Release) bool { return !r.Ended() })
	if i < 0 {
		return nil
	}
	return &releases[i]
}

// rollbackTarget finds the release whose bundle a rollback returns to; what is
// newer is taken back. On the way to built-in that is what the channel serves
// now: what that had replaced stays, since desktop apps, which have no built-in
// to go back to, fall back to it.
func rollbackTarget(tx *store.Tx, releases []capstan.Release, channel string, to Target) (capstan.Release, error) {
	now := current(releases)
	switch {
	case to.Builtin && to.Release != 0:
		return capstan.Release{}, capstan.Errorf(capstan.CodeInvalid, "name either a release or built-in").On("to_release")
	case to.Builtin:
		live, err := liveOn(tx, releases)
		if err != nil || len(live) == 0 {
			return capstan.Release{}, err
		}
		return capstan.Release{Number: live[len(live)-1].Number}, nil
	case now == nil:
		return capstan.Release{}, capstan.Errorf(capstan.CodeNothingEarlier, "channel %q has no release", channel).
			Hint("capstan rollback " + channel + " --to-builtin")
	case to.Release != 0:
		i := slices.IndexFunc(releases, func(r capstan.Release) bool { return r.Number == to.Release })
		if i < 0 {
			return capstan.Release{}, capstan.Errorf(capstan.CodeReleaseNotFound, "channel %q has no release %d", channel, to.Release).
				Hint("capstan channel show " + channel)
		}
		if releases[i].Number == now.Number {
			return capstan.Release{}, capstan.Errorf(capstan.CodeInvalid, "release %d is what channel %q serves now", to.Release, channel).On("to_release")
		}
		return releases[i], bytesThere(tx, releases[i])
	}
	for _, r := range releases {
		if r.Number < now.Number && r.Finished() && r.Bundle != now.Bundle {
			return r, bytesThere(tx, r)
		}
	}
	return capstan.Release{}, capstan.Errorf(capstan.CodeNothingEarlier, "channel %q has no finished release before %d", channel, now.Number).
		Hint("capstan rollback " + channel + " --to-builtin")
}

// bytesThere refuses a target whose bytes were collected, before anything
// changes.
func bytesThere(tx *store.Tx, r capstan.Release) error {
	if r.Builtin() {
		return nil
	}
	b, err := tx.BundleByID(r.App, r.Bundle)
	if err != nil {
		return err
	}
	if b.State != capstan.BundleReady {
		return capstan.Errorf(capstan.CodeBytesGone, "the bytes of %s (release %d) were collected; nothing was changed", b.Version, r.Number).
			Hint("capstan bundle upload -b "+b.Version+", from the same source", "capstan rollback "+r.Channel+" --to-builtin")
	}
	return nil
}

// release inserts next as a finished release with a salt of its own.
func (c *Control) release(tx *store.Tx, next capstan.Release, out *Published) error {
	salt := make([]byte, 16)
	if _, err := io.ReadFull(c.Random, salt); err != nil {
		return fmt.Errorf("make salt: %w", err)
	}
	next.ShareBP, next.Salt = capstan.ShareAll, hex.EncodeToString(salt)
	made, err := tx.CreateRelease(next)
	out.Release = made
	return err
}

// published fills in what the caller wants to know about a move that was
// committed.
func (c *Control) published(ctx context.Context, app, channel string, out Published, err error) (Published, error) {
	if err != nil {
		return Published{}, err
	}
	if out.Channel, err = c.DB.Channel(ctx, app, channel); err != nil {
		return out, err
	}
	if out.Previous == nil || out.Previous.Builtin() || out.Release.Builtin() {
		return out, nil
	}
	d, err := c.Diff(ctx, out.Previous.Bundle, out.Release.Bundle)
	for _, f := range slices.Concat(d.Added, d.Changed) {
		out.DeltaFiles++
		out.DeltaBytes += f.BlobBytes
	}
	return out, err
}

// Difference is what lies between two bundles.
type Difference struct {
	Added, Changed []capstan.StoredFile
	Removed        []string
	Unchanged      int // files that a device has already
}

// Diff compares the files of two bundles by id. A file whose content and base
// name a device has already, even at another path, counts as unchanged: the
// plugins' cache is keyed so (device-clients.md §7.2).
func (c *Control) Diff(ctx context.Context, from, to string) (Difference, error) {
	old, err := c.DB.BundleFiles(ctx, from)
	if err != nil {
		return Difference{}, err
	}
	files, err := c.DB.BundleFiles(ctx, to)
	if err != nil {
		return Difference{}, err
	}
	had := make(map[string]capstan.Digest, len(old))
	cached := make(map[string]bool, len(old))
	for _, f := range old {
		had[f.Path] = f.Digest
		cached[cacheKey(f)] = true
	}
	var d Difference
	for _, f := range files {
		_, was := had[f.Path]
		switch {
		case cached[cacheKey(f)]:
			d.Unchanged++
		case was:
			d.Changed = append(d.Changed, f)
		default:
			d.Added = append(d.Added, f)
		}
		delete(had, f.Path)
	}
	for path := range had {
		d.Removed = append(d.Removed, path)
	}
	slices.Sort(d.Removed)
	return d, nil
}

func cacheKey(f capstan.StoredFile) string {
	base := f.Path
	for i := len(base) - 1; i >= 0; i-- {
		if base[i] == '/' {
			base = base[i+1:]
			break
		}
	}
	return string(f.Digest) + "_" + base
}

// liveOn returns those of a channel's releases, newest first, that some device
// can get.
func liveOn(tx *store.Tx, releases []capstan.Release) ([]capstan.Release, error) {
	var walk capstan.LiveWalk
	var live []capstan.Release
	for _, r := range releases {
		if walk.Done() {
			break
		}
		var b capstan.Bundle
		if !r.Builtin() {
			var err error
			if b, err = tx.BundleByID(r.App, r.Bundle); err != nil {
				return nil, err
			}
		}
		if walk.Next(r, b.NativeMin) {
			live = append(live, r)
		}
	}
	return live, nil
}
