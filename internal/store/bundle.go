package store

import (
	"context"
	"encoding/json/v2"
	"fmt"
	"slices"
	"strings"

	"github.com/capstan-ota/capstan"
)

const bundleColumns = `id, app, version, root, state, archive, archive_bytes, archive_crc32, file_count, size_bytes,
	delta_offered, native_min, key_id, link, comment, created_at, created_by, number`

const (
	bundleSQL     = `SELECT ` + bundleColumns + ` FROM bundle WHERE app = $1 AND version = $2`
	bundleByIDSQL = `SELECT ` + bundleColumns + ` FROM bundle WHERE app = $1 AND id = $2`
	bundlesSQL    = `SELECT ` + bundleColumns + ` FROM bundle WHERE app = $1 AND id < $2 ORDER BY id DESC LIMIT $3`
	bundlesInSQL  = `SELECT ` + bundleColumns + ` FROM bundle WHERE app = $1 AND id < $2 AND state = $3 ORDER BY id DESC LIMIT $4`
	filesSQL      = `SELECT path, digest, size, encoding, blob, blob_bytes FROM bundle_file WHERE bundle = $1`
)

func scanBundle(s scanner) (b capstan.Bundle, err error) {
	var created int64
	var nativeMin string
	err = s.Scan(&b.ID, &b.App, &b.Version, &b.Root, &b.State, &b.Archive, &b.ArchiveBytes, &b.ArchiveCRC32, &b.FileCount, &b.SizeBytes,
		&b.DeltaOffered, &nativeMin, &b.KeyID, &b.Link, &b.Comment, &created, &b.CreatedBy, &b.Number)
	if err != nil {
		return b, err
	}
	b.CreatedAt = fromMS(created)
	if nativeMin != "" {
		if err := json.Unmarshal([]byte(nativeMin), &b.NativeMin); err != nil {
			return b, fmt.Errorf("read native_min of bundle %s: %w", b.ID, err)
		}
	}
	return b, nil
}

func encodeNativeMin(m map[capstan.Platform]string) (string, error) {
	if len(m) == 0 {
		return "", nil
	}
	b, err := json.Marshal(m, json.Deterministic(true))
	return string(b), err
}

func scanFile(s scanner) (f capstan.StoredFile, err error) {
	return f, s.Scan(&f.Path, &f.Digest, &f.Size, &f.Encoding, &f.Blob, &f.BlobBytes)
}

func bundleNotFound(app, key string) *capstan.Error {
	return capstan.Errorf(capstan.CodeBundleNotFound, "the app %q has no bundle %q", app, key).On("bundle").
		Hint("capstan bundle list")
}

// BundleFilter pages bundles, newest first.
type BundleFilter struct {
	Before string              // id of the last bundle of the page before, "" for the newest
	State  capstan.BundleState // "" for all
	Limit  int                 // 0: 100, at most 1000
}

// afterEveryID sorts after every id: ids are lower-case hex.
const afterEveryID = "~"

// Bundles returns one page of an app's bundles, newest first.
func (db *DB) Bundles(ctx context.Context, app string, f BundleFilter) ([]capstan.Bundle, error) {
	if f.Before == "" {
		f.Before = afterEveryID
	}
	var list []capstan.Bundle
	var err error
	if f.State == "" {
		list, err = collect(ctx, db.reader, scanBundle, bundlesSQL, app, f.Before, limit(f.Limit))
	} else {
		list, err = collect(ctx, db.reader, scanBundle, bundlesInSQL, app, f.Before, string(f.State), limit(f.Limit))
	}
	return list, db.fail("read bundles of "+app, err)
}

// Bundle returns a bundle by its version. Error: bundle_not_found.
func (db *DB) Bundle(ctx context.Context, app, version string) (capstan.Bundle, error) {
	b, err := readBundle(ctx, db.reader, bundleSQL, app, version)
	return b, db.fail("read bundle "+version, err)
}

// BundleByID returns a bundle by its id. Error: bundle_not_found.
func (db *DB) BundleByID(ctx context.Context, app, id string) (capstan.Bundle, error) {
	b, err := readBundle(ctx, db.reader, bundleByIDSQL, app, id)
	return b, db.fail("read bundle "+id, err)
}

