package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/capstan-ota/capstan"
)

// A blob is bytes in the blob store, which the store of rows never touches. Its
// row says whether somebody may be using or writing them; that they have
// arrived whole, and for whom, is said by rows of content.
//
//	           ClaimBlob                    MarkCollectable: lease over
//	          (then Put)                    and no ready bundle names it
//	absent ───────────────▶ ready ─────────────────────────────▶ deleting
//	  ▲                     │   ▲                                 │    │
//	  │                     └───┘                                 │    │
//	  │       ClaimBlob, PutContent, MissingContents              │    │
//	  │       lengthen the lease; CreateBundle,                   │    │
//	  │       ReviveBundle lock the row and name it    ClaimBlob, CheckBlobs,
//	  │                                                PutContent: refused
//	  │                    ForgetBlobs                            │
//	  └───────────────────────────────────────────────────────────┘
//	           (after the bytes were deleted)
//
// Nothing leads from deleting back to ready: the collector has the digest in
// its hands and may delete the bytes at any moment, also those that were put a
// moment ago. So whoever uploads claims first and puts then. While the blob is
// being deleted the claim fails with unavailable, for the short time between
// MarkCollectable and ForgetBlobs; once it succeeds the row is absent or
// ready, so a Put writes the bytes if they are not there, and nobody deletes
// them before the lease is over. A blob in deleting counts as missing
// everywhere. A collector that died in between leaves its blobs in deleting;
// the next one gets them from MarkCollectable and goes on.
const (
	blobReady    = "ready"
	blobDeleting = "deleting"
)

// Grace is how long bytes stay after the last name went, longer than the
// longest download.
const Grace = 24 * time.Hour

// Want is a plain content that a bundle needs.
type Want struct {
	Digest   capstan.Digest
	Bytes    int64            // plain size
	Encoding capstan.Encoding // stored form that it must have; "" for identity or br
}

// Content is a plain content that an organisation has, and its stored form.
type Content struct {
	Org       string
	Digest    capstan.Digest // of the plain bytes; of the zip for [capstan.Archive]
	Encoding  capstan.Encoding
	Blob      capstan.Digest // of the stored bytes
	BlobBytes int64
	Bytes     int64 // plain size
}

// StoredFile puts the content under a path.
func (c Content) StoredFile(path string) capstan.StoredFile {
	return capstan.StoredFile{
		Path: path, Digest: c.Digest, Size: c.Bytes,
		Encoding: c.Encoding, Blob: c.Blob, BlobBytes: c.BlobBytes,
	}
}

// fits reports whether c will do for w.
func (c Content) fits(w Want) bool {
	return c.Encoding == w.Encoding || w.Encoding == "" && c.Encoding != capstan.Archive
}

const (
	contentsSQL = `SELECT c.org, c.digest, c.encoding, c.blob, c.blob_bytes, c.bytes
		FROM content c JOIN blob b ON b.digest = c.blob
		WHERE c.org = $1 AND b.state = 'ready' AND c.digest IN (%s)`

	leaseSQL = `UPDATE blob SET lease_until = CASE WHEN lease_until < $1 THEN $1 ELSE lease_until END
		WHERE state = 'ready' AND digest IN (%s) RETURNING digest`

	claimSQL = `INSERT INTO blob (digest, bytes, state, lease_until, created_at) VALUES ($1, $2, 'ready', $3, $4)
		ON CONFLICT (digest) DO UPDATE
			SET lease_until = CASE WHEN blob.lease_until < excluded.lease_until THEN excluded.lease_until ELSE blob.lease_until END
			WHERE blob.state = 'ready'
		RETURNING digest`

	putContentSQL = `INSERT INTO content (org, digest, encoding, blob, blob_bytes, bytes) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (org, digest, encoding) DO UPDATE
			SET blob = excluded.blob, blob_bytes = excluded.blob_bytes, bytes = excluded.bytes`

	lockBlobsSQL = `SELECT digest, state FROM blob WHERE digest IN (%s) ORDER BY digest`
)

func scanContent(s scanner) (c Content, err error) {
	return c, s.Scan(&c.Org, &c.Digest, &c.Encoding, &c.Blob, &c.BlobBytes, &c.Bytes)
}

