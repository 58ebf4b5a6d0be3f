package api

import (
	"context"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/control"
	"github.com/capstan-ota/capstan/internal/store"
)

type (
	missingIn struct {
		AppPath
		Body struct {
			Contents []client.Content `json:"contents" doc:"at most as many as a bundle may have files"`
		}
	}
	missingOut struct {
		Body struct {
			Missing []client.Content `json:"missing"`
		}
	}
	putContentIn struct {
		AppPath
		Digest   string `path:"digest" doc:"SHA-256 of the plain content"`
		Encoding string `query:"encoding" required:"true" enum:"identity,br" doc:"form of the body"`
		Blob     string `query:"blob" required:"true" doc:"SHA-256 of the body"`
		Size     int64  `query:"size" required:"true" minimum:"0" doc:"bytes of the plain content"`
		Stream
	}
	putArchiveIn struct {
		AppPath
		Digest string `path:"digest" doc:"SHA-256 of the body"`
		Stream
	}
)

// Stream is a request body that is streamed and never held in memory.
type Stream struct {
	body   io.Reader
	length int64 // -1: not said
}

// Resolve implements huma.Resolver.
func (b *Stream) Resolve(ctx huma.Context) []error {
	r, _ := humago.Unwrap(ctx)
	b.body, b.length = r.Body, r.ContentLength
	return nil
}

// known refuses a body of unknown length: what is too large, or does not fit
// on the disk, is refused before it is read.
func (b *Stream) known() error {
	if b.length < 0 {
		return capstan.Errorf(capstan.CodeInvalid, "an upload must say its length").On("Content-Length")
	}
	return nil
}

func (a *api) registerContents(h huma.API) {
	missing := operation("missing-contents", auth.UploadBundle, http.MethodPost, "/apps/{app}/contents/missing", "Ask which contents must be sent")
	missing.MaxBodyBytes = 8 << 20
	huma.Register(h, missing, a.missingContents)
	huma.Register(h, upload("put-content", "/apps/{app}/contents/{digest}", "Send one content in its stored form"), a.putContent)
	huma.Register(h, upload("put-archive", "/apps/{app}/archives/{digest}", "Send the zip of a bundle"), a.putArchive)
}

func upload(id, path, summary string) huma.Operation {
	op := operation(id, auth.UploadBundle, http.MethodPut, path, summary)
	op.MaxBodyBytes = 0 // control knows the limits of bundles
	op.RequestBody = &huma.RequestBody{
		Required: true, Description: "The bytes as they are, with Content-Length.", Content: binary("application/octet-stream"),
	}
	return op
}

func (a *api) missingContents(ctx context.Context, in *missingIn) (*missingOut, error) {
	if n, limit := len(in.Body.Contents), a.Control.Limits.Resolve().Files; n > limit {
		return nil, a.fail(ctx, capstan.Errorf(capstan.CodeTooLarge, "the request names %d contents, at most %d are looked for", n, limit).On("contents"))
	}
	wants := make([]store.Want, len(in.Body.Contents))
	for i, c := range in.Body.Contents {
		wants[i] = store.Want{Digest: c.Digest, Bytes: c.Size, Encoding: c.Encoding}
	}
	missing, err := a.Control.MissingContents(ctx, principal(ctx), in.App, wants)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	out := &missingOut{}
	out.Body.Missing = make([]client.Content, len(missing))
	for i, w := range missing {
		out.Body.Missing[i] = client.Content{Digest: w.Digest, Size: w.Bytes, Encoding: w.Encoding}
	}
	return out, nil
}

func (a *api) putContent(ctx context.Context, in *putContentIn) (*struct{}, error) {
	if err := in.known(); err != nil {
		return nil, a.fail(ctx, err)
	}
	err := a.Control.PutContent(ctx, principal(ctx), in.App, control.Upload{
		Digest: capstan.Digest(in.Digest), Size: in.Size, Encoding: capstan.Encoding(in.Encoding),
		Blob: capstan.Digest(in.Blob), BlobSize: in.length,
	}, in.body)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return nil, nil
}

func (a *api) putArchive(ctx context.Context, in *putArchiveIn) (*struct{}, error) {
	if err := in.known(); err != nil {
		return nil, a.fail(ctx, err)
	}
	if err := a.Control.PutArchive(ctx, principal(ctx), in.App, capstan.Digest(in.Digest), in.length, in.body); err != nil {
		return nil, a.fail(ctx, err)
	}
	return nil, nil
}
