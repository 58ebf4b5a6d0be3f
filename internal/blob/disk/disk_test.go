package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/blob"
	"github.com/capstan-ota/capstan/internal/blob/blobtest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store {
		dir := t.TempDir()
		t.Cleanup(func() { wantNoTemp(t, dir) })
		s, err := Open(dir, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func BenchmarkStore(b *testing.B) {
	blobtest.Bench(b, func(b *testing.B) blob.Store { return openWith(b, b.TempDir(), realOps()) })
}

func wantNoTemp(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, blob.TempDir))
	if err != nil || len(entries) > 0 {
		t.Errorf("temporary files left: %v, %v", entries, err)
	}
}

func openWith(t testing.TB, dir string, o ops) *Store {
	t.Helper()
	s, err := open(dir, time.Now, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// trace records the calls of the seam, in their order.
type trace struct {
	mu    sync.Mutex
	steps []string
}

func (tr *trace) add(step string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	// Several writes are one step.
	if n := len(tr.steps); n == 0 || tr.steps[n-1] != step {
		tr.steps = append(tr.steps, step)
	}
}

func (tr *trace) take() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	steps := tr.steps
	tr.steps = nil
	return steps
}

// ops returns real calls that are recorded once they are done.
func (tr *trace) ops() ops {
	real := realOps()
	return ops{
		write: func(f *os.File, p []byte) (int, error) {
			n, err := real.write(f, p)
			tr.add("write " + tempName(f.Name()))
			return n, err
		},
		sync: func(f *os.File) error {
			err := real.sync(f)
			tr.add("fsync " + tempName(f.Name()))
			return err
		},
		rename: func(root *os.Root, from, to string) error {
			err := real.rename(root, from, to)
			tr.add("rename " + tempName(from) + " " + to)
			return err
		},
		syncDir: func(f *os.File, name string) error {
			err := real.syncDir(f, name)
			tr.add("fsync " + name)
			return err
		},
	}
}

// tempName shortens the name of a temporary file to "tmp" and its number.
func tempName(name string) string { return "tmp" + filepath.Ext(name) }

func TestPutSyncsBytesThenNameThenDirectories(t *testing.T) {
	t.Parallel()
	tr := &trace{}
	s := openWith(t, t.TempDir(), tr.ops())
	tr.take()

	_, content := blobtest.Content(1, 200_000)
	d := blobtest.Put(t, s, content)
	aa, leaf := string(d[:2]), string(d[:2]+"/"+d[2:4])
	want := []string{
		"write tmp.1", "fsync tmp.1", "rename tmp.1 " + leaf + "/" + string(d),
		"fsync " + leaf, "fsync " + aa, "fsync .",
	}
	if diff := cmp.Diff(want, tr.take()); diff != "" {
		t.Errorf("first put in a directory (-want +got):\n%s", diff)
	}

	blobtest.Put(t, s, content)
	want = []string{"write tmp.2", "fsync tmp.2", "rename tmp.2 " + leaf + "/" + string(d), "fsync " + leaf}
	if diff := cmp.Diff(want, tr.take()); diff != "" {
		t.Errorf("second put in a directory (-want +got):\n%s", diff)
	}
}

// A directory that another Put has made but not synced yet is not durable,
// however long it has been there.
func TestPutDoesNotRelyOnDirectoriesThatOthersHaveYetToSync(t *testing.T) {
	t.Parallel()
	tr := &trace{}
	o := tr.ops()
	record := o.syncDir
	held, release := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	o.syncDir = func(f *os.File, name string) error {
		if len(name) == 2 && first.CompareAndSwap(false, true) { // before it syncs "aa"
			close(held)
			<-release
		}
		return record(f, name)
	}
	s := openWith(t, t.TempDir(), o)
	d, content := blobtest.Content(1, 10)

	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Put(t.Context(), d, 10, bytes.NewReader(content)); err != nil {
			t.Errorf("first put: %v", err)
		}
	})
	<-held
	tr.take()
	blobtest.Put(t, s, content)
	steps := tr.take()
	for _, want := range []string{"fsync " + string(d[:2]), "fsync ."} {
		if !slices.Contains(steps, want) {
			t.Errorf("second put returned after %q, without %q", steps, want)
		}
	}
	close(release)
	wg.Wait()
}

// A directory that somebody removed and this process makes again is not
// durable either.
func TestPutSyncsADirectoryThatIsMadeAgain(t *testing.T) {
	t.Parallel()
	tr := &trace{}
	dir := t.TempDir()
	s := openWith(t, dir, tr.ops())
	_, content := blobtest.Content(1, 10)
	d := blobtest.Put(t, s, content)
	if err := os.RemoveAll(filepath.Join(dir, string(d[:2]))); err != nil {
		t.Fatal(err)
	}
	tr.take()
	blobtest.Put(t, s, content)
	if steps := tr.take(); !slices.Contains(steps, "fsync .") {
		t.Errorf("got %q, want it to end with a sync of the root", steps)
	}
}

