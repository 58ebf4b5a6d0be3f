package store_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const app = "com.example.app"

// write runs a Write that has to succeed.
func write(t testing.TB, db *store.DB, fn func(*store.Tx) error) int64 {
	t.Helper()
	number, err := db.Write(t.Context(), "tester", fn)
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	return number
}

func makeApp(t testing.TB, db *store.DB, id string) {
	t.Helper()
	write(t, db, func(tx *store.Tx) error { return tx.CreateApp(capstan.App{ID: id}) })
}

func makeChannel(t testing.TB, db *store.DB, name string) capstan.Channel {
	t.Helper()
	var c capstan.Channel
	write(t, db, func(tx *store.Tx) (err error) {
		c, err = tx.CreateChannel(capstan.NewChannel(app, name))
		return err
	})
	return c
}

// upload makes the organisation have the content of text, as an upload does.
func upload(t testing.TB, db *store.DB, org, text string, encoding capstan.Encoding, lease time.Time) store.Content {
	t.Helper()
	c := store.Content{
		Org: org, Digest: capstan.DigestOf([]byte(text)), Encoding: encoding, Bytes: int64(len(text)),
		Blob: capstan.DigestOf([]byte(text)), BlobBytes: int64(len(text)),
	}
	if encoding == capstan.Brotli {
		c.Blob = capstan.DigestOf([]byte("br:" + text))
	}
	if err := db.ClaimBlob(t.Context(), c.Blob, c.BlobBytes, lease); err != nil {
		t.Fatalf("claim %s: %v", text, err)
	}
	if err := db.PutContent(t.Context(), c, lease); err != nil {
		t.Fatalf("put %s: %v", text, err)
	}
	return c
}

var bundleCount atomic.Int64

// newBundle uploads an archive and two files, one of them shared by all, and
// returns a bundle of them that has not been created.
func newBundle(t testing.TB, db *store.DB, version string, lease time.Time) (capstan.Bundle, []capstan.StoredFile) {
	t.Helper()
	zip := upload(t, db, capstan.DefaultOrg, "zip of "+version, capstan.Archive, lease)
	files := []capstan.StoredFile{
		upload(t, db, capstan.DefaultOrg, "index of "+version, capstan.Identity, lease).StoredFile("index.html"),
		upload(t, db, capstan.DefaultOrg, "shared", capstan.Brotli, lease).StoredFile("shared.js"),
	}
	b := capstan.Bundle{
		ID: uuid.Must(uuid.NewV7()).String(), App: app, Version: version, Root: capstan.DigestOf([]byte(version)),
		Archive: zip.Blob, ArchiveBytes: zip.BlobBytes, ArchiveCRC32: fmt.Sprintf("%08x", bundleCount.Add(1)), DeltaOffered: true,
	}
	return b, files
}

func makeBundle(t testing.TB, db *store.DB, version string, change ...func(*capstan.Bundle)) capstan.Bundle {
	t.Helper()
	b, files := newBundle(t, db, version, time.Now().Add(100*365*24*time.Hour))
	for _, f := range change {
		f(&b)
	}
	write(t, db, func(tx *store.Tx) error { return tx.CreateBundle(b, files) })
	b, err := db.BundleByID(t.Context(), app, b.ID)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func release(t testing.TB, db *store.DB, channel string, b capstan.Bundle) capstan.Release {
	t.Helper()
	var r capstan.Release
	write(t, db, func(tx *store.Tx) (err error) {
		r, err = tx.CreateRelease(capstan.Release{App: app, Channel: channel, Bundle: b.ID, ShareBP: capstan.ShareAll, Salt: "s"})
		return err
	})
	return r
}

// wantCode runs fn in a Write that must fail with a code and leave the change
// number as it was.
func wantCode(t testing.TB, db *store.DB, code capstan.Code, fn func(*store.Tx) error) {
	t.Helper()
	before := number(t, db)
	_, err := db.Write(t.Context(), "tester", fn)
	if got := capstan.CodeOf(err); got != code {
		t.Errorf("got code %q (%v), want %q", got, err, code)
	}
	if after := number(t, db); after != before {
		t.Errorf("a refused write moved the number from %d to %d", before, after)
	}
}

func number(t testing.TB, db *store.DB) int64 {
	t.Helper()
	n, err := db.Number(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func diff(t testing.TB, what string, want, got any, options ...cmp.Option) {
	t.Helper()
	if d := cmp.Diff(want, got, options...); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func deviceID(n byte) capstan.DeviceID { return capstan.DeviceID{0: n, 15: n} }

// untilBlocked returns when somebody waits for what the caller holds, or when
// done is closed because nobody had to.
func untilBlocked(t testing.TB, db *store.DB, done <-chan struct{}) {
	t.Helper()
	for {
		blocked, err := db.Blocked(t.Context())
		if err != nil {
			t.Errorf("look for who waits: %v", err)
		}
		if blocked || err != nil {
			return
		}
		select {
		case <-done:
			return
		default:
			runtime.Gosched()
		}
	}
}
