package store_test

import (
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestMissingContentsAnswersWithinTheOrganisation(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		lease := time.Now().Add(time.Hour)
		mine := upload(t, db, "mine", "mine", capstan.Identity, lease)
		theirs := upload(t, db, "theirs", "theirs", capstan.Identity, lease)
		both := upload(t, db, "mine", "both", capstan.Brotli, lease)
		upload(t, db, "theirs", "both", capstan.Brotli, lease)
		wants := []store.Want{{Digest: theirs.Digest}, {Digest: mine.Digest}, {Digest: both.Digest}, {Digest: theirs.Digest}}
		missing, err := db.MissingContents(t.Context(), "mine", wants, lease)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "missing", []store.Want{wants[0], wants[3]}, missing)
		contents, err := db.Contents(t.Context(), "mine", []capstan.Digest{theirs.Digest, mine.Digest})
		diff(t, "contents", []store.Content{mine}, contents)
		if err != nil {
			t.Error(err)
		}
	})
}

func TestMissingContentsMindsTheStoredForm(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		lease := time.Now().Add(time.Hour)
		plain := upload(t, db, "o", "plain", capstan.Identity, lease).Digest
		brotli := upload(t, db, "o", "brotli", capstan.Brotli, lease).Digest
		zip := upload(t, db, "o", "zip", capstan.Archive, lease).Digest
		two := upload(t, db, "o", "two", capstan.Identity, lease).Digest
		upload(t, db, "o", "two", capstan.Brotli, lease)
		for _, c := range []struct {
			name    string
			want    store.Want
			missing bool
		}{
			{"identity does for any", store.Want{Digest: plain}, false},
			{"brotli does for any", store.Want{Digest: brotli}, false},
			{"identity does not for brotli", store.Want{Digest: plain, Encoding: capstan.Brotli}, true},
			{"brotli does not for identity", store.Want{Digest: brotli, Encoding: capstan.Identity}, true},
			{"an archive is no file", store.Want{Digest: zip}, true},
			{"an archive is an archive", store.Want{Digest: zip, Encoding: capstan.Archive}, false},
			{"a file is no archive", store.Want{Digest: plain, Encoding: capstan.Archive}, true},
			{"one of two forms", store.Want{Digest: two, Encoding: capstan.Brotli}, false},
			{"nobody has it", store.Want{Digest: capstan.EmptyDigest}, true},
		} {
			missing, err := db.MissingContents(t.Context(), "o", []store.Want{c.want}, lease)
			if err != nil || (len(missing) == 1) != c.missing {
				t.Errorf("%s: missing %v, %v", c.name, missing, err)
			}
		}
	})
}

func TestLeaseIsNeverShortened(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		long := clock.Now().Add(48 * time.Hour)
		c := upload(t, db, "o", "x", capstan.Identity, long)
		if err := db.ClaimBlob(t.Context(), c.Blob, c.BlobBytes, clock.Now()); err != nil {
			t.Fatal(err)
		}
		if err := db.PutContent(t.Context(), c, clock.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := db.MissingContents(t.Context(), "o", []store.Want{{Digest: c.Digest}}, clock.Now()); err != nil {
			t.Fatal(err)
		}
		var until int64
		if err := db.Value(t.Context(), &until, `SELECT lease_until FROM blob`); err != nil || until != long.UnixMilli() {
			t.Errorf("lease until %d, want %d: %v", until, long.UnixMilli(), err)
		}
	})
}

func TestContentNeedsAClaimedBlob(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := store.Content{Org: "o", Digest: capstan.EmptyDigest, Encoding: capstan.Identity, Blob: capstan.EmptyDigest}
		if err := db.PutContent(t.Context(), c, time.Now()); capstan.CodeOf(err) != capstan.CodeUnavailable {
			t.Errorf("content without a claim: %v", err)
		}
		if list, err := db.Contents(t.Context(), "o", []capstan.Digest{c.Digest}); err != nil || len(list) != 0 {
			t.Errorf("it was recorded: %v, %v", list, err)
		}
	})
}

func TestContentIsReplacedByABetterForm(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		lease := time.Now().Add(time.Hour)
		c := upload(t, db, "o", "x", capstan.Brotli, lease)
		smaller := c
		smaller.Blob, smaller.BlobBytes = capstan.DigestOf([]byte("smaller")), 1
		if err := db.ClaimBlob(t.Context(), smaller.Blob, 1, lease); err != nil {
			t.Fatal(err)
		}
		if err := db.PutContent(t.Context(), smaller, lease); err != nil {
			t.Fatal(err)
		}
		got, err := db.Contents(t.Context(), "o", []capstan.Digest{c.Digest})
		diff(t, "contents", []store.Content{smaller}, got)
		if err != nil {
			t.Error(err)
		}
	})
}

func TestCheckBlobsNamesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := upload(t, db, "o", "x", capstan.Identity, time.Now().Add(time.Hour))
		write(t, db, func(tx *store.Tx) error { return tx.CheckBlobs([]capstan.Digest{c.Blob, c.Blob}) })
		write(t, db, func(tx *store.Tx) error { return tx.CheckBlobs(nil) })
		_, err := db.Write(t.Context(), "tester", func(tx *store.Tx) error {
			return tx.CheckBlobs([]capstan.Digest{c.Blob, capstan.EmptyDigest})
		})
		e, ok := err.(*capstan.Error)
		if !ok || e.Code != capstan.CodeBlobMissing {
			t.Fatalf("got %v", err)
		}
		diff(t, "details", []string{string(capstan.EmptyDigest)}, e.Details)
	})
}