// MissingContents returns those wants that org lacks, in their order, and
// leases the blobs of the others until leaseUntil, so that they are still
// there when the bundle is made. It looks within org only: an answer about
// others would tell tenants about each other.
func (db *DB) MissingContents(ctx context.Context, org string, wants []Want, leaseUntil time.Time) ([]Want, error) {
	var missing []Want
	err := db.transact(ctx, "look for missing contents", func(tx *sql.Tx) error {
		missing = []Want{}
		have, err := readContents(ctx, tx, org, wantDigests(wants))
		if err != nil {
			return err
		}
		leased, err := lease(ctx, tx, have, leaseUntil)
		if err != nil {
			return err
		}
		for _, w := range wants {
			if !slices.ContainsFunc(have[w.Digest], func(c Content) bool { return c.fits(w) && leased[c.Blob] }) {
				missing = append(missing, w)
			}
		}
		return nil
	})
	return missing, err
}

func wantDigests(wants []Want) []capstan.Digest {
	digests := make([]capstan.Digest, len(wants))
	for i, w := range wants {
		digests[i] = w.Digest
	}
	return digests
}

// lease lengthens the leases of the blobs of have and returns those that it
// could: one that the collector marked since they were read is not among them.
func lease(ctx context.Context, tx *sql.Tx, have map[capstan.Digest][]Content, until time.Time) (map[capstan.Digest]bool, error) {
	var blobs []capstan.Digest
	for _, list := range have {
		for _, c := range list {
			blobs = append(blobs, c.Blob)
		}
	}
	slices.Sort(blobs) // one order for all, against deadlocks
	leased := make(map[capstan.Digest]bool, len(blobs))
	err := chunks(slices.Compact(blobs), 2, func(list string, args []any) error {
		got, err := collect(ctx, tx, scanString, fmt.Sprintf(leaseSQL, list), append([]any{ms(until)}, args...)...)
		for _, blob := range got {
			leased[capstan.Digest(blob)] = true
		}
		return err
	})
	return leased, err
}

// Contents returns what org has of digests, in every stored form, ordered by
// digest and form.
func (db *DB) Contents(ctx context.Context, org string, digests []capstan.Digest) ([]Content, error) {
	have, err := readContents(ctx, db.reader, org, digests)
	list := slices.Concat(slices.Collect(maps.Values(have))...)
	slices.SortFunc(list, func(a, b Content) int {
		return cmp.Or(strings.Compare(string(a.Digest), string(b.Digest)), strings.Compare(string(a.Encoding), string(b.Encoding)))
	})
	return list, db.fail("read contents", err)
}

func readContents(ctx context.Context, q querier, org string, digests []capstan.Digest) (map[capstan.Digest][]Content, error) {
	digests = slices.Clone(digests)
	slices.Sort(digests)
	have := make(map[capstan.Digest][]Content, len(digests))
	err := chunks(slices.Compact(digests), 2, func(list string, args []any) error {
		return each(ctx, q, scanContent, func(c Content) error {
			have[c.Digest] = append(have[c.Digest], c)
			return nil
		}, fmt.Sprintf(contentsSQL, list), append([]any{org}, args...)...)
	})
	return have, err
}

// ClaimBlob makes a blob's row or lengthens its lease. It comes before the
// bytes are put into the blob store; see the drawing above. Error: unavailable
// while the collector is deleting this blob, for a moment.
func (db *DB) ClaimBlob(ctx context.Context, blob capstan.Digest, blobBytes int64, leaseUntil time.Time) error {
	return db.transact(ctx, "claim a blob", func(tx *sql.Tx) error {
		return db.claim(ctx, tx, blob, blobBytes, leaseUntil)
	})
}

func (db *DB) claim(ctx context.Context, tx *sql.Tx, blob capstan.Digest, blobBytes int64, leaseUntil time.Time) error {
	got, err := collect(ctx, tx, scanString, claimSQL, string(blob), blobBytes, ms(leaseUntil), ms(db.now()))
	if err == nil && len(got) == 0 {
		return beingDeleted(blob)
	}
	return err
}

