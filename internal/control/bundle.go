package control

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/blob"
	"github.com/capstan-ota/capstan/internal/manifest"
	"github.com/capstan-ota/capstan/internal/native"
	"github.com/capstan-ota/capstan/internal/pack"
	"github.com/capstan-ota/capstan/internal/store"
)

// Register makes a ready bundle of contents and an archive that were put
// before. The archive is opened and read to its end: it must be canonical,
// hold exactly the files of the manifest, and no native code. The same version
// with the same content answers with Existed, and brings the bytes of a gone
// bundle back. Errors: version_exists with the differing paths, blob_missing,
// archive_unsafe, content_mismatch, native_code, path_refused, no_index,
// too_large, invalid.
func (c *Control) Register(ctx context.Context, p auth.Principal, app string, in NewBundle) (Registered, error) {
	a, err := c.App(ctx, p, auth.UploadBundle, app)
	if err != nil {
		return Registered{}, err
	}
	b := in.Bundle
	b.App, b.State, b.CreatedBy = app, capstan.BundleReady, p.Actor()
	if err := c.checkManifest(&b, in.Files); err != nil {
		return Registered{}, err
	}
	old, err := c.DB.Bundle(ctx, app, b.Version)
	if err == nil {
		if err := c.sameContent(ctx, old, b, in.Files); err != nil {
			return Registered{}, err
		}
		if old.State == capstan.BundleReady {
			return Registered{Bundle: old, Existed: true}, nil
		}
	} else if capstan.CodeOf(err) != capstan.CodeBundleNotFound {
		return Registered{}, err
	}

	files, err := c.storedFiles(ctx, a.Org, &b, in.Files)
	if err != nil {
		return Registered{}, err
	}
	findings, err := c.checkArchive(ctx, &b, in.Files)
	if err != nil {
		return Registered{}, err
	}
	if b.ID, err = c.newID(); err != nil {
		return Registered{}, err
	}
	if err := c.commit(ctx, p, app, func(tx *store.Tx) error { return put(tx, b, files) }); err != nil {
		return Registered{}, err
	}
	made, err := c.DB.Bundle(ctx, app, b.Version)
	return Registered{Bundle: made, Warnings: warnings(findings)}, err
}

// checkManifest looks at everything that can be known without a byte of
// content, and fills in what follows from it.
func (c *Control) checkManifest(b *capstan.Bundle, files capstan.Manifest) error {
	if err := b.Validate(); err != nil {
		return err
	}
	if _, err := capstan.ParseDigest(string(b.Archive)); err != nil {
		return err
	}
	if err := c.Limits.CheckSizes(files); err != nil {
		return err
	}
	if err := manifest.Validate(files); err != nil {
		return err
	}
	if !manifest.HasIndex(files) {
		return capstan.Errorf(capstan.CodeNoIndex, "the bundle has no index.html at its root").On("files").
			Hint("capstan bundle upload -p dist, with the folder that holds index.html")
	}
	manifest.Sort(files)
	b.Root, b.FileCount, b.SizeBytes = manifest.Root(files), len(files), 0
	for _, f := range files {
		b.SizeBytes += f.Size
	}
	b.DeltaOffered = len(files) <= capstan.MaxDeltaFiles
	return nil
}

// sameContent refuses other content under a version that is taken.
func (c *Control) sameContent(ctx context.Context, old, b capstan.Bundle, files capstan.Manifest) error {
	if old.Root == b.Root {
		return nil
	}
	stored, err := c.DB.BundleFiles(ctx, old.ID)
	if err != nil {
		return err
	}
	had := make(capstan.Manifest, len(stored))
	for i, f := range stored {
		had[i] = f.File
	}
	e := capstan.Errorf(capstan.CodeVersionExists, "version %s exists and holds other content; nothing was changed", b.Version).On("version").
		Hint("capstan bundle upload --auto-bump")
	e.Details = differences(had, files)
	return e
}

// differences lists what differs between two manifests, at most 100 lines.
func differences(had, has capstan.Manifest) []string {
	const most = 100
	before := make(map[string]capstan.Digest, len(had))
	for _, f := range had {
		before[f.Path] = f.Digest
	}
	var lines []string
	for _, f := range has {
		switch d, ok := before[f.Path]; {
		case !ok:
			lines = append(lines, "added: "+f.Path)
		case d != f.Digest:
			lines = append(lines, "changed: "+f.Path)
		}
		delete(before, f.Path)
	}
	for path := range before {
		lines = append(lines, "removed: "+path)
	}
	slices.Sort(lines)
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("and %d more", len(lines)-most))
	}
	return lines
}