func TestOpenSyncsTheFoldersThatItMakes(t *testing.T) {
	t.Parallel()
	tr := &trace{}
	base := t.TempDir()
	openWith(t, filepath.Join(base, "data", "blobs"), tr.ops())
	want := []string{"fsync " + base, "fsync " + filepath.Join(base, "data")}
	if diff := cmp.Diff(want, tr.take()); diff != "" {
		t.Errorf("new folder (-want +got):\n%s", diff)
	}
	openWith(t, filepath.Join(base, "data", "blobs"), tr.ops())
	if diff := cmp.Diff(want[1:], tr.take()); diff != "" {
		t.Errorf("folder that is there (-want +got):\n%s", diff)
	}
}

func TestFailuresOfTheDisk(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		fail     func(o *ops, err error)
		err      error
		want     capstan.Code
		degraded bool
		visible  bool // the name may be there, though not promised
	}{
		{"disk full while writing", failWrite, syscall.ENOSPC, capstan.CodeStorageFull, false, false},
		{"quota used up while writing", failWrite, syscall.EDQUOT, capstan.CodeStorageFull, false, false},
		{"write error", failWrite, syscall.EIO, capstan.CodeInternal, false, false},
		{"disk full at fsync", failSync, syscall.ENOSPC, capstan.CodeStorageFull, false, false},
		{"fsync error", failSync, syscall.EIO, capstan.CodeUnavailable, true, false},
		{"disk full at rename", failRename, syscall.ENOSPC, capstan.CodeStorageFull, false, false},
		{"rename error", failRename, syscall.EIO, capstan.CodeInternal, false, false},
		{"fsync error of the directory", failSyncDir, syscall.EIO, capstan.CodeUnavailable, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := openWith(t, dir, realOps())
			d, content := blobtest.Content(1, 100_000)
			put := func() error { return s.Put(t.Context(), d, 100_000, bytes.NewReader(content)) }

			tt.fail(&s.ops, tt.err)
			err := put()
			if got := capstan.CodeOf(err); got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("put: got %q (%v), want %q because of %v", got, err, tt.want, tt.err)
			}
			if got := s.Degraded(); (got != nil) != tt.degraded || tt.degraded && !errors.Is(got, tt.err) {
				t.Errorf("degraded: got %v, want %v", got, tt.degraded)
			}
			wantNoTemp(t, dir)
			_, err = s.Stat(t.Context(), d)
			if gone := errors.Is(err, fs.ErrNotExist); gone == tt.visible {
				t.Errorf("after a failed put: stat says %v, want visible %v", err, tt.visible)
			}

			// When the disk is well again the same bytes go in, without a restart.
			s.ops = realOps()
			if err := put(); err != nil {
				t.Errorf("put after the failure: %v", err)
			}
			if got := s.Degraded(); (got != nil) != tt.degraded {
				t.Errorf("degraded after a good put: got %v, want %v still", got, tt.degraded)
			}
		})
	}
}

func failWrite(o *ops, err error) {
	o.write = func(f *os.File, p []byte) (int, error) { n, _ := f.Write(p[:len(p)/2]); return n, err }
}
func failSync(o *ops, err error)   { o.sync = func(*os.File) error { return err } }
func failRename(o *ops, err error) { o.rename = func(*os.Root, string, string) error { return err } }
func failSyncDir(o *ops, err error) {
	o.syncDir = func(*os.File, string) error { return err }
}

func TestFsyncErrorIsNeverRetriedOnTheSameFile(t *testing.T) {
	t.Parallel()
	var synced []string
	o := realOps()
	o.sync = func(f *os.File) error {
		synced = append(synced, f.Name())
		return syscall.EIO
	}
	s := openWith(t, t.TempDir(), o)
	d, content := blobtest.Content(1, 10)
	for range 3 {
		if err := s.Put(t.Context(), d, 10, bytes.NewReader(content)); err == nil {
			t.Fatal("put over a failing fsync succeeded")
		}
	}
	slices.Sort(synced)
	if len(slices.Compact(synced)) != 3 {
		t.Errorf("three puts synced the files %q, want three different ones", synced)
	}
}