func beingDeleted(blob capstan.Digest) *capstan.Error {
	return capstan.Errorf(capstan.CodeUnavailable, "an old copy of the bytes %s is being deleted", blob).
		Hint("Try again in a moment.")
}

// PutContent records that c.Org has c, after its blob was claimed and its
// bytes are durable. Error: unavailable when the blob is not claimed, because
// the collector took it after its lease was over: claim and put again.
func (db *DB) PutContent(ctx context.Context, c Content, leaseUntil time.Time) error {
	return db.transact(ctx, "record a content", func(tx *sql.Tx) error {
		leased, err := lease(ctx, tx, map[capstan.Digest][]Content{c.Digest: {c}}, leaseUntil)
		if err != nil {
			return err
		}
		if !leased[c.Blob] {
			return beingDeleted(c.Blob)
		}
		_, err = tx.ExecContext(ctx, putContentSQL, c.Org, string(c.Digest), string(c.Encoding), string(c.Blob), c.BlobBytes, c.Bytes)
		return err
	})
}

// CheckBlobs locks the rows of blobs until commit and fails with blob_missing,
// whose Details list them, when one is absent or being deleted.
func (tx *Tx) CheckBlobs(blobs []capstan.Digest) error {
	sorted := slices.Clone(blobs)
	slices.Sort(sorted) // one order for all, against deadlocks
	sorted = slices.Compact(sorted)
	ready := make(map[string]bool, len(sorted))
	err := chunks(sorted, 1, func(list string, args []any) error {
		rows, err := tx.sql.QueryContext(tx.ctx, fmt.Sprintf(lockBlobsSQL, list)+tx.dialect.lockRow(), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var digest, state string
			if err := rows.Scan(&digest, &state); err != nil {
				return err
			}
			ready[digest] = state == blobReady
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	var missing []string
	for _, blob := range sorted {
		if !ready[string(blob)] {
			missing = append(missing, string(blob))
		}
	}
	return blobMissing(missing)
}

func blobMissing(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	e := capstan.Errorf(capstan.CodeBlobMissing, "the server lacks the bytes of %d of the bundle's contents", len(missing)).
		Hint("Run the upload again: it sends what is missing.")
	e.Details = missing
	return e
}

// checkContents makes sure that the organisation itself has every content, in
// the form and under the blob that the bundle names, so that no tenant can
// name another's bytes; and locks the blobs.
func (tx *Tx) checkContents(org string, archive capstan.Digest, files []capstan.StoredFile) error {
	type form struct {
		digest   capstan.Digest
		encoding capstan.Encoding
		blob     capstan.Digest
	}
	needed := map[form]bool{}
	if archive != "" {
		needed[form{archive, capstan.Archive, archive}] = true
	}
	for _, f := range files {
		needed[form{f.Digest, f.Encoding, f.Blob}] = true
	}
	digests, blobs := make([]capstan.Digest, 0, len(needed)), make([]capstan.Digest, 0, len(needed))
	for n := range needed {
		digests, blobs = append(digests, n.digest), append(blobs, n.blob)
	}
	if err := tx.CheckBlobs(blobs); err != nil {
		return err
	}
	have, err := readContents(tx.ctx, tx.sql, org, digests)
	if err != nil {
		return err
	}
	for _, list := range have {
		for _, c := range list {
			delete(needed, form{c.Digest, c.Encoding, c.Blob})
		}
	}
	missing := []string{}
	for n := range needed {
		missing = append(missing, string(n.digest))
	}
	slices.Sort(missing)
	return blobMissing(missing)
}

// holdBlobs keeps the bytes of the bundles that the query names for [Grace]
// longer, since devices may be downloading them. The query's parameter is $2.
func (tx *Tx) holdBlobs(bundles, arg string) error {
	return tx.exec(fmt.Sprintf(`UPDATE blob SET lease_until = $1 WHERE lease_until < $1 AND digest IN (
		SELECT blob FROM bundle_file WHERE bundle IN (%[1]s)
		UNION SELECT archive FROM bundle WHERE id IN (%[1]s))`, bundles), ms(tx.now.Add(Grace)), arg)
}
