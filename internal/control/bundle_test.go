package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/control"
	"github.com/capstan-ota/capstan/internal/pack"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestRegisterIsIdempotentByContent(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		src := w.source(site("1.0.1"))
		first, err := w.Register(t.Context(), w.admin, app, w.send("1.0.1", src))
		w.must(err)
		n := w.number()
		again, err := w.Register(t.Context(), w.admin, app, w.send("1.0.1", src))
		w.must(err)
		if !again.Existed || again.Bundle.ID != first.Bundle.ID || w.number() != n {
			t.Errorf("the same content again answered %+v", again)
		}
	})
}

func TestOtherContentUnderATakenVersionListsTheFiles(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.bundle("1.0.1")
		other := site("1.0.1")
		other["app.js"] += "changed"
		other["new.txt"] = "new"
		delete(other, "assets/logo.svg")
		in := w.send("1.0.1", w.source(other))
		n := w.number()
		_, err := w.Register(t.Context(), w.admin, app, in)
		w.refused(err, capstan.CodeVersionExists, n)
		e, _ := errors.AsType[*capstan.Error](err)
		if want := []string{"added: new.txt", "changed: app.js", "removed: assets/logo.svg"}; !slices.Equal(e.Details, want) {
			t.Errorf("details %q, want %q", e.Details, want)
		}
	})
}

func TestRegisterRefuses(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		good := w.send("1.0.1", w.source(site("1.0.1")))
		other := w.send("1.0.2", w.source(site("1.0.2")))
		tests := []struct {
			name string
			edit func(*control.NewBundle)
			want capstan.Code
		}{
			{"archive of another bundle", func(b *control.NewBundle) { b.Bundle.Archive = other.Bundle.Archive }, capstan.CodeContentMismatch},
			{"archive that is no zip", func(b *control.NewBundle) {
				junk := bytes.Repeat([]byte("junk"), 100)
				b.Bundle.Archive = capstan.DigestOf(junk)
				w.must(w.PutArchive(t.Context(), w.admin, app, b.Bundle.Archive, int64(len(junk)), bytes.NewReader(junk)))
			}, capstan.CodeArchiveUnsafe},
			{"archive that was never put", func(b *control.NewBundle) { b.Bundle.Archive = capstan.DigestOf([]byte("x")) }, capstan.CodeBlobMissing},
			{"content that was never put", func(b *control.NewBundle) { b.Files[0].Digest = capstan.DigestOf([]byte("x")) }, capstan.CodeBlobMissing},
			{"content of another size", func(b *control.NewBundle) { b.Files[0].Size++ }, capstan.CodeBlobMissing},
			{"no index.html", func(b *control.NewBundle) {
				b.Files = slices.DeleteFunc(b.Files, func(f capstan.File) bool { return f.Path == "index.html" })
			}, capstan.CodeNoIndex},
			{"path that leaves the folder", func(b *control.NewBundle) { b.Files[0].Path = "../x" }, capstan.CodePathRefused},
			{"file of 101 MiB", func(b *control.NewBundle) { b.Files[0].Size = 101 << 20 }, capstan.CodeTooLarge},
			{"version that is not semver", func(b *control.NewBundle) { b.Bundle.Version = "latest" }, capstan.CodeInvalid},
			{"archive digest that is none", func(b *control.NewBundle) { b.Bundle.Archive = "abc" }, capstan.CodeInvalid},
		}
		for _, tt := range tests {
			in := control.NewBundle{Bundle: good.Bundle, Files: slices.Clone(good.Files)}
			tt.edit(&in)
			n := w.number()
			_, err := w.Register(t.Context(), w.admin, app, in)
			t.Log(tt.name)
			w.refused(err, tt.want, n)
		}
		if list, err := w.DB.Bundles(t.Context(), app, store.BundleFilter{}); err != nil || len(list) != 0 {
			t.Errorf("after %d refusals there are bundles: %v, %v", len(tests), list, err)
		}
	})
}

// The gate of the command line can be bypassed, so the server looks itself.
func TestServerRefusesNativeCode(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		files := site("1.0.1")
		files["assets/photo.png"] = "PLACEHOLDER"
		src := w.source(files)
		elf := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 64)
		zip, manifest := forge(t, src, "assets/photo.png", elf)
		archive := capstan.DigestOf(zip)
		in := w.send("1.0.1", src)
		w.must(w.PutArchive(t.Context(), w.admin, app, archive, int64(len(zip)), bytes.NewReader(zip)))
		w.must(w.PutContent(t.Context(), w.admin, app, control.Upload{
			Digest: capstan.DigestOf([]byte(elf)), Size: int64(len(elf)), Encoding: capstan.Identity,
			Blob: capstan.DigestOf([]byte(elf)), BlobSize: int64(len(elf)),
		}, strings.NewReader(elf)))
		in.Bundle.Archive, in.Files = archive, manifest
		n := w.number()
		_, err := w.Register(t.Context(), w.admin, app, in)
		w.refused(err, capstan.CodeNativeCode, n)
	})
}

