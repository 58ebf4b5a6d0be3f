package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/control"
	"github.com/capstan-ota/capstan/internal/store"
)

type (
	BundlePath struct {
		AppPath
		Version string `path:"version" maxLength:"64" example:"1.4.2"`
	}
	listBundlesIn struct {
		AppPath
		Page
		All bool `query:"all" doc:"also those whose bytes are gone"`
	}
	bundlesOut struct {
		Body struct {
			Bundles []client.Bundle `json:"bundles"`
			Next    string          `json:"next" doc:"after of the next page, empty at the end"`
		}
	}
	bundleOut struct {
		ETag string `header:"ETag"`
		Body client.Bundle
	}
	registerIn struct {
		AppPath
		Body client.NewBundle
	}
	registeredOut struct {
		Status int
		ETag   string `header:"ETag"`
		Body   client.Registered
	}
	deleteBundleIn struct {
		BundlePath
		IfMatch string `header:"If-Match"`
	}
	filesOut struct {
		Body struct {
			Files []client.StoredFile `json:"files"`
		}
	}
	diffIn struct {
		BundlePath
		From string `query:"from" required:"true" maxLength:"64" doc:"version to start from"`
	}
	diffOut struct{ Body client.Diff }
)

func (a *api) registerBundles(h huma.API) {
	const bundle = "/apps/{app}/bundles/{version}"
	huma.Register(h, operation("list-bundles", auth.ReadApp, http.MethodGet, "/apps/{app}/bundles", "List bundles, newest first"), a.listBundles)
	register := operation("register-bundle", auth.UploadBundle, http.MethodPost, "/apps/{app}/bundles", "Make a bundle of bytes that were sent before")
	register.DefaultStatus = http.StatusCreated
	register.MaxBodyBytes = 16 << 20 // a manifest of 20 000 long paths
	huma.Register(h, register, a.registerBundle)
	huma.Register(h, operation("get-bundle", auth.ReadApp, http.MethodGet, bundle, "Show a bundle"), a.getBundle)
	huma.Register(h, operation("delete-bundle", auth.DeleteBundle, http.MethodDelete, bundle, "Give the bytes of a bundle up"), a.deleteBundle)
	huma.Register(h, operation("list-files", auth.ReadApp, http.MethodGet, bundle+"/files", "List the files of a bundle"), a.listFiles)
	huma.Register(h, operation("diff-bundle", auth.ReadApp, http.MethodGet, bundle+"/diff", "Say what a device downloads from another version to this"), a.diffBundle)
	download := operation("download-bundle", auth.ReadApp, http.MethodGet, bundle+"/archive", "Download the zip of a bundle")
	download.Responses = map[string]*huma.Response{"200": {Description: "The zip", Content: binary("application/zip")}}
	huma.Register(h, download, a.downloadBundle)
}

