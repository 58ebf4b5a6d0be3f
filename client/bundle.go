package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/capstan-ota/capstan"
)

// Bundle is immutable web content under a version name.
type Bundle struct {
	Version      string                      `json:"version"`
	ID           string                      `json:"id"`
	Root         capstan.Digest              `json:"root" doc:"manifest root: the identity of the content"`
	State        capstan.BundleState         `json:"state" enum:"ready,gone"`
	Archive      capstan.Digest              `json:"archive" doc:"SHA-256 of the zip"`
	ArchiveBytes int64                       `json:"archive_bytes"`
	Files        int                         `json:"files" doc:"number of files"`
	Bytes        int64                       `json:"bytes" doc:"sum of the plain sizes"`
	DeltaOffered bool                        `json:"delta_offered" doc:"devices are offered single files beside the zip"`
	NativeMin    map[capstan.Platform]string `json:"native_min,omitempty" doc:"per platform, the lowest native version that can run it"`
	KeyID        string                      `json:"key_id,omitempty"`
	Link         string                      `json:"link,omitempty"`
	Comment      string                      `json:"comment,omitempty"`
	Channels     []string                    `json:"channels" doc:"channels on which it is live"`
	CreatedAt    time.Time                   `json:"created_at"`
	CreatedBy    string                      `json:"created_by"`
	Number       int64                       `json:"number" doc:"number of the last change of this bundle: its ETag"`
}

// NewBundle registers a bundle whose bytes the server has.
type NewBundle struct {
	Version   string                      `json:"version" maxLength:"64"`
	Files     []capstan.File              `json:"files" doc:"the whole manifest"`
	Archive   capstan.Digest              `json:"archive" doc:"SHA-256 of the zip"`
	NativeMin map[capstan.Platform]string `json:"native_min,omitempty"`
	Link      string                      `json:"link,omitempty"`
	Comment   string                      `json:"comment,omitempty"`
}

// Registered is the answer to registering a bundle.
type Registered struct {
	Bundle
	Existed  bool     `json:"existed,omitempty" doc:"the same content was there under this version; nothing was written"`
	Warnings []string `json:"warnings,omitempty"`
}

// Content is a plain content that an upload needs.
type Content struct {
	Digest capstan.Digest `json:"digest"`
	Size   int64          `json:"size"`
	// Encoding "br" asks for brotli, for names that end in .br themselves;
	// empty means that any stored form will do.
	Encoding capstan.Encoding `json:"encoding,omitempty" enum:",br,zip"`
}

// StoredFile is a file of a bundle and the blob that carries it.
type StoredFile struct {
	Path      string           `json:"path"`
	Digest    capstan.Digest   `json:"digest"`
	Size      int64            `json:"size"`
	Encoding  capstan.Encoding `json:"encoding"`
	Blob      capstan.Digest   `json:"blob"`
	BlobBytes int64            `json:"blob_bytes"`
}

// Diff is what a device on one version downloads to reach another.
type Diff struct {
	From      string       `json:"from"`
	To        string       `json:"to"`
	Added     []StoredFile `json:"added"`
	Changed   []StoredFile `json:"changed"`
	Removed   []string     `json:"removed"`
	Unchanged int          `json:"unchanged" doc:"files that are reused"`
	Bytes     int64        `json:"bytes" doc:"stored bytes of the files that are downloaded"`
	ZipBytes  int64        `json:"zip_bytes" doc:"what the zip weighs instead"`
}

// Bundles lists the bundles of an app, newest first; next is "" at the end.
// Gone bundles are listed only when all is set.
func (c *Client) Bundles(ctx context.Context, app string, all bool, p Page) (list []Bundle, next string, err error) {
	var out struct {
		Bundles []Bundle `json:"bundles"`
		Next    string   `json:"next"`
	}
	q := p.values()
	if all {
		q.Set("all", "true")
	}
	err = c.call(ctx, request{method: http.MethodGet, path: []string{"apps", app, "bundles"}, query: q}, &out)
	return out.Bundles, out.Next, err
}

// Bundle returns one bundle.
func (c *Client) Bundle(ctx context.Context, app, version string) (out Bundle, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: []string{"apps", app, "bundles", version}}, &out)
	return out, err
}

// BundleFiles returns the manifest of a bundle, by path.
func (c *Client) BundleFiles(ctx context.Context, app, version string) ([]StoredFile, error) {
	var out struct {
		Files []StoredFile `json:"files"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: []string{"apps", app, "bundles", version, "files"}}, &out)
	return out.Files, err
}

// BundleDiff says what lies between two bundles.
func (c *Client) BundleDiff(ctx context.Context, app, from, to string) (out Diff, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: []string{"apps", app, "bundles", to, "diff"}, query: url.Values{"from": {from}}}, &out)
	return out, err
}

// DeleteBundle gives a bundle's bytes up; code in_use while it is live. The
// version stays taken.
func (c *Client) DeleteBundle(ctx context.Context, app, version string, number int64) error {
	return c.call(ctx, request{method: http.MethodDelete, path: []string{"apps", app, "bundles", version}, ifMatch: number}, nil)
}

// Download opens the zip of a bundle. The caller closes it.
func (c *Client) Download(ctx context.Context, app, version string) (body io.ReadCloser, size int64, err error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: []string{"apps", app, "bundles", version, "archive"}})
	if err != nil {
		return nil, 0, err
	}
	return resp.Body, resp.ContentLength, nil
}

// MissingContents asks which of the contents the organisation's store lacks;
// those it has are kept for the next 24 hours. At most 20 000 at once.
func (c *Client) MissingContents(ctx context.Context, app string, contents []Content) ([]Content, error) {
	in := struct {
		Contents []Content `json:"contents"`
	}{contents}
	var out struct {
		Missing []Content `json:"missing"`
	}
	err := c.call(ctx, request{method: http.MethodPost, path: []string{"apps", app, "contents", "missing"}, in: in}, &out)
	return out.Missing, err
}

// PutContent sends one plain content in its stored form: body has size bytes,
// whose digest is blob, and decodes to want. A body that is an io.Closer is
// closed.
func (c *Client) PutContent(ctx context.Context, app string, want Content, encoding capstan.Encoding, blob capstan.Digest, size int64, body io.Reader) error {
	q := url.Values{
		"encoding": {string(encoding)}, "blob": {string(blob)}, "size": {strconv.FormatInt(want.Size, 10)},
	}
	return c.call(ctx, request{
		method: http.MethodPut, path: []string{"apps", app, "contents", string(want.Digest)}, query: q, body: body, size: size,
	}, nil)
}

// PutArchive sends the canonical zip of a bundle. A body that is an io.Closer
// is closed.
func (c *Client) PutArchive(ctx context.Context, app string, digest capstan.Digest, size int64, body io.Reader) error {
	return c.call(ctx, request{
		method: http.MethodPut, path: []string{"apps", app, "archives", string(digest)}, body: body, size: size,
	}, nil)
}

// RegisterBundle makes a bundle of contents and an archive that the server
// has. It is idempotent: the same version with the same content answers with
// Existed; with other content the error has code version_exists.
func (c *Client) RegisterBundle(ctx context.Context, app string, in NewBundle) (out Registered, err error) {
	err = c.call(ctx, request{method: http.MethodPost, path: []string{"apps", app, "bundles"}, in: in}, &out)
	return out, err
}
