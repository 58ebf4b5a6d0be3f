package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestBundleIsKeptWithItsFiles(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		b, files := newBundle(t, db, "1.2.0-beta.1", clock.Now().Add(time.Hour))
		b.NativeMin = map[capstan.Platform]string{capstan.IOS: "1.1.0", capstan.Android: "1.0.0"}
		b.KeyID, b.Link, b.Comment = "MIIBCgKCAQEA", "https://example.com/1", "fixes ü"
		// Paths are ordered by bytes, whatever the engine thinks of letters.
		shared := files[1]
		for _, path := range []string{"Z.js", "a b/#%?.js", "ä.js", "a/b.js", "😀.js"} {
			shared.Path = path
			files = append(files, shared)
		}
		n := write(t, db, func(tx *store.Tx) error { return tx.CreateBundle(b, files) })
		want := b
		want.State, want.FileCount, want.CreatedAt, want.CreatedBy, want.Number = capstan.BundleReady, 7, clock.Now(), "tester", n
		want.SizeBytes = files[0].Size + 6*shared.Size
		for name, read := range map[string]func() (capstan.Bundle, error){
			"by version": func() (capstan.Bundle, error) { return db.Bundle(t.Context(), app, "1.2.0-beta.1") },
			"by id":      func() (capstan.Bundle, error) { return db.BundleByID(t.Context(), app, b.ID) },
		} {
			got, err := read()
			diff(t, name, want, got)
			if err != nil {
				t.Error(err)
			}
		}
		got, err := db.BundleFiles(t.Context(), b.ID)
		slices.SortFunc(files, func(a, b capstan.StoredFile) int {
			if a.Path < b.Path {
				return -1
			}
			return 1
		})
		diff(t, "files", files, got)
		if err != nil {
			t.Error(err)
		}
	})
}

func TestBundlesArePagedNewestFirst(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		var want []string
		for i := range 5 {
			b := makeBundle(t, db, fmt.Sprintf("1.0.%d", i))
			want = append([]string{b.Version}, want...)
		}
		var got []string
		for before := ""; ; {
			page, err := db.Bundles(t.Context(), app, store.BundleFilter{Before: before, Limit: 2})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range page {
				got, before = append(got, b.Version), b.ID
			}
			if len(page) < 2 {
				break
			}
		}
		diff(t, "versions", want, got)
		gone, err := db.Bundles(t.Context(), app, store.BundleFilter{State: capstan.BundleGone})
		if err != nil || len(gone) != 0 {
			t.Errorf("gone bundles: %v, %v", gone, err)
		}
	})
}

func TestBundleVersionIsTakenForEver(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		b := makeBundle(t, db, "1.0.0")
		again, files := newBundle(t, db, "1.0.0", time.Now().Add(time.Hour))
		create := func(tx *store.Tx) error { return tx.CreateBundle(again, files) }
		wantCode(t, db, capstan.CodeVersionExists, create)
		write(t, db, func(tx *store.Tx) error { return tx.MarkBundleGone(app, b.ID) })
		wantCode(t, db, capstan.CodeVersionExists, create)
	})
}

func TestGoneBundleIsRevivedBySameContentOnly(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		makeChannel(t, db, "production")
		b := makeBundle(t, db, "1.0.0")
		again, files := newBundle(t, db, "1.0.0", time.Now().Add(time.Hour))
		again.ID = b.ID
		revive := func(tx *store.Tx) error { return tx.ReviveBundle(again, files) }
		wantCode(t, db, capstan.CodeVersionExists, revive) // it is not gone

		write(t, db, func(tx *store.Tx) error { return tx.MarkBundleGone(app, b.ID) })
		wantCode(t, db, capstan.CodeBytesGone, func(tx *store.Tx) error {
			_, err := tx.CreateRelease(capstan.Release{App: app, Channel: "production", Bundle: b.ID})
			return err
		})
		other := again
		other.Root = capstan.EmptyDigest
		wantCode(t, db, capstan.CodeVersionExists, func(tx *store.Tx) error { return tx.ReviveBundle(other, files) })

		again.ArchiveBytes, again.ArchiveCRC32 = 17, "0badcafe"
		n := write(t, db, revive)
		want := b
		want.Number, want.ArchiveBytes, want.ArchiveCRC32 = n, 17, "0badcafe"
		got, err := db.Bundle(t.Context(), app, "1.0.0")
		diff(t, "revived bundle", want, got)
		if err != nil {
			t.Error(err)
		}
		release(t, db, "production", got)
	})
}