// madeOrFound is the status of an answer about something that may have been
// there.
func madeOrFound(made bool) int {
	if made {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (a *api) bundleShape(b capstan.Bundle) client.Bundle {
	out := client.Bundle{
		Version: b.Version, ID: b.ID, Root: b.Root, State: b.State, Archive: b.Archive, ArchiveBytes: b.ArchiveBytes, Files: b.FileCount,
		Bytes: b.SizeBytes, DeltaOffered: b.DeltaOffered, NativeMin: b.NativeMin, KeyID: b.KeyID, Link: b.Link, Comment: b.Comment,
		Channels: []string{}, CreatedAt: b.CreatedAt, CreatedBy: b.CreatedBy, Number: b.Number,
	}
	if snapshot, known, err := a.Catalog.App(b.App); err == nil && known {
		for _, c := range snapshot.Channels() {
			if slices.ContainsFunc(c.Live(), func(r capstan.Release) bool { return r.Bundle == b.ID }) {
				out.Channels = append(out.Channels, c.Name)
			}
		}
	}
	return out
}

// bundle finds a bundle for a caller who may read it.
func (a *api) bundle(ctx context.Context, in BundlePath) (capstan.Bundle, error) {
	if _, err := a.Control.App(ctx, principal(ctx), auth.ReadApp, in.App); err != nil {
		return capstan.Bundle{}, err
	}
	return a.DB.Bundle(ctx, in.App, in.Version)
}

func (a *api) listBundles(ctx context.Context, in *listBundlesIn) (*bundlesOut, error) {
	if _, err := a.Control.App(ctx, principal(ctx), auth.ReadApp, in.App); err != nil {
		return nil, a.fail(ctx, err)
	}
	f := store.BundleFilter{Before: in.After, Limit: in.Limit + 1, State: capstan.BundleReady}
	if in.All {
		f.State = ""
	}
	list, err := a.DB.Bundles(ctx, in.App, f)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	list, more := cut(list, in.Limit)
	out := &bundlesOut{}
	out.Body.Bundles = make([]client.Bundle, len(list))
	for i, b := range list {
		out.Body.Bundles[i] = a.bundleShape(b)
	}
	if more {
		out.Body.Next = list[len(list)-1].ID
	}
	return out, nil
}

func (a *api) registerBundle(ctx context.Context, in *registerIn) (*registeredOut, error) {
	made, err := a.Control.Register(ctx, principal(ctx), in.App, control.NewBundle{
		Bundle: capstan.Bundle{
			Version: in.Body.Version, Archive: in.Body.Archive, NativeMin: in.Body.NativeMin, Link: in.Body.Link, Comment: in.Body.Comment,
		},
		Files: in.Body.Files,
	})
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return &registeredOut{madeOrFound(!made.Existed), etag(made.Bundle.Number), client.Registered{
		Bundle: a.bundleShape(made.Bundle), Existed: made.Existed, Warnings: made.Warnings,
	}}, nil
}

func (a *api) getBundle(ctx context.Context, in *BundlePath) (*bundleOut, error) {
	b, err := a.bundle(ctx, *in)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return &bundleOut{etag(b.Number), a.bundleShape(b)}, nil
}

func (a *api) deleteBundle(ctx context.Context, in *deleteBundleIn) (*struct{}, error) {
	number, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	if err := a.Control.DeleteBundle(ctx, principal(ctx), in.App, in.Version, number); err != nil {
		return nil, a.fail(ctx, err)
	}
	return nil, nil
}

func fileShapes(files []capstan.StoredFile) []client.StoredFile {
	out := make([]client.StoredFile, len(files))
	for i, f := range files {
		out[i] = client.StoredFile{Path: f.Path, Digest: f.Digest, Size: f.Size, Encoding: f.Encoding, Blob: f.Blob, BlobBytes: f.BlobBytes}
	}
	return out
}

func (a *api) listFiles(ctx context.Context, in *BundlePath) (*filesOut, error) {
	b, err := a.bundle(ctx, *in)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	files, err := a.DB.BundleFiles(ctx, b.ID)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	out := &filesOut{}
	out.Body.Files = fileShapes(files)
	return out, nil
}

func (a *api) diffBundle(ctx context.Context, in *diffIn) (*diffOut, error) {
	to, err := a.bundle(ctx, in.BundlePath)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	from, err := a.DB.Bundle(ctx, in.App, in.From)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	d, err := a.Control.Diff(ctx, from.ID, to.ID)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	out := client.Diff{
		From: from.Version, To: to.Version, Added: fileShapes(d.Added), Changed: fileShapes(d.Changed), Removed: d.Removed,
		Unchanged: d.Unchanged, ZipBytes: to.ArchiveBytes,
	}
	if out.Removed == nil {
		out.Removed = []string{}
	}
	for _, f := range slices.Concat(d.Added, d.Changed) {
		out.Bytes += f.BlobBytes
	}
	return &diffOut{out}, nil
}

func (a *api) downloadBundle(ctx context.Context, in *BundlePath) (*huma.StreamResponse, error) {
	b, err := a.bundle(ctx, *in)
	if err == nil && b.State != capstan.BundleReady {
		err = capstan.Errorf(capstan.CodeBytesGone, "the bytes of %s were collected", b.Version).Hint("capstan bundle upload -b " + b.Version)
	}
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	body, err := a.Blobs.Open(ctx, b.Archive, 0, -1)
	if err != nil {
		// Not %w: that a blob is missing is not for the caller to mend.
		return nil, a.fail(ctx, fmt.Errorf("open the archive of %s: %v", b.Version, err))
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer body.Close()
		hctx.SetHeader("Content-Type", "application/zip")
		hctx.SetHeader("Content-Length", strconv.FormatInt(b.ArchiveBytes, 10))
		hctx.SetHeader("Content-Disposition", `attachment; filename="`+b.Version+`.zip"`)
		hctx.SetHeader("ETag", `"`+string(b.Archive)+`"`)
		// With fewer bytes than Content-Length says, net/http cuts the connection.
		if _, err := io.Copy(hctx.BodyWriter(), body); err != nil && ctx.Err() == nil {
			a.Log.WarnContext(ctx, "download broke off", "request", requestID(ctx), "error", err)
		}
	}}, nil
}