// storedFiles finds for each file the blob that will carry it, the smallest
// that the plugins can read.
func (c *Control) storedFiles(ctx context.Context, org string, b *capstan.Bundle, files capstan.Manifest) ([]capstan.StoredFile, error) {
	digests := make([]capstan.Digest, 0, len(files)+1)
	for _, f := range files {
		digests = append(digests, f.Digest)
	}
	contents, err := c.DB.Contents(ctx, org, append(digests, b.Archive))
	if err != nil {
		return nil, err
	}
	forms := make(map[capstan.Digest][]store.Content, len(contents))
	for _, content := range contents {
		if content.Encoding == capstan.Archive && content.Digest == b.Archive {
			b.ArchiveBytes = content.BlobBytes
			continue
		}
		forms[content.Digest] = append(forms[content.Digest], content)
	}
	var missing []string
	out := make([]capstan.StoredFile, 0, len(files))
	for _, f := range files {
		best, ok := smallest(forms[f.Digest], f)
		if !ok {
			missing = append(missing, f.Path)
			continue
		}
		out = append(out, capstan.StoredFile{File: f, Encoding: best.Encoding, Blob: best.Blob, BlobBytes: best.BlobBytes})
	}
	if b.ArchiveBytes == 0 {
		missing = append(missing, "the archive "+string(b.Archive))
	}
	if len(missing) > 0 {
		e := capstan.Errorf(capstan.CodeBlobMissing, "the server lacks the bytes of %d parts of the bundle, first %q", len(missing), missing[0]).On("files").
			Hint("run the upload again: it sends what is missing")
		e.Details = missing[:min(len(missing), 100)]
		return nil, e
	}
	return out, manifest.ValidateWire(out)
}

// smallest returns the stored form of f with the fewest bytes. A file that has
// to be brotli, by its name or because it is empty, takes nothing else.
func smallest(forms []store.Content, f capstan.File) (best store.Content, ok bool) {
	forced := pack.FormOf(f.Path, f.Size) == pack.Forced
	for _, form := range forms {
		usable := form.Encoding == capstan.Brotli || form.Encoding == capstan.Identity && !forced
		if usable && form.Bytes == f.Size && (!ok || form.BlobBytes < best.BlobBytes) {
			best, ok = form, true
		}
	}
	return best, ok
}

// checkArchive reads the zip as a device would and compares it with the
// manifest.
func (c *Control) checkArchive(ctx context.Context, b *capstan.Bundle, files capstan.Manifest) ([]native.Finding, error) {
	r := &blobReader{ctx: ctx, blobs: c.Blobs, digest: b.Archive}
	defer r.Close()
	checked, err := pack.CheckArchive(ctx, r, b.ArchiveBytes, c.Limits)
	if err != nil {
		return nil, err
	}
	b.ArchiveCRC32 = checked.CRC32
	return checked.Findings, pack.Agree(checked.Manifest, files)
}

// put writes the rows of a bundle. Somebody else may have registered the
// version meanwhile.
func put(tx *store.Tx, b capstan.Bundle, files []capstan.StoredFile) error {
	now, err := tx.Bundle(b.App, b.Version)
	switch {
	case capstan.CodeOf(err) == capstan.CodeBundleNotFound:
		return tx.CreateBundle(b, files)
	case err != nil:
		return err
	case now.Root != b.Root:
		return capstan.Errorf(capstan.CodeVersionExists, "version %s was uploaded by somebody else just now, with other content", b.Version).
			On("version").Hint("capstan bundle upload --auto-bump")
	case now.State == capstan.BundleReady:
		return nil
	}
	b.ID = now.ID
	return tx.ReviveBundle(b, files)
}

func warnings(findings []native.Finding) []string {
	out := make([]string, len(findings))
	for i, f := range findings {
		out[i] = f.String()
	}
	return out
}

func (c *Control) newID() (string, error) {
	id, err := uuid.NewV7FromReader(c.Random)
	if err != nil {
		return "", fmt.Errorf("make id: %w", err)
	}
	return id.String(), nil
}

// DeleteBundle gives the bytes of a bundle up, by compare-and-set on its
// number. The version stays taken. Errors: in_use while a channel serves it.
func (c *Control) DeleteBundle(ctx context.Context, p auth.Principal, app, version string, number int64) error {
	if _, err := c.App(ctx, p, auth.DeleteBundle, app); err != nil {
		return err
	}
	return c.commit(ctx, p, app, func(tx *store.Tx) error {
		b, err := tx.Bundle(app, version)
		if err != nil {
			return err
		}
		if err := compareAndSet("bundle "+version, number, b.Number); err != nil {
			return err
		}
		channels, err := tx.Channels(app)
		if err != nil {
			return err
		}
		for _, ch := range channels {
			_, releases, err := channelReleases(tx, ch.App, ch.Name)
			if err != nil {
				return err
			}
			live, err := liveOn(tx, releases)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(live, func(r capstan.Release) bool { return r.Bundle == b.ID }) {
				return capstan.Errorf(capstan.CodeInUse, "channel %q serves %s", ch.Name, version).
					Hint("capstan rollback "+ch.Name, "or release another version on it")
			}
		}
		return tx.MarkBundleGone(app, b.ID)
	})
}

// blobReader reads a blob at any offset. It keeps the stream of the last read
// open, since a zip is read front to back but for its end.
type blobReader struct {
	ctx    context.Context
	blobs  blob.Store
	digest capstan.Digest
	body   io.ReadCloser
	at     int64
}

// ReadAt implements io.ReaderAt for one goroutine.
func (r *blobReader) ReadAt(p []byte, off int64) (int, error) {
	if r.body == nil || r.at != off {
		r.Close()
		body, err := r.blobs.Open(r.ctx, r.digest, off, -1)
		if err != nil {
			return 0, err
		}
		r.body, r.at = body, off
	}
	n, err := io.ReadFull(r.body, p)
	r.at += int64(n)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

// Close ends the stream.
func (r *blobReader) Close() error {
	if r.body == nil {
		return nil
	}
	body := r.body
	r.body = nil
	return body.Close()
}