func readBundle(ctx context.Context, q querier, text, app, key string) (capstan.Bundle, error) {
	b, err := scanBundle(q.QueryRowContext(ctx, text, app, key))
	return b, notFound(err, bundleNotFound(app, key))
}

// BundleFiles returns the files of a bundle, ordered by the bytes of the path;
// none when there is no such bundle.
func (db *DB) BundleFiles(ctx context.Context, id string) ([]capstan.StoredFile, error) {
	list, err := readFiles(ctx, db.reader, id)
	return list, db.fail("read files of bundle "+id, err)
}

func readFiles(ctx context.Context, q querier, id string) ([]capstan.StoredFile, error) {
	list, err := collect(ctx, q, scanFile, filesSQL, id)
	slices.SortFunc(list, func(a, b capstan.StoredFile) int { return strings.Compare(a.Path, b.Path) })
	return list, err
}

// Bundle returns a bundle by its version. Errors: app_not_found,
// bundle_not_found.
func (tx *Tx) Bundle(app, version string) (capstan.Bundle, error) {
	if _, err := tx.lockApp(app); err != nil {
		return capstan.Bundle{}, err
	}
	return readBundle(tx.ctx, tx.sql, bundleSQL, app, version)
}

// BundleByID returns a bundle by its id. Errors: app_not_found,
// bundle_not_found.
func (tx *Tx) BundleByID(app, id string) (capstan.Bundle, error) {
	if _, err := tx.lockApp(app); err != nil {
		return capstan.Bundle{}, err
	}
	return readBundle(tx.ctx, tx.sql, bundleByIDSQL, app, id)
}

// BundleFiles returns the files of a bundle, ordered by the bytes of the path.
func (tx *Tx) BundleFiles(id string) ([]capstan.StoredFile, error) {
	return readFiles(tx.ctx, tx.sql, id)
}

// CreateBundle inserts b, ready, with its files. State, FileCount and SizeBytes
// follow from the files; CreatedAt is the time of the transaction and
// CreatedBy the actor when not given. The organisation must have every content
// in the form that files name, and the archive. Errors: app_not_found,
// version_exists, blob_missing, invalid.
func (tx *Tx) CreateBundle(b capstan.Bundle, files []capstan.StoredFile) error {
	if err := b.Validate(); err != nil {
		return err
	}
	org, err := tx.lockApp(b.App)
	if err != nil {
		return err
	}
	if _, err := readBundle(tx.ctx, tx.sql, bundleSQL, b.App, b.Version); err == nil {
		return capstan.Errorf(capstan.CodeVersionExists, "the app %q has a bundle %q already", b.App, b.Version).On("version").
			Hint("capstan bundle upload --auto-bump")
	} else if capstan.CodeOf(err) != capstan.CodeBundleNotFound {
		return err
	}
	if b.CreatedAt.IsZero() {
		b.CreatedAt = tx.now
	}
	if b.CreatedBy == "" {
		b.CreatedBy = tx.actor
	}
	b.State, b.Number = capstan.BundleReady, 0
	b.FileCount, b.SizeBytes = measure(files)
	if err := tx.checkContents(org, b.Archive, files); err != nil {
		return err
	}
	if err := tx.insertBundle(org, b); err != nil {
		return err
	}
	if err := tx.insertFiles(org, b.ID, files); err != nil {
		return err
	}
	return tx.change(org, b.App, capstan.NounBundle, b.ID, nil, bundleShape(b), touched{capstan.NounBundle, b.App, b.ID})
}

func measure(files []capstan.StoredFile) (count int, sizeBytes int64) {
	for _, f := range files {
		sizeBytes += f.Size
	}
	return len(files), sizeBytes
}