func TestBundleNeedsContentsOfItsOwnOrganisation(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		lease := time.Now().Add(time.Hour)
		b, files := newBundle(t, db, "1.0.0", lease)
		theirs := upload(t, db, "other", "secret", capstan.Identity, lease).StoredFile("secret.js")
		nobodys := capstan.StoredFile{Path: "x", Digest: capstan.EmptyDigest, Encoding: capstan.Identity, Blob: capstan.EmptyDigest}
		for name, extra := range map[string]capstan.StoredFile{"of another organisation": theirs, "of nobody": nobodys} {
			before := number(t, db)
			_, err := db.Write(t.Context(), "tester", func(tx *store.Tx) error { return tx.CreateBundle(b, append(files, extra)) })
			e, ok := err.(*capstan.Error)
			if !ok || e.Code != capstan.CodeBlobMissing || len(e.Details) != 1 || e.Details[0] != string(extra.Digest) {
				t.Errorf("contents %s: %v", name, err)
			}
			if number(t, db) != before {
				t.Errorf("contents %s: number moved", name)
			}
		}
		noZip := b
		noZip.Archive = capstan.EmptyDigest
		wantCode(t, db, capstan.CodeBlobMissing, func(tx *store.Tx) error { return tx.CreateBundle(noZip, files) })
		write(t, db, func(tx *store.Tx) error { return tx.CreateBundle(b, files) })
	})
}

func TestBundleWithTwentyThousandFiles(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		lease := time.Now().Add(time.Hour)
		b, files := newBundle(t, db, "1.0.0", lease)
		for i := range 600 { // more than fit into one list of placeholders
			files = append(files, upload(t, db, capstan.DefaultOrg, fmt.Sprint(i), capstan.Identity, lease).StoredFile(fmt.Sprintf("f/%d.js", i)))
		}
		for i := range 19400 {
			f := files[2+i%600]
			f.Path = fmt.Sprintf("g/%d.js", i)
			files = append(files, f)
		}
		write(t, db, func(tx *store.Tx) error { return tx.CreateBundle(b, files) })
		got, err := db.BundleFiles(t.Context(), b.ID)
		if err != nil || len(got) != len(files) {
			t.Errorf("%d files of %d, %v", len(got), len(files), err)
		}
		var wants []store.Want
		for _, f := range files {
			wants = append(wants, store.Want{Digest: f.Digest, Bytes: f.Size})
		}
		missing, err := db.MissingContents(t.Context(), capstan.DefaultOrg, wants, lease)
		if err != nil || len(missing) != 0 {
			t.Errorf("%d contents missing, %v", len(missing), err)
		}
	})
}

func TestBundleRefusals(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		b, files := newBundle(t, db, "1.0.0", time.Now().Add(time.Hour))
		bad := b
		bad.Version = "one"
		wantCode(t, db, capstan.CodeInvalid, func(tx *store.Tx) error { return tx.CreateBundle(bad, files) })
		stray := b
		stray.App = "com.example.none"
		wantCode(t, db, capstan.CodeAppNotFound, func(tx *store.Tx) error { return tx.CreateBundle(stray, files) })
		id := uuid.Must(uuid.NewV7()).String()
		wantCode(t, db, capstan.CodeBundleNotFound, func(tx *store.Tx) error { return tx.MarkBundleGone(app, id) })
		wantCode(t, db, capstan.CodeBundleNotFound, func(tx *store.Tx) error { return tx.ReviveBundle(b, files) })
		if _, err := db.Bundle(t.Context(), app, "9.9.9"); capstan.CodeOf(err) != capstan.CodeBundleNotFound {
			t.Errorf("by version: %v", err)
		}
		if _, err := db.BundleByID(t.Context(), app, id); capstan.CodeOf(err) != capstan.CodeBundleNotFound {
			t.Errorf("by id: %v", err)
		}
		if list, err := db.BundleFiles(t.Context(), id); err != nil || len(list) != 0 {
			t.Errorf("files of nothing: %v, %v", list, err)
		}
	})
}
