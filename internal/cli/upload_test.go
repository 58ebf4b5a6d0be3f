package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/pack"
)

type failed struct {
	Error failure `json:"error"`
}

func TestUploadPublishesAndTellsHowToUndo(t *testing.T) {
	t.Parallel()
	_, d := ready(t)
	first := d.ok("bundle", "upload", "-c", "production")
	for _, want := range []string{"1.0.0 is release 1 on production", "ios, android, electron", "first release", "put in the background", "Undo: capstan rollback production --to-builtin"} {
		if !strings.Contains(first, want) {
			t.Errorf("the first upload does not say %q:\n%s", want, first)
		}
	}
	d.write("dist/main.js", "CapacitorUpdater.notifyAppReady(); more()")
	second := decode[uploaded](t, d.ok("bundle", "u", "-b", "1.0.1", "-c", "production", "--json"))
	if len(second.Releases) != 1 {
		t.Fatalf("releases %v", second.Releases)
	}
	r := second.Releases[0]
	if r.Number != 2 || r.Previous != "1.0.0" || r.DeltaFiles != 1 || r.DeltaBytes != int64(len("CapacitorUpdater.notifyAppReady(); more()")) {
		t.Errorf("release %+v", r)
	}
	if diff := cmp.Diff(sent{Contents: 1, Bytes: r.DeltaBytes, ArchiveBytes: second.Bundle.ArchiveBytes}, second.Sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"capstan rollback production"}, second.Undo); diff != "" {
		t.Errorf("undo (-want +got):\n%s", diff)
	}
	if out := d.ok("rollback", "production"); !strings.Contains(out, "1.0.0 is back on production, as release 3") {
		t.Errorf("undo says:\n%s", out)
	}
}

func TestWrongVersionIsRefusedBeforeAnythingIsAsked(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{"http://127.0.0.1:1", "none"})
	d.fails(2, []string{`version "1.0" is not a semantic version`, "code invalid, at version", "try: use three numbers"}, "bundle", "upload", "-b", "1.0")
	d.write("package.json", `{"version":"01.2.3"}`)
	d.fails(2, []string{`"01.2.3"`, "package.json"}, "bundle", "upload")
	d.write("package.json", `{}`)
	d.fails(2, []string{"no version was given", "-b 1.4.2"}, "bundle", "upload")
}

func TestSameVersionIsSkippedOrRefusedByContent(t *testing.T) {
	t.Parallel()
	_, d := ready(t)
	d.ok("bundle", "upload")
	for _, args := range [][]string{{"bundle", "upload"}, {"bundle", "upload", "--version-exists-ok"}} {
		if out := d.ok(args...); !strings.Contains(out, "same content, skipped") {
			t.Errorf("%v says:\n%s", args, out)
		}
	}
	if u := decode[uploaded](t, d.ok("bundle", "upload", "--json")); !u.Skipped || u.Sent != (sent{}) || len(u.Releases) != 1 || u.Releases[0].Number != 1 {
		t.Errorf("a repeated upload: %+v", u)
	}
	d.write("dist/main.js", "notifyAppReady() // other")
	d.write("dist/new.txt", "x")
	d.fails(5, []string{"different content: NOT shipped", "changed main.js", "added new.txt", "try: capstan bundle upload --auto-bump"}, "bundle", "upload", "--version-exists-ok")
	f := decode[failed](t, d.fails(5, nil, "bundle", "upload", "--json").out).Error
	if f.Code != capstan.CodeVersionExists || f.Exit != 5 || len(f.Details) != 2 {
		t.Errorf("as JSON: %+v", f)
	}
	if diff := cmp.Diff([]string{"1.0.0"}, d.bundles()); diff != "" {
		t.Errorf("bundles (-want +got):\n%s", diff)
	}
}