func TestPutContentChecksWhatItDecodes(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		plain := []byte(strings.Repeat("a line of text that compresses\n", 1000))
		br, err := pack.Compress(plain)
		w.must(err)
		good := control.Upload{
			Digest: capstan.DigestOf(plain), Size: int64(len(plain)), Encoding: capstan.Brotli,
			Blob: capstan.DigestOf(br), BlobSize: int64(len(br)),
		}
		tests := []struct {
			name string
			edit func(*control.Upload)
			body []byte
			want capstan.Code
		}{
			{"good", func(*control.Upload) {}, br, ""},
			{"again", func(*control.Upload) {}, br, ""},
			{"another plain digest", func(u *control.Upload) { u.Digest = capstan.DigestOf([]byte("x")) }, br, capstan.CodeDigestMismatch},
			{"another plain size", func(u *control.Upload) { u.Size-- }, br, capstan.CodeDigestMismatch},
			{"truncated", func(*control.Upload) {}, br[:len(br)-1], capstan.CodeDigestMismatch},
			{"longer", func(*control.Upload) {}, append(slices.Clone(br), 0), capstan.CodeDigestMismatch},
			{"one bit flipped", func(*control.Upload) {}, flip(br), capstan.CodeDigestMismatch},
			{"bytes behind the stream", func(u *control.Upload) {
				u.Blob, u.BlobSize = capstan.DigestOf(append(slices.Clone(br), 0)), u.BlobSize+1
			}, append(slices.Clone(br), 0), capstan.CodeDigestMismatch},
			{"too large", func(u *control.Upload) { u.Size = 1 << 40 }, br, capstan.CodeTooLarge},
			{"gzip", func(u *control.Upload) { u.Encoding = "gzip" }, br, capstan.CodeInvalid},
			{"plain form with another blob", func(u *control.Upload) { u.Encoding = capstan.Identity }, br, capstan.CodeInvalid},
		}
		for _, tt := range tests {
			u := good
			tt.edit(&u)
			err := w.PutContent(t.Context(), w.admin, app, u, bytes.NewReader(tt.body))
			if capstan.CodeOf(err) != tt.want {
				t.Errorf("%s: error %v with code %q, want %q", tt.name, err, capstan.CodeOf(err), tt.want)
			}
		}
		known, err := w.DB.Contents(t.Context(), capstan.DefaultOrg, []capstan.Digest{good.Digest, capstan.DigestOf([]byte("x"))})
		w.must(err)
		if len(known) != 1 || known[0].Digest != good.Digest {
			t.Errorf("known contents %+v, want the good one alone", known)
		}
	})
}

func flip(b []byte) []byte {
	b = slices.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

func TestInterruptedUploadSendsOnlyWhatIsMissing(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		src := w.source(site("1.0.1"))
		contents := src.Contents()
		var wants []store.Want
		for _, c := range contents {
			wants = append(wants, store.Want{Digest: c.Digest, Bytes: c.Size, Encoding: c.Need()})
		}
		missing := func() int {
			list, err := w.MissingContents(t.Context(), w.admin, app, wants)
			w.must(err)
			return len(list)
		}
		if got := missing(); got != len(contents) {
			t.Fatalf("an empty server lacks %d contents, want %d", got, len(contents))
		}
		stored, err := src.Encode(t.Context(), contents[0])
		w.must(err)
		// The connection breaks in the middle of the first content.
		body, _ := stored.Open()
		broken := io.MultiReader(io.LimitReader(body, stored.BlobBytes/2), &failing{})
		if err := w.PutContent(t.Context(), w.admin, app, upload(stored), broken); err == nil {
			t.Fatal("a broken upload was acknowledged")
		}
		if got := missing(); got != len(contents) {
			t.Errorf("after a broken upload the server lacks %d contents, want all %d", got, len(contents))
		}
		body, _ = stored.Open()
		w.must(w.PutContent(t.Context(), w.admin, app, upload(stored), body))
		if got := missing(); got != len(contents)-1 {
			t.Errorf("after one content the server lacks %d, want %d", got, len(contents)-1)
		}
		if list, err := w.DB.Bundles(t.Context(), app, store.BundleFilter{}); err != nil || len(list) != 0 {
			t.Errorf("an unfinished upload is visible: %v, %v", list, err)
		}
	})
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestGoneBundleComesBackWithTheSameContent(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		made := w.bundle("1.0.1")
		b, err := w.DB.Bundle(t.Context(), app, "1.0.1")
		w.must(err)
		w.must(w.DeleteBundle(t.Context(), w.admin, app, "1.0.1", b.Number))
		if b, _ = w.DB.Bundle(t.Context(), app, "1.0.1"); b.State != capstan.BundleGone {
			t.Fatalf("after deletion the state is %q", b.State)
		}
		back := w.bundle("1.0.1")
		if back.ID != made.ID || back.State != capstan.BundleReady {
			t.Errorf("the bundle came back as %+v, want id %s", back, made.ID)
		}
	})
}

