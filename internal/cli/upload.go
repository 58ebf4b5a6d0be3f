package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/manifest"
	"github.com/capstan-ota/capstan/internal/pack"
	"github.com/capstan-ota/capstan/internal/term"
)

// senders is how many files are sent at once. Most files of a web build are
// small, and each waits for the network and for the server's disk.
const senders = 12

// upload is one upload on its way. Its order is that of the write path: bytes
// first, which nobody sees; then the bundle; then, by compare-and-set on what
// was read before all this, the releases.
type upload struct {
	*session
	client   *client.Client
	app      string
	typed    string // app id as it was typed, for the commands that we print
	version  string
	options  bundleUpload
	src      *source
	channels []client.Channel
	warnings []string
	sent     sent
}

// sent counts what went over the network.
type sent struct {
	Contents     int   `json:"contents"`
	Bytes        int64 `json:"bytes"` // stored bytes; with --dry-run plain ones
	ArchiveBytes int64 `json:"archive_bytes"`
}

func (u *upload) run(ctx context.Context) (uploaded, error) {
	if err := u.chooseChannels(ctx); err != nil {
		return uploaded{}, err
	}
	if err := u.chooseVersion(ctx); err != nil {
		return uploaded{}, err
	}
	there, err := u.find(ctx)
	if err != nil {
		return uploaded{}, err
	}
	if err := u.lookAhead(ctx); err != nil {
		return uploaded{}, err
	}
	if u.options.dryRun {
		return u.rehearse(ctx, there)
	}
	if there != nil && u.wantsOther(there) {
		u.screen.Note("%s was uploaded before; its link, comment and lowest native version stay what they were", u.version)
	}
	if there == nil {
		if there, err = u.send(ctx); err != nil {
			return uploaded{}, err
		}
	}
	releases, err := u.release(ctx)
	if err != nil {
		return uploaded{}, err
	}
	return u.result(there, releases), nil
}

func (u *upload) result(b *client.Bundle, releases []client.Released) uploaded {
	out := uploaded{
		App: u.app, Version: u.version, Root: u.src.Root, Files: len(u.src.Manifest), Bytes: u.src.Bytes,
		Skipped: u.sent == sent{}, Sent: u.sent, Bundle: b, Releases: releases, Undo: []string{}, Warnings: u.warnings,
	}
	for _, r := range releases {
		out.Skipped = out.Skipped && r.Unchanged
		out.Undo = append(out.Undo, undo(r, u.typed))
		if !slices.Contains(b.Channels, r.Channel) {
			b.Channels = append(b.Channels, r.Channel)
		}
	}
	return out
}

// wantsOther reports whether flags ask for something that an uploaded bundle
// cannot become.
func (u *upload) wantsOther(b *client.Bundle) bool {
	o := u.options
	return o.link != "" && o.link != b.Link || o.comment != "" && o.comment != b.Comment ||
		o.minNative != "" && !maps.Equal(o.nativeMin(), b.NativeMin)
}

// find looks whether the version is taken. It returns the bundle when it has
// this content, nil when it has to be sent, and version_exists, with what
// differs, when it has other content.
func (u *upload) find(ctx context.Context) (*client.Bundle, error) {
	b, err := u.client.Bundle(ctx, u.app, u.version)
	switch {
	case capstan.CodeOf(err) == capstan.CodeBundleNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	case b.Root == u.src.Root && b.State == capstan.BundleReady:
		return &b, nil
	case b.Root == u.src.Root:
		return nil, nil
	}
	stored, err := u.client.BundleFiles(ctx, u.app, u.version)
	if err != nil {
		return nil, err
	}
	old := make(capstan.Manifest, len(stored))
	for i, f := range stored {
		old[i] = capstan.File{Path: f.Path, Digest: f.Digest, Size: f.Size}
	}
	e := capstan.Errorf(capstan.CodeVersionExists, "version %s exists with different content: NOT shipped", u.version).On("version").
		Hint(command("capstan bundle upload", u.typed, "--auto-bump"))
	e.Details = manifest.Diff(old, u.src.Manifest).Lines()
	return nil, e
}