func TestFolderIsRefusedWithPathAndReason(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		make  func(d *developer)
		args  []string
		exit  int
		words []string
	}{
		{"missing", func(*developer) {}, []string{"-p", "build"}, 2, []string{"build does not exist", "code folder"}},
		{"a file", func(*developer) {}, []string{"-p", "package.json"}, 2, []string{"is not a folder"}},
		{"no index.html", func(d *developer) { os.Remove(filepath.Join(d.Dir, "dist/index.html")) }, nil, 6, []string{"code no_index"}},
		{"no notifyAppReady", func(d *developer) { d.write("dist/main.js", "start()") }, nil, 6, []string{"code no_notify_app_ready", "--no-code-check"}},
		{"a huge file", func(d *developer) {
			d.write("dist/movie.mp4", "")
			if err := os.Truncate(filepath.Join(d.Dir, "dist/movie.mp4"), 101<<20); err != nil {
				d.t.Fatal(err)
			}
		}, nil, 6, []string{"movie.mp4", "code too_large"}},
		{"a link that leaves", func(d *developer) {
			if err := os.Symlink("/etc/hostname", filepath.Join(d.Dir, "dist/host.txt")); err != nil {
				d.t.Fatal(err)
			}
		}, nil, 6, []string{"host.txt", "code path_refused"}},
		{"a Windows device name", func(d *developer) { d.write("dist/aux.js", "") }, nil, 6, []string{"aux.js", "code path_refused"}},
		{"native code", func(d *developer) { d.write("dist/logo.png", "\x7fELF\x02\x01\x01\x00"+strings.Repeat("\x00", 60)) }, nil, 6,
			[]string{"logo.png", "code native_code", "not store approval"}},
		{"a Flutter project", func(d *developer) { d.write("app/pubspec.yaml", "dependencies:\n  flutter:\n    sdk: flutter\n") }, []string{"-p", "app"}, 6,
			[]string{"is a Flutter project", "code native_code", "flutter build web"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDeveloper(t, site{})
			tt.make(d)
			d.fails(tt.exit, tt.words, append([]string{"bundle", "check"}, tt.args...)...)
			f := decode[failed](t, d.run(append([]string{"bundle", "check", "--json"}, tt.args...)...).out).Error
			if f.Exit != tt.exit || f.Message == "" || f.Code == "" {
				t.Errorf("as JSON: %+v", f)
			}
		})
	}
}

func TestFlutterProjectWithoutConfigIsNamed(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	os.Remove(filepath.Join(d.Dir, "capacitor.config.json"))
	d.write("pubspec.yaml", "dependencies:\n  flutter:\n    sdk: flutter\n")
	d.fails(6, []string{"is a Flutter project", "compiled to machine code"}, "bundle", "check")
}

func TestFileThatChangesWhilePackingIsRefused(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	d.through(s.proxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/contents/missing") {
			d.write("dist/main.js", "CapacitorUpdater.notifyAppReady(1)")
		}
		return false
	}))
	d.fails(6, []string{"main.js changed while it was being packed", "code file_changed", "stop the build"}, "bundle", "upload")
	if got := d.bundles(); len(got) != 0 {
		t.Errorf("bundles %v are visible after a refused upload", got)
	}
}

func TestWrongTokenIsNamedAndMistypedOneIsNotSent(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	var seen requests
	p := s.proxy(t, func(_ http.ResponseWriter, r *http.Request) bool { seen.add(r); return false })
	other := decode[map[string]string](t, d.ok("token", "generate", "--json"))["token"]
	d.through(site{p.url, other})
	d.fails(3, []string{"does not know the token", "code unauthorized", "request ", "capstan login"}, "bundle", "upload")
	if seen.count("") == 0 {
		t.Fatal("the unknown token was never tried")
	}
	before := seen.count("")
	d.through(site{p.url, other[:len(other)-1] + "!"})
	r := d.fails(3, []string{"incomplete or mistyped"}, "bundle", "upload")
	if seen.count("") != before || strings.Contains(r.err, other[20:60]) {
		t.Errorf("a mistyped token was sent or shown:\n%s", r.err)
	}
}

func TestUnknownAppAndChannelAreNamedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	var seen requests
	d.through(s.proxy(t, func(_ http.ResponseWriter, r *http.Request) bool { seen.add(r); return false }))
	d.fails(4, []string{"com.example.other", "code app_not_found", "try: capstan app add com.example.other"}, "bundle", "upload", "com.example.other", "-c", "production")
	d.fails(4, []string{"staging", "code channel_not_found"}, "bundle", "upload", "-c", "staging")
	if n := seen.count("PUT"); n != 0 {
		t.Errorf("%d contents were sent", n)
	}
}