func TestFailedPutKeepsTheBlobThatWasThere(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*ops, error){
		"write": failWrite, "fsync": failSync, "rename": failRename, "fsync of the directory": failSyncDir,
	} {
		s := openWith(t, t.TempDir(), realOps())
		_, content := blobtest.Content(1, 1000)
		d := blobtest.Put(t, s, content)
		fail(&s.ops, syscall.EIO)
		if err := s.Put(t.Context(), d, 1000, bytes.NewReader(content)); err == nil {
			t.Errorf("%s: put succeeded", name)
		}
		if got := blobtest.Get(t, s, d, 0, -1); !bytes.Equal(got, content) {
			t.Errorf("%s: the blob that was there is damaged", name)
		}
	}
}

func TestPutHealsADamagedFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openWith(t, dir, realOps())
	_, content := blobtest.Content(1, 1000)
	d := blobtest.Put(t, s, content)
	key, err := blob.Key(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, key), []byte("rotten"), 0o600); err != nil {
		t.Fatal(err)
	}
	blobtest.Put(t, s, content)
	if got := blobtest.Get(t, s, d, 0, -1); !bytes.Equal(got, content) {
		t.Errorf("after another put: got %.20q…", got)
	}
}

func TestReaderKeepsItsBytesWhenTheBlobIsDeletedOrPutAgain(t *testing.T) {
	t.Parallel()
	s := openWith(t, t.TempDir(), realOps())
	_, content := blobtest.Content(1, 10_000)
	d := blobtest.Put(t, s, content)
	r, err := s.Open(t.Context(), d, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	blobtest.Put(t, s, content)
	if err := s.Delete(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(r, content); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenRemovesTemporaryFilesOfAnHourAgo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	temp := filepath.Join(dir, blob.TempDir)
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for name, age := range map[string]time.Duration{
		"new": 0, "future": -time.Minute, "uploading": TempAge, "old": TempAge + time.Second, "older": 24 * time.Hour,
	} {
		path := filepath.Join(temp, name)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(dir, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	entries, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff([]string{"future", "new", "uploading"}, got); diff != "" {
		t.Errorf("left in tmp (-want +got):\n%s", diff)
	}
}

func TestPutGivesWayToATemporaryFileOfAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openWith(t, dir, realOps())
	d, content := blobtest.Content(1, 10)
	other := filepath.Join(dir, blob.TempDir, string(d)+".1")
	if err := os.WriteFile(other, []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	blobtest.Put(t, s, content)
	if got, err := os.ReadFile(other); err != nil || string(got) != "half of it" {
		t.Errorf("the other process's file: got %q, %v", got, err)
	}
}

func TestLinksCannotLeadOutOfTheFolder(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	s := openWith(t, dir, realOps())
	d, content := blobtest.Content(1, 10)
	leaf := filepath.Join(dir, string(d[:2]), string(d[2:4]))
	if err := os.MkdirAll(leaf, 0o700); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(leaf, string(d))); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Open(t.Context(), d, 0, -1); err == nil {
		r.Close()
		t.Error("open followed a link out of the folder")
	} else if errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link out of the folder is reported as not found: %v", err)
	}
	if info, err := s.Stat(t.Context(), d); err == nil {
		t.Errorf("stat followed a link out of the folder: %+v", info)
	}
	blobtest.Put(t, s, content) // replaces the link itself
	if got, err := os.ReadFile(secret); err != nil || string(got) != "secret" {
		t.Errorf("put wrote through the link: %q, %v", got, err)
	}

	// The same with a directory in the way.
	d2, content2 := blobtest.Content(2, 10)
	if err := os.Symlink(outside, filepath.Join(dir, string(d2[:2]))); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), d2, 10, bytes.NewReader(content2)); err == nil {
		t.Error("put went through a directory link out of the folder")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside the folder: %v, %v; want only the secret", entries, err)
	}
	wantNoTemp(t, dir)
}

func TestListPassesOverWhatIsNotABlob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openWith(t, dir, realOps())
	d, other := blobtest.Put(t, s, []byte("a")), blobtest.Put(t, s, []byte("b"))
	leaf := filepath.Join(dir, string(d[:2]), string(d[2:4]))
	misplaced := string(other)
	if err := os.Mkdir(filepath.Join(leaf, string(d[:4])+strings.Repeat("0", 60)), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		filepath.Join(dir, "README"), filepath.Join(dir, blob.TempDir, string(d)+".7"),
		filepath.Join(leaf, ".DS_Store"), filepath.Join(leaf, misplaced), filepath.Join(leaf, string(d)+".bak"),
	} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "FF", "zz"), 0o700); err != nil {
		t.Fatal(err)
	}
	var got []capstan.Digest
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, info.Digest)
	}
	if diff := cmp.Diff([]capstan.Digest{other, d}, got); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func TestOpenRefusesAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{path, filepath.Join(path, "blobs")} {
		if _, err := Open(dir, time.Now); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("open %s: got %v, want not a directory", dir, err)
		}
	}
}