func (tx *Tx) insertBundle(org string, b capstan.Bundle) error {
	nativeMin, err := encodeNativeMin(b.NativeMin)
	if err != nil {
		return err
	}
	return tx.exec(`INSERT INTO bundle (id, app, org, version, root, state, archive, archive_bytes, archive_crc32,
			file_count, size_bytes, delta_offered, native_min, key_id, link, comment, created_at, created_by, number)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, 0)`,
		b.ID, b.App, org, b.Version, string(b.Root), string(b.State), string(b.Archive), b.ArchiveBytes, b.ArchiveCRC32,
		b.FileCount, b.SizeBytes, b.DeltaOffered, nativeMin, b.KeyID, b.Link, b.Comment, ms(b.CreatedAt), b.CreatedBy)
}

func (tx *Tx) insertFiles(org, bundle string, files []capstan.StoredFile) error {
	n := len(files)
	if n == 0 {
		return nil
	}
	bundles, orgs := slices.Repeat([]string{bundle}, n), slices.Repeat([]string{org}, n)
	path, digest, encoding, blob := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	size, blobBytes := make([]int64, n), make([]int64, n)
	for i, f := range files {
		path[i], digest[i], size[i] = f.Path, string(f.Digest), f.Size
		encoding[i], blob[i], blobBytes[i] = string(f.Encoding), string(f.Blob), f.BlobBytes
	}
	return tx.dialect.insertMany(tx.ctx, tx.sql, bulk{table: "bundle_file", columns: []column{
		{name: "bundle", texts: bundles}, {name: "path", texts: path}, {name: "org", texts: orgs},
		{name: "digest", texts: digest}, {name: "size", ints: size}, {name: "encoding", texts: encoding},
		{name: "blob", texts: blob}, {name: "blob_bytes", ints: blobBytes},
	}})
}

// MarkBundleGone keeps the row of a bundle and lets its bytes be collected, not
// before [Grace] has passed, since devices may be downloading them. A bundle
// that is gone already does not change. Errors: app_not_found,
// bundle_not_found.
func (tx *Tx) MarkBundleGone(app, id string) error {
	old, err := tx.BundleByID(app, id)
	if err != nil || old.State == capstan.BundleGone {
		return err
	}
	if err := tx.holdBlobs(`SELECT id FROM bundle WHERE id = $2`, id); err != nil {
		return err
	}
	if err := tx.exec(`UPDATE bundle SET state = $1 WHERE id = $2`, string(capstan.BundleGone), id); err != nil {
		return err
	}
	after := old
	after.State = capstan.BundleGone
	return tx.bundleChange(old, after)
}

// ReviveBundle makes a gone bundle ready again, with the archive and the stored
// files that were uploaded anew for the same root; everything else of the row
// stays. Errors: app_not_found, bundle_not_found, version_exists when the root
// is another or the bundle is not gone, blob_missing.
func (tx *Tx) ReviveBundle(b capstan.Bundle, files []capstan.StoredFile) error {
	old, err := tx.BundleByID(b.App, b.ID)
	if err != nil {
		return err
	}
	if old.Root != b.Root || old.State != capstan.BundleGone {
		return capstan.Errorf(capstan.CodeVersionExists, "the app %q has a bundle %q already", b.App, old.Version).On("version").
			Hint("capstan bundle upload --auto-bump")
	}
	org := tx.orgs[b.App]
	if err := tx.checkContents(org, b.Archive, files); err != nil {
		return err
	}
	after := old
	after.State, after.Archive, after.ArchiveBytes, after.ArchiveCRC32 = capstan.BundleReady, b.Archive, b.ArchiveBytes, b.ArchiveCRC32
	err = tx.exec(`UPDATE bundle SET state = $1, archive = $2, archive_bytes = $3, archive_crc32 = $4 WHERE id = $5`,
		string(after.State), string(after.Archive), after.ArchiveBytes, after.ArchiveCRC32, b.ID)
	if err != nil {
		return err
	}
	if err := tx.exec(`DELETE FROM bundle_file WHERE bundle = $1`, b.ID); err != nil {
		return err
	}
	if err := tx.insertFiles(org, b.ID, files); err != nil {
		return err
	}
	return tx.bundleChange(old, after)
}

func (tx *Tx) bundleChange(before, after capstan.Bundle) error {
	return tx.change(tx.orgs[after.App], after.App, capstan.NounBundle, after.ID, bundleShape(before), bundleShape(after),
		touched{capstan.NounBundle, after.App, after.ID})
}