func TestStaleChannelSaysWhatItServesNow(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	d.ok("bundle", "upload", "-b", "0.9.0")
	c := s.client(t)
	var once sync.Once
	d.write("dist/main.js", "notifyAppReady() // 1.0.0")
	d.through(s.proxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			once.Do(func() { rollForward(t, c) })
		}
		return false
	}))
	f := decode[failed](t, d.fails(5, []string{"channel production was moved meanwhile", "serves built-in (2)", "code stale", "try: capstan channel set production -b 1.0.0"},
		"bundle", "upload", "--json").out).Error
	now, err := c.Channel(t.Context(), testApp, "production")
	if err != nil {
		t.Fatal(err)
	}
	if f.Number != now.Number || f.Number == 0 || len(now.Live) == 0 || !now.Live[0].Builtin {
		t.Errorf("error has number %d, channel is %+v", f.Number, now)
	}
	d.ok("channel", "set", "production", "-b", "1.0.0")
}

// rollForward is somebody else who is faster.
func rollForward(t *testing.T, c *client.Client) {
	t.Helper()
	ch, err := c.Channel(context.Background(), testApp, "production")
	if err == nil {
		_, err = c.Release(context.Background(), testApp, "production", ch.Number, client.NewRelease{Builtin: true})
	}
	if err != nil {
		t.Error(err)
	}
}

func TestUploadGoesOnWhenOnlyTheRulesChanged(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	c := s.client(t)
	var once sync.Once
	d.through(s.proxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			once.Do(func() {
				ch, err := c.Channel(context.Background(), testApp, "production")
				off := false
				if err == nil {
					_, err = c.EditChannel(context.Background(), testApp, "production", ch.Number, client.ChannelEdit{Emulator: &off})
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		return false
	}))
	r := d.run("bundle", "upload")
	if r.code != 0 || !strings.Contains(r.err, "rules of production were changed meanwhile") {
		t.Errorf("exit %d\n%s%s", r.code, r.out, r.err)
	}
}

func TestDamagedUploadLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/contents/", "/archives/"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s, d := ready(t)
			d.through(s.proxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut && strings.Contains(r.URL.Path, path) {
					b, _ := io.ReadAll(r.Body)
					b[0] ^= 1
					r.Body = io.NopCloser(bytes.NewReader(b))
				}
				return false
			}))
			d.fails(6, []string{"code digest_mismatch", "request "}, "bundle", "upload")
			if got := d.bundles(); len(got) != 0 {
				t.Errorf("bundles %v are visible", got)
			}
		})
	}
}

func TestFullDiskIsSaidWithItsOwnExitCode(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	d.through(s.proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusInsufficientStorage)
		io.WriteString(w, `{"status":507,"title":"Insufficient Storage","detail":"the server's disk is full; nothing was changed","code":"storage_full","request":"r-1","hints":["free space on the server, then run the command again"]}`)
		return true
	}))
	d.fails(7, []string{"disk is full", "code storage_full, request r-1", "try: free space"}, "bundle", "upload")
	if got := d.bundles(); len(got) != 0 {
		t.Errorf("bundles %v are visible", got)
	}
}

func TestInterruptedUploadIsInvisibleAndGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	for i := range 20 {
		d.write("dist/page"+string(rune('a'+i))+".html", strings.Repeat("x", i+1))
	}
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	var stored sync.WaitGroup
	stored.Add(10)
	d.through(s.proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/contents/") {
			return false
		}
		if asked.Add(1) > 10 {
			stored.Wait()
			panic(http.ErrAbortHandler) // the connection breaks
		}
		defer stored.Done()
		httputil.NewSingleHostReverseProxy(target).ServeHTTP(w, r)
		return true
	}))
	d.fails(7, []string{"code unreachable"}, "bundle", "upload")
	if got := d.bundles(); len(got) != 0 {
		t.Fatalf("bundles %v are visible", got)
	}
	missing := d.missing(s)
	if missing != 13 { // of 23
		t.Errorf("%d contents are missing after 10 were sent", missing)
	}
	var seen requests
	d.through(s.proxy(t, func(_ http.ResponseWriter, r *http.Request) bool { seen.add(r); return false }))
	u := decode[uploaded](t, d.ok("bundle", "upload", "--json"))
	if got := seen.count("PUT /v1/apps/" + testApp + "/contents/"); got != missing || u.Sent.Contents != missing {
		t.Errorf("the second run sent %d contents and reports %d, want the %d that were missing", got, u.Sent.Contents, missing)
	}
}

