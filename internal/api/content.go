package api

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/control"
	"github.com/capstan-ota/capstan/internal/store"
)

type (
	missingIn struct {
		AppPath
		Body struct {
			Contents []client.Content `json:"contents" maxItems:"20000"`
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
	b.body, b.length = ctx.BodyReader(), -1
	if n, err := strconv.ParseInt(ctx.Header("Content-Length"), 10, 64); err == nil && n >= 0 {
		b.length = n
		// 50 kB/s is the slowest upload that is waited for.
		_ = ctx.SetReadDeadline(time.Now().Add(time.Minute + time.Duration(n/50_000)*time.Second))
	}
	return nil
}

func (b *Stream) known() error {
	if b.length < 0 {
		return capstan.Errorf(capstan.CodeInvalid, "an upload must say its length").On("Content-Length")
	}
	return nil
}

func (a *api) registerContents(h huma.API) {
	missing := operation("missing-contents", http.MethodPost, "/apps/{app}/contents/missing", "Ask which contents must be sent")
	missing.MaxBodyBytes = 8 << 20
	huma.Register(h, missing, a.missingContents)
	huma.Register(h, operation("put-content", http.MethodPut, "/apps/{app}/contents/{digest}", "Send one content in its stored form"), a.putContent)
	huma.Register(h, operation("put-archive", http.MethodPut, "/apps/{app}/archives/{digest}", "Send the zip of a bundle"), a.putArchive)
}

func (a *api) missingContents(ctx context.Context, in *missingIn) (*missingOut, error) {
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