// send brings every byte that the server lacks to it and registers the bundle.
func (u *upload) send(ctx context.Context) (*client.Bundle, error) {
	missing, err := u.missing(ctx)
	if err != nil {
		return nil, err
	}
	work := u.src.Bytes // to deflate
	for _, c := range missing {
		work += c.Size
	}
	u.src.progress.Stage("sending", work)
	var archive pack.ArchiveInfo
	group, sending := errgroup.WithContext(ctx)
	group.Go(func() error { return u.sendContents(sending, missing) })
	group.Go(func() (err error) {
		archive, err = u.sendArchive(sending)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	u.src.progress.Stage("the server checks the bundle", 0)
	var made client.Registered
	err = u.patiently(ctx, func() (err error) {
		made, err = u.client.RegisterBundle(ctx, u.app, client.NewBundle{
			Version: u.version, Files: u.src.Manifest, Archive: archive.Digest, NativeMin: u.options.nativeMin(),
			Link: u.options.link, Comment: u.options.comment,
		})
		return err
	})
	u.src.progress.Finish()
	if err != nil {
		return nil, err
	}
	for _, w := range archive.Warnings {
		u.warnings = append(u.warnings, w.Message)
	}
	u.warnings = append(u.warnings, made.Warnings...)
	return &made.Bundle, nil
}

// missing asks by plain digest, before anything is compressed.
func (u *upload) missing(ctx context.Context) ([]pack.Content, error) {
	all := u.src.Contents()
	wants := make([]client.Content, len(all))
	byDigest := make(map[capstan.Digest]pack.Content, len(all))
	for i, c := range all {
		wants[i] = client.Content{Digest: c.Digest, Size: c.Size, Encoding: c.Need()}
		byDigest[c.Digest] = c
	}
	var lacking []client.Content
	err := u.patiently(ctx, func() (err error) {
		lacking, err = u.client.MissingContents(ctx, u.app, wants)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]pack.Content, 0, len(lacking))
	for _, l := range lacking {
		c, ok := byDigest[l.Digest]
		if !ok {
			return nil, capstan.Errorf(capstan.CodeInternal, "the server asks for %s, which this bundle does not have", l.Digest)
		}
		out = append(out, c)
	}
	return out, nil
}

func (u *upload) sendContents(ctx context.Context, missing []pack.Content) error {
	var count, bytes atomic.Int64
	err := u.src.EncodeAll(ctx, missing, senders, func(ctx context.Context, c *pack.Stored) error {
		err := u.patiently(ctx, func() error { return u.put(ctx, c) })
		if err != nil {
			return fmt.Errorf("send %s: %w", c.Path, err)
		}
		bytes.Add(c.BlobBytes)
		u.src.progress.Tail(fmt.Sprintf("%d of %s sent", count.Add(1), term.Count(len(missing), "file")))
		return nil
	})
	u.sent.Contents, u.sent.Bytes = int(count.Load()), bytes.Load()
	return err
}

func (u *upload) put(ctx context.Context, c *pack.Stored) error {
	body, err := c.Open()
	if err != nil {
		return err
	}
	defer body.Close()
	return u.client.PutContent(ctx, u.app, client.Content{Digest: c.Digest, Size: c.Size}, c.Encoding, c.Blob, c.BlobBytes, body)
}

// sendArchive deflates the zip into a temporary file, whose digest says whether
// the server has it.
func (u *upload) sendArchive(ctx context.Context) (info pack.ArchiveInfo, err error) {
	f, err := os.CreateTemp("", "capstan-*.zip")
	if err != nil {
		return info, fmt.Errorf("make a file for the zip: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if info, err = u.src.writeZip(ctx, f); err != nil {
		return info, err
	}
	lacking, err := u.client.MissingContents(ctx, u.app, []client.Content{{Digest: info.Digest, Size: info.Bytes, Encoding: capstan.Archive}})
	if err != nil || len(lacking) == 0 {
		return info, err
	}
	err = u.patiently(ctx, func() error {
		// A section and not the file: the transport would close the file, and
		// the next try needs it.
		return u.client.PutArchive(ctx, u.app, info.Digest, info.Bytes, io.NewSectionReader(f, 0, info.Bytes))
	})
	if err != nil {
		return info, fmt.Errorf("send the zip: %w", err)
	}
	u.sent.ArchiveBytes = info.Bytes
	return info, nil
}

// retryAfter are the waits between the tries of one part of an upload.
var retryAfter = [...]time.Duration{500 * time.Millisecond, 2 * time.Second, 5 * time.Second}

// patiently repeats what is safe to repeat when the network or the server fails
// for a moment.
func (u *upload) patiently(ctx context.Context, try func() error) error {
	for _, d := range retryAfter {
		err := try()
		switch capstan.CodeOf(err) {
		case capstan.CodeUnreachable, capstan.CodeUnavailable:
		default:
			return err
		}
		if err := u.Wait(ctx, d); err != nil {
			return err
		}
	}
	return try()
}

// rehearse says what would be sent.
func (u *upload) rehearse(ctx context.Context, there *client.Bundle) (uploaded, error) {
	out := u.result(there, []client.Released{})
	out.DryRun, out.Skipped = true, there != nil
	if there != nil {
		return out, nil
	}
	missing, err := u.missing(ctx)
	if err != nil {
		return out, err
	}
	for _, c := range missing {
		out.Sent.Bytes += c.Size
	}
	out.Sent.Contents = len(missing)
	u.src.progress.Stage("packing", u.src.Bytes)
	archive, err := u.src.WriteArchive(ctx, io.Discard)
	u.src.progress.Finish()
	out.Sent.ArchiveBytes = archive.Bytes
	return out, err
}

// release puts the bundle on every channel.
func (u *upload) release(ctx context.Context) ([]client.Released, error) {
	out := make([]client.Released, 0, len(u.channels))
	for _, ch := range u.channels {
		r, err := u.releaseOn(ctx, ch)
		if err != nil {
			if done := len(out); done > 0 {
				u.screen.Warn("%s is on %s already; the next channel failed", u.version, joinNames(u.channels[:done]))
			}
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// releaseOn moves one channel by compare-and-set. When only its rules changed
// meanwhile, or when it is our own release whose answer was lost, it is tried
// again; when somebody released something else, that is for a person to decide.
func (u *upload) releaseOn(ctx context.Context, ch client.Channel) (r client.Released, err error) {
	put := func(number int64) error {
		return u.patiently(ctx, func() (err error) {
			r, err = u.client.Release(ctx, u.app, ch.Name, number, client.NewRelease{Version: u.version})
			return err
		})
	}
	if err = put(ch.Number); capstan.CodeOf(err) != capstan.CodeStale {
		return r, err
	}
	now, readErr := u.client.Channel(ctx, u.app, ch.Name)
	if readErr != nil {
		return r, errors.Join(err, readErr)
	}
	switch {
	case serving(now) == serving(ch):
		u.screen.Note("the rules of %s were changed meanwhile; the release goes on under the new ones", ch.Name)
		return r, put(now.Number)
	case len(now.Live) > 0 && now.Live[0].Version == u.version:
		return r, put(now.Number)
	}
	by := ""
	if len(now.Live) > 0 {
		by = ", put there by " + now.Live[0].By
	}
	e := capstan.Errorf(capstan.CodeStale, "channel %s was moved meanwhile: it serves %s now%s. %s is uploaded and on no channel yet: %w",
		ch.Name, serving(now), by, u.version, err).On("channel")
	e.Number = now.Number
	e.Hint(command("capstan channel set", ch.Name, u.typed, "-b "+u.version), command("capstan channel show", ch.Name, u.typed))
	if server, ok := errors.AsType[*capstan.Error](err); ok {
		e.Request = server.Request
	}
	return r, e
}

// command joins the parts of a command to paste, leaving empty ones out.
func command(parts ...string) string {
	text := ""
	for _, p := range parts {
		if p != "" && text != "" {
			text += " "
		}
		text += p
	}
	return text
}