// missing asks the server how many contents of the web build it lacks.
func (d *developer) missing(s site) int {
	d.t.Helper()
	src, err := pack.Folder(d.t.Context(), filepath.Join(d.Dir, "dist"), pack.Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	defer src.Close()
	var wants []client.Content
	for _, c := range src.Contents() {
		wants = append(wants, client.Content{Digest: c.Digest, Size: c.Size, Encoding: c.Need()})
	}
	lacking, err := s.client(d.t).MissingContents(d.t.Context(), testApp, wants)
	if err != nil {
		d.t.Fatal(err)
	}
	return len(lacking)
}

func TestSignalStopsAnUploadWithItsOwnExitCode(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	d.through(s.proxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			stop()
		}
		return false
	}))
	r := d.runCtx(ctx, "bundle", "upload", "--json")
	if f := decode[failed](t, r.out).Error; r.code != 130 || f.Code != capstan.CodeInterrupted {
		t.Errorf("exit %d, error %+v", r.code, f)
	}
	if got := d.bundles(); len(got) != 0 {
		t.Errorf("bundles %v are visible", got)
	}
}

func TestUploadOutlivesAServerThatFailsForAMoment(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	var tried sync.Map
	d.through(s.proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
		if _, again := tried.LoadOrStore(r.URL.Path, true); r.Method == http.MethodPut && !again {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}))
	d.ok("bundle", "upload")
}

func TestReleaseWhoseAnswerIsLostIsNotMadeTwice(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	var once sync.Once
	d.through(s.proxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/releases") {
			once.Do(func() {
				again, err := http.NewRequest(r.Method, s.url+r.URL.Path, r.Body)
				if err == nil {
					again.Header = r.Header
					_, err = http.DefaultClient.Do(again)
				}
				if err != nil {
					t.Error(err)
				}
				panic(http.ErrAbortHandler)
			})
		}
		return false
	}))
	if out := d.ok("bundle", "upload"); !strings.Contains(out, "as release 1") {
		t.Errorf("upload says:\n%s", out)
	}
}

func TestUploadAsksBeforeItCompresses(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	d.ok("bundle", "upload")
	d.write("dist/main.js", "notifyAppReady() // second")
	var seen requests
	d.through(s.proxy(t, func(_ http.ResponseWriter, r *http.Request) bool { seen.add(r); return false }))
	d.ok("bundle", "upload", "-b", "1.0.1")
	if n := seen.count("PUT /v1/apps/" + testApp + "/contents/"); n != 1 {
		t.Errorf("%d contents were sent for one changed file", n)
	}
	// The same files under another name need no byte at all.
	d.ok("bundle", "upload", "-b", "1.0.2")
	if n := seen.count("PUT"); n != 2 {
		t.Errorf("%d PUTs in all, want one content and one zip", n)
	}
}

func TestDryRunSendsNothing(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	var seen requests
	d.through(s.proxy(t, func(_ http.ResponseWriter, r *http.Request) bool { seen.add(r); return false }))
	u := decode[uploaded](t, d.ok("bundle", "upload", "--dry-run", "--json"))
	if !u.DryRun || u.Sent.Contents != 3 || u.Sent.ArchiveBytes == 0 || u.Bundle != nil || len(u.Releases) != 0 {
		t.Errorf("dry run: %+v", u)
	}
	if out := d.ok("bundle", "upload", "--dry-run"); !strings.Contains(out, "Would upload 1.0.0: 3 files") || !strings.Contains(out, "Nothing was sent.") {
		t.Errorf("dry run says:\n%s", out)
	}
	if seen.count("PUT") != 0 || len(d.bundles()) != 0 {
		t.Errorf("a dry run wrote something: %v", seen.seen)
	}
}