func TestServedBundleCannotBeDeleted(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.bundle("1.0.1")
		w.publish("1.0.1")
		b, err := w.DB.Bundle(t.Context(), app, "1.0.1")
		w.must(err)
		n := w.number()
		w.refused(w.DeleteBundle(t.Context(), w.admin, app, "1.0.1", b.Number), capstan.CodeInUse, n)
		w.refused(w.DeleteBundle(t.Context(), w.admin, app, "1.0.1", b.Number+1), capstan.CodeStale, n)
	})
}

// Collection runs all the time while bundles with shared contents are uploaded,
// released and superseded. Eight hours pass with each upload, and in the middle
// of every fourth more than a lease lasts. What was acknowledged must have its
// bytes.
func TestCollectionRacesPublishing(t *testing.T) {
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		w := newWorld(t, db)
		w.Now = clock.Now
		keep := store.Keep{Grace: time.Nanosecond, Releases: 1, Seen: time.Nanosecond, Unnamed: time.Nanosecond}
		ctx, stop := context.WithCancel(t.Context())
		var collected atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			for ctx.Err() == nil {
				n, err := w.Collect(context.WithoutCancel(ctx), keep)
				if err != nil && capstan.CodeOf(err) != capstan.CodeUnavailable {
					t.Errorf("collect: %v", err)
					return
				}
				collected.Add(int64(n))
			}
		})
		// On with it until both have had their way with each other.
		const wantCollected, wantPublished, most = 20, 20, 500
		published, refused := 0, 0
		for i := 0; i < most && (collected.Load() < wantCollected || published < wantPublished); i++ {
			version := fmt.Sprintf("1.0.1-%d", i)
			clock.Add(8 * time.Hour)
			if i%4 == 3 {
				wg.Go(func() { clock.Add(30 * time.Hour) })
			}
			b, err := w.publishOnce(version, w.source(site(version)))
			if err == nil {
				published++
				bytesOf(t, w, b)
				continue
			}
			// Bytes may go between being put and being named, or a bundle before it
			// is released; then the answer says so.
			refused++
			switch capstan.CodeOf(err) {
			case capstan.CodeBlobMissing, capstan.CodeUnavailable, capstan.CodeNotFound, capstan.CodeBytesGone:
			default:
				t.Errorf("%s: %v (code %s)", version, err, capstan.CodeOf(err))
			}
		}
		stop()
		wg.Wait()
		t.Logf("%d published, %d refused on the way, %d blobs collected", published, refused, collected.Load())
		if collected.Load() < wantCollected || published < wantPublished {
			t.Errorf("want at least %d published and %d collected: nothing raced", wantPublished, wantCollected)
		}
	})
}

// publishOnce uploads a version and puts it on production.
func (w *world) publishOnce(version string, src *pack.Source) (capstan.Bundle, error) {
	in, err := w.trySend(version, src)
	if err != nil {
		return capstan.Bundle{}, err
	}
	made, err := w.Register(w.t.Context(), w.admin, app, in)
	if err != nil {
		return capstan.Bundle{}, err
	}
	_, err = w.Publish(w.t.Context(), w.admin, app, "production", w.channelNumber(), version, false)
	return made.Bundle, err
}

// bytesOf fails the test unless every byte of a bundle is there.
func bytesOf(t *testing.T, w *world, b capstan.Bundle) {
	t.Helper()
	files, err := w.DB.BundleFiles(t.Context(), b.ID)
	w.must(err)
	blobs := map[capstan.Digest]int64{b.Archive: b.ArchiveBytes}
	for _, f := range files {
		blobs[f.Blob] = f.BlobBytes
	}
	for d := range maps.Keys(blobs) {
		body, err := w.Blobs.Open(t.Context(), d, 0, -1)
		if err != nil {
			t.Errorf("bundle %s is served without blob %s: %v", b.Version, d, err)
			continue
		}
		got, err := io.ReadAll(body)
		body.Close()
		if err != nil || capstan.DigestOf(got) != d {
			t.Errorf("blob %s is damaged: %v", d, err)
		}
	}
}