func TestWithoutChannelAPipeFailsAndATerminalAsks(t *testing.T) {
	t.Parallel()
	_, d := ready(t)
	if r := d.run("bundle", "upload"); r.code != 0 || !strings.Contains(r.err, "production is the only one") {
		t.Errorf("with one channel: exit %d\n%s", r.code, r.err)
	}
	d.ok("channel", "create", "beta")
	d.fails(2, []string{"no channel was named", "has 2: beta, production", "production  default of ios, android, electron; serves 1.0.0 (1)", "code ambiguous", "-c beta"}, "bundle", "upload")

	d.InTTY, d.ErrTTY = true, true
	d.In = strings.NewReader("9\nbeta\n")
	r := d.run("bundle", "upload")
	if r.code != 0 || !strings.Contains(r.out, "release 2 on beta") || !strings.Contains(r.err, "give a number from 1 to 2") {
		t.Errorf("a terminal that answers beta: exit %d\n%s%s", r.code, r.out, r.err)
	}
	d.In = strings.NewReader("\n")
	if r := d.run("bundle", "upload"); r.code != 0 || !strings.Contains(r.err, "Channel [2]") || !strings.Contains(r.out, "production already") {
		t.Errorf("a terminal that takes the only default: exit %d\n%s%s", r.code, r.out, r.err)
	}
}

func TestSeveralChannelsAtOnce(t *testing.T) {
	t.Parallel()
	_, d := ready(t)
	d.ok("channel", "add", "beta")
	u := decode[uploaded](t, d.ok("bundle", "upload", testApp, "-c", "beta,production", "--json"))
	if len(u.Releases) != 2 || u.Undo[1] != "capstan rollback production "+testApp+" --to-builtin" {
		t.Errorf("releases %v, undo %v", u.Releases, u.Undo)
	}
	if diff := cmp.Diff([]string{"beta", "production"}, u.Bundle.Channels); diff != "" {
		t.Errorf("channels (-want +got):\n%s", diff)
	}
}

func TestAutoBumpTakesTheNextFreeVersion(t *testing.T) {
	t.Parallel()
	_, d := ready(t)
	d.ok("channel", "add", "beta")
	upload := func(args ...string) string {
		t.Helper()
		return decode[uploaded](t, d.ok(append([]string{"bundle", "upload", "--json"}, args...)...)).Version
	}
	if got := upload("--auto-bump", "-c", "production"); got != "1.0.0" {
		t.Errorf("the first upload is %s, want the version of package.json", got)
	}
	if got := upload("--auto-bump", "-c", "production"); got != "1.0.0" {
		t.Errorf("the same content became %s, want it skipped", got)
	}
	d.write("dist/main.js", "notifyAppReady() // a")
	if got := upload("-b", "1.1.0", "-c", "beta"); got != "1.1.0" {
		t.Fatal(got)
	}
	d.write("dist/main.js", "notifyAppReady() // b")
	if got := upload("--auto-bump", "-c", "production"); got != "1.2.0" {
		t.Errorf("above 1.0.0 with 1.1.0 taken: %s, want 1.2.0", got)
	}
	d.write("dist/main.js", "notifyAppReady() // c")
	if got := upload("--auto-bump=patch", "-c", "beta"); got != "1.1.1" {
		t.Errorf("patch above beta's 1.1.0: %s, want 1.1.1", got)
	}
	d.fails(2, []string{"not major, minor or patch"}, "bundle", "upload", "--auto-bump=huge")
	d.fails(2, []string{"either --bundle or --auto-bump"}, "bundle", "upload", "--auto-bump", "-b", "3.0.0")
}

func TestBumpCountsAsNpmDoes(t *testing.T) {
	t.Parallel()
	tests := []struct{ from, level, want string }{
		{"1.2.3", "major", "2.0.0"}, {"1.2.3", "minor", "1.3.0"}, {"1.2.3", "patch", "1.2.4"},
		{"1.2.3-beta.1", "patch", "1.2.3"}, {"1.2.3-beta.1", "minor", "1.3.0"}, {"1.3.0-beta.1", "minor", "1.3.0"},
		{"2.0.0-beta.1", "major", "2.0.0"}, {"2.1.0-beta.1", "major", "3.0.0"},
	}
	for _, tt := range tests {
		v, _ := capstan.ParseVersion(tt.from)
		want, _ := capstan.ParseVersion(tt.want)
		if got := bump(v, tt.level); got != want {
			t.Errorf("%s by %s: %+v, want %s", tt.from, tt.level, got, tt.want)
		}
	}
}

func TestMetadataPolicyDemandsANativeVersion(t *testing.T) {
	t.Parallel()
	_, d := ready(t)
	d.ok("channel", "set", "production", "--disable-auto-update", "metadata")
	d.fails(2, []string{"policy metadata", "--min-update-version"}, "bundle", "upload")
	u := decode[uploaded](t, d.ok("bundle", "upload", "--min-update-version", "1.0.0", "--link", "https://example.com/1", "--comment", "first", "--json"))
	want := map[capstan.Platform]string{"ios": "1.0.0", "android": "1.0.0", "electron": "1.0.0"}
	if diff := cmp.Diff(want, u.Bundle.NativeMin); diff != "" || u.Bundle.Link != "https://example.com/1" || u.Bundle.Comment != "first" {
		t.Errorf("bundle %+v (-want +got):\n%s", u.Bundle, diff)
	}
}

func TestUploadWarnsOfDevicesThatWouldRefuse(t *testing.T) {
	t.Parallel()
	_, d := ready(t)
	for _, native := range []string{"1.5.0", "1.0.0"} {
		d.ok("device", "simulate", "--native", native)
	}
	d.waitForDevices(2)
	r := d.run("bundle", "upload")
	for _, want := range []string{"1 of the 2 devices seen last have a native version above 1.0.0", "1 of the 2 devices seen last run their store build of the same version"} {
		if !strings.Contains(r.err, want) {
			t.Errorf("stderr lacks %q:\n%s", want, r.err)
		}
	}
}

func TestDamagedDownloadIsNotWritten(t *testing.T) {
	t.Parallel()
	s, d := ready(t)
	d.ok("bundle", "upload")
	d.ok("bundle", "download", "1.0.0", "-o", "got.zip")
	d.write("kept.zip", "what was there")
	zip, err := os.ReadFile(filepath.Join(d.Dir, "got.zip"))
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"another byte": append([]byte{zip[0] ^ 1}, zip[1:]...), "too short": zip[:len(zip)-1], "too long": append(zip[:len(zip):len(zip)], 0),
	} {
		d.through(s.proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/archive") {
				return false
			}
			w.Write(damaged)
			return true
		}))
		r := d.fails(6, []string{"arrived damaged", "code digest_mismatch"}, "bundle", "download", "1.0.0", "-o", "kept.zip")
		if b, _ := os.ReadFile(filepath.Join(d.Dir, "kept.zip")); string(b) != "what was there" {
			t.Errorf("%s: the file was overwritten\n%s", name, r.err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(d.Dir, ".kept*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestForeignZipIsRepacked(t *testing.T) {
	t.Parallel()
	_, d := ready(t)
	d.ok("bundle", "zip", "-n", "other.zip")
	a := decode[checked](t, d.ok("bundle", "check", "--json"))
	b := decode[checked](t, d.ok("bundle", "check", "-p", "other.zip", "--json"))
	if a.Root != b.Root || a.Archive != b.Archive || a.Root == "" {
		t.Errorf("folder %+v, zip %+v", a, b)
	}
}

func TestFlagsOfCapgoAreIgnoredWithANoteOrRefused(t *testing.T) {
	t.Parallel()
	_, d := ready(t)
	r := d.run("bundle", "upload", "--delta", "--tus", "--multipart", "--partial", "--supa-host", "https://x.supabase.co", "--supa-anon", "key")
	for _, name := range []string{"delta", "tus", "multipart", "partial", "supa-host", "supa-anon"} {
		if !strings.Contains(r.err, "note: --"+name+" has no meaning here and is ignored") {
			t.Errorf("no note about --%s:\n%s", name, r.err)
		}
	}
	if r.code != 0 {
		t.Errorf("exit %d", r.code)
	}
	d.fails(2, []string{"cannot be sealed"}, "bundle", "upload", "--key-v2", ".capgo_key_v2")
	d.fails(2, []string{"reaches everybody"}, "bundle", "upload", "--rollout", "10")
}

func TestPublicKeyInTheConfigIsWarnedAbout(t *testing.T) {
	t.Parallel()
	_, d := ready(t)
	d.write("capacitor.config.json", `{"appId":"`+testApp+`","webDir":"dist","plugins":{"CapacitorUpdater":{"publicKey":"-----BEGIN RSA PUBLIC KEY-----"}}}`)
	if r := d.run("bundle", "upload"); !strings.Contains(r.err, "refuse every bundle that is not sealed") {
		t.Errorf("stderr:\n%s", r.err)
	}
}
