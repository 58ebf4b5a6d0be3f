package sim

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var deltaProfiles = []string{"android@8.51.23", "ios@8.51.23", "android@7.51.21", "ios@7.51.21", "android@6.51.16", "ios@6.51.16", "android@5.50.1", "ios@5.50.1"}

func TestDeltaFetchesOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	for _, profile := range deltaProfiles {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			d := newDevice(t, s, profile)
			s.offerDelta("1.5.0", map[string]string{"index.html.br": pageOne["index.html"], "app/main.js": pageOne["app/main.js"]})
			r := runUpdate(t, d)
			if r.Outcome != Updated || !r.ViaDelta || r.FilesFetched != 2 || r.FilesReused != 0 || r.ZipBytes != 0 {
				t.Fatalf("first update = %+v", r)
			}
			hasBundle(t, d, pageOne)
			s.offerDelta("1.6.0", map[string]string{"index.html": pageTwo["index.html"], "app/main.js": pageTwo["app/main.js"], "new.css.br": pageTwo["new.css"]})
			r = runUpdate(t, d)
			want := int64(len(pageTwo["index.html"]) + len(squeeze([]byte(pageTwo["new.css"]))))
			if r.Outcome != Updated || r.FilesFetched != 2 || r.FilesReused != 1 || r.BytesDownloaded != want {
				t.Errorf("second update = %+v, want %d bytes", r, want)
			}
			hasBundle(t, d, pageTwo)
		})
	}
}

func TestDeltaSequenceOfStatistics(t *testing.T) {
	t.Parallel()
	tests := []struct {
		profile        string
		batched, alone []string
	}{
		{"android@8.51.23", []string{"download_complete 1.5.0", "set_next 1.5.0"}, []string{"download_manifest_start 1.5.0", "download_manifest_complete 1.5.0"}},
		{"ios@8.51.23", []string{"download_manifest_start 1.5.0", "download_manifest_complete 1.5.0", "download_complete 1.5.0", "set_next 1.5.0"}, []string{}},
	}
	for _, tt := range tests {
		s := newServer(t)
		s.offerDelta("1.5.0", pageOne)
		d := newDevice(t, s, tt.profile)
		launch(t, d)
		flush(t, d)
		if diff := cmp.Diff(tt.batched, s.batched()[3:]); diff != "" {
			t.Errorf("%s batched (-want +got)\n%s", tt.profile, diff)
		}
		if diff := cmp.Diff(tt.alone, s.alone()); diff != "" {
			t.Errorf("%s alone (-want +got)\n%s", tt.profile, diff)
		}
	}
}

func TestFilesOfTheStoreBuildAreReused(t *testing.T) {
	t.Parallel()
	store := func(o *Options) {
		o.Builtin = map[string][]byte{"index.html": []byte(pageOne["index.html"]), "app/main.js": []byte(pageOne["app/main.js"])}
	}
	files := map[string]string{"index.html.br": pageOne["index.html"], "app/main.js": pageOne["app/main.js"]}
	for profile, fetched := range map[string]int{
		"android@8.51.23": 0, "ios@8.51.23": 0, "android@6.51.16": 0,
		"android@8.51.9": 2, "android@5.50.1": 2, // never
		"ios@8.51.15": 1, "ios@5.50.1": 1, // not those sent as brotli
	} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.offerDelta("1.5.0", files)
			r := runUpdate(t, newDevice(t, s, profile, store))
			if r.Outcome != Updated || r.FilesFetched != fetched || r.FilesReused != 2-fetched || !r.ViaDelta {
				t.Errorf("update = %+v, want %d files fetched", r, fetched)
			}
		})
	}
}

func TestZipFillsTheCache(t *testing.T) {
	t.Parallel()
	for profile, fetched := range map[string]int{"android@8.51.23": 2, "ios@8.51.23": 2, "android@8.42.3": 3} {
		s := newServer(t)
		d := newDevice(t, s, profile)
		s.offerZip("1.5.0", webZip(t, pageOne))
		runUpdate(t, d)
		// main.js moved to another folder: hash and base name are the same.
		s.offerDelta("1.6.0", map[string]string{"index.html": "<h1>two</h1>", "moved/main.js": pageOne["app/main.js"], "copy.js": pageOne["app/main.js"]})
		if r := runUpdate(t, d); r.Outcome != Updated || r.FilesFetched != fetched {
			t.Errorf("%s: %+v, want %d files fetched", profile, r, fetched)
		}
	}
}

func TestFailedFileFailsTheBundle(t *testing.T) {
	t.Parallel()
	const bad = "b/bad.js"
	one := func(s *testServer, entry map[string]string) {
		list := append(s.manifest("1.5.0", map[string]string{"index.html": "<h1>"}), entry)
		s.offer(map[string]any{"version": "1.5.0", "url": "https://404.capgo.app/no.zip", "manifest": list})
	}
	tests := []struct {
		name    string
		serve   http.HandlerFunc
		file    string
		hash    string
		android []string
		ios     []string
	}{
		{"404", http.NotFound, bad, "aa", []string{"download_manifest_file_fail 1.5.0:bad.js", "download_manifest_file_fail 1.5.0:b/bad.js"}, []string{"download_manifest_file_fail 1.5.0:b/bad.js"}},
		{"hash", wholeStep([]byte("x")), bad, "aa", []string{"download_manifest_checksum_fail 1.5.0:b/bad.js"}, []string{"download_manifest_checksum_fail 1.5.0:b/bad.js"}},
		{"brotli", wholeStep([]byte("\xff\xff\xff")), "b/bad.js.br", "aa", []string{"download_manifest_brotli_fail 1.5.0:b/bad.js.br"}, []string{"download_manifest_brotli_fail 1.5.0:b/bad.js.br"}},
		{"content coding", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			w.Write(squeeze([]byte("content that is long enough to be squeezed, squeezed, squeezed")))
		}, "c.js.br", string(capstan.DigestOf([]byte("content that is long enough to be squeezed, squeezed, squeezed"))),
			nil, []string{"download_manifest_brotli_fail 1.5.0:c.js.br"}},
		{"no hash", wholeStep(nil), bad, "", []string{}, []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for profile, want := range map[string][]string{"android@8.51.23": tt.android, "ios@8.51.23": tt.ios} {
				s := newServer(t)
				s.handle("/bad", tt.serve)
				one(s, map[string]string{"file_name": tt.file, "file_hash": tt.hash, "download_url": s.URL + "/bad"})
				d := newDevice(t, s, profile)
				outcome := launch(t, d).Outcome
				flush(t, d)
				if want == nil {
					if outcome != Staged {
						t.Errorf("%s: outcome = %s, want staged", profile, outcome)
					}
					continue
				}
				got := []string{}
				for _, e := range append(s.alone(), s.batched()...) {
					if len(e) > 21 && e[:18] == "download_manifest_" && e[18:23] != "start" {
						got = append(got, e)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" || outcome != Failed {
					t.Errorf("%s: %s, statistics (-want +got)\n%s", profile, outcome, diff)
				}
				last := "download_fail (none)"
				if d.profile.Platform == capstan.IOS {
					last = "download_fail 1.4.0"
				}
				if b := s.batched(); b[len(b)-1] != last {
					t.Errorf("%s: last statistic %s, want %s", profile, b[len(b)-1], last)
				}
			}
		})
	}
}

// TestEntriesAreCheckedFirst: from 8.51.22 on one bad entry fails the bundle
// without any GET, before it only fails itself (§7.1).
func TestEntriesAreCheckedFirst(t *testing.T) {
	t.Parallel()
	list := func(s *testServer, names ...string) []map[string]string {
		var list []map[string]string
		s.serveBytes("/f", []byte("x"))
		for _, name := range names {
			list = append(list, map[string]string{"file_name": name, "file_hash": string(capstan.DigestOf([]byte("x"))), "download_url": s.URL + "/f"})
		}
		return list
	}
	tests := []struct {
		name    string
		names   []string
		profile string
		want    Outcome
		gets    int
	}{
		{"parent", []string{"index.html", "../x"}, "android@8.51.23", Failed, 0},
		{"parent, before", []string{"index.html", "../x"}, "android@8.51.21", Failed, 1},
		{"parent inside", []string{"a/../index.html"}, "ios@8.51.22", Failed, 0},
		{"parent inside, before", []string{"a/../index.html"}, "ios@8.51.21", Staged, 1},
		{"parent inside, before, on Android", []string{"a/../index.html"}, "android@7.51.21", Staged, 1},
		{"backslash", []string{"index.html", `a\b`}, "ios@8.51.23", Failed, 0},
		{"folder itself", []string{"index.html", "./"}, "android@8.51.22", Failed, 0},
		{"two with one target", []string{"index.html", "a.js", "a.js.br"}, "android@8.51.23", Failed, 0},
		{"two with one target on older iOS", []string{"index.html", "a.js", "./a.js"}, "ios@8.51.21", Staged, 3},
		{"two with one target on newer iOS", []string{"index.html", "a.js", "./a.js"}, "ios@8.51.22", Failed, 0},
		{"two with one target on older Android", []string{"index.html", "a.js", "./a.js"}, "android@8.51.21", Failed, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.offer(map[string]any{"version": "1.5.0", "url": "https://404.capgo.app/no.zip", "manifest": list(s, tt.names...)})
			d := newDevice(t, s, tt.profile)
			if r := launch(t, d); r.Outcome != tt.want {
				t.Errorf("outcome = %s (%s), want %s", r.Outcome, r.Detail, tt.want)
			}
			// iOS may have started the second file beside the first.
			if got := len(s.gets()); got > tt.gets || tt.gets > 0 && got == 0 {
				t.Errorf("%d GETs, want %d", got, tt.gets)
			}
			flush(t, d)
			if tt.want == Failed {
				all := append(s.alone(), s.batched()...)
				if !containsPrefix(all, "manifest_path_fail 1.5.0:") {
					t.Errorf("statistics = %v, want manifest_path_fail", all)
				}
			}
		})
	}
}

func TestEmptyManifestFails(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"android@8.51.23", "ios@8.51.23"} {
		s := newServer(t)
		s.offer(map[string]any{"version": "1.5.0", "url": "https://404.capgo.app/no.zip", "manifest": []string{}})
		if r := launch(t, newDevice(t, s, profile)); r.Outcome != Failed {
			t.Errorf("%s: %s", profile, r.Outcome)
		}
	}
}

func TestManifestNeedsNoZipAndNeverFallsBackToIt(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	data := webZip(t, pageOne)
	s.serveBytes("/zip", data)
	s.offer(map[string]any{
		"version": "1.5.0", "url": s.URL + "/zip", "checksum": string(capstan.DigestOf(data)),
		"manifest": []map[string]string{{"file_name": "index.html", "file_hash": "aa", "download_url": s.URL + "/gone"}},
	})
	d := newDevice(t, s, "android@8.51.23")
	if r := launch(t, d); r.Outcome != Failed || contains(s.gets(), "GET /zip") {
		t.Errorf("outcome %s, requests %v", r.Outcome, s.gets())
	}
}

func TestPluginBeforeManifestsTakesTheZip(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.serveBytes("/zip", webZip(t, pageOne))
	s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/zip", "manifest": []string{}})
	if r := runUpdate(t, newDevice(t, s, "android@10.0.0")); r.Outcome != Updated || r.ViaDelta {
		t.Errorf("update = %+v", r)
	}
}

func TestPluginBeforeTheSuffixRuleTakesEverythingForBrotli(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string]Outcome{"android@6.14.27": Failed, "android@6.14.28": Staged, "ios@7.0.37": Failed, "ios@7.0.38": Staged} {
		s := newServer(t)
		s.offerDelta("1.5.0", pageOne)
		if r := launch(t, newDevice(t, s, profile)); r.Outcome != want {
			t.Errorf("%s: %s (%s), want %s", profile, r.Outcome, r.Detail, want)
		}
	}
}

func TestCaseOfHashes(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string]Outcome{"android@8.51.23": Staged, "ios@8.51.23": Failed} {
		s := newServer(t)
		list := s.manifest("1.5.0", map[string]string{"index.html": "<h1>"})
		list[0]["file_hash"] = toUpper(list[0]["file_hash"])
		s.offer(map[string]any{"version": "1.5.0", "url": "https://404.capgo.app/no.zip", "manifest": list})
		if r := launch(t, newDevice(t, s, profile)); r.Outcome != want {
			t.Errorf("%s: %s, want %s", profile, r.Outcome, want)
		}
	}
}

func TestPartialFileIsContinued(t *testing.T) {
	t.Parallel()
	content := []byte("0123456789 the content of one file of a manifest")
	tests := []struct {
		name, profile string
		second        func(http.ResponseWriter, *http.Request)
		wantRange     string
		want          Outcome
		pause         time.Duration
	}{
		{"206", "android@8.51.23", rangeStep(content), "bytes=10-", Staged, 0},
		{"206 on iOS", "ios@8.51.23", rangeStep(content), "bytes=10-", Staged, 0},
		{"200 starts anew", "android@7.51.21", wholeStep(content), "bytes=10-", Staged, 0},
		{"416 takes the partial as complete", "android@8.51.23", statusStep(416), "bytes=10-", Failed, 0},
		{"after an hour it is gone", "ios@8.51.23", rangeStep(content), "", Staged, 61 * time.Minute},
		{"older plugins have none", "android@5.50.1", rangeStep(content), "", Staged, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			file := &script{steps: []func(http.ResponseWriter, *http.Request){cut(content, 10), tt.second}}
			s.handle("/f", file.ServeHTTP)
			s.offer(map[string]any{"version": "1.5.0", "url": "https://404.capgo.app/no.zip", "manifest": []map[string]string{
				{"file_name": "index.html", "file_hash": string(capstan.DigestOf(content)), "download_url": s.URL + "/f"},
			}})
			d := newDevice(t, s, tt.profile)
			if r := launch(t, d); r.Outcome != Failed {
				t.Fatalf("the broken download is %s", r.Outcome)
			}
			if _, err := d.Wait(t.Context(), tt.pause); err != nil {
				t.Fatal(err)
			}
			r, err := d.Check(t.Context())
			if err != nil || r.Outcome != tt.want || file.ranges[1] != tt.wantRange {
				t.Errorf("second attempt: %s (%s), Range %q; want %s and %q", r.Outcome, r.Detail, file.ranges[1], tt.want, tt.wantRange)
			}
		})
	}
}

func TestEmptyFiles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, profile, file string
		body                []byte
		want                Outcome
	}{
		{"plain on Android", "android@8.51.23", "empty.txt", nil, Staged},
		{"plain on iOS", "ios@8.51.13", "empty.txt", nil, Staged},
		{"plain on older iOS", "ios@8.51.12", "empty.txt", nil, Failed},
		{"plain on iOS 5", "ios@5.50.1", "empty.txt", nil, Failed},
		{"three bytes on iOS 5", "ios@5.50.1", "empty.txt.br", []byte{0x1b, 0, 6}, Staged},
		{"three bytes on Android", "android@8.51.23", "empty.txt.br", []byte{0x1b, 0, 6}, Staged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.serveBytes("/empty", tt.body)
			list := append(s.manifest("1.5.0", map[string]string{"index.html": "<h1>"}), map[string]string{
				"file_name": tt.file, "file_hash": string(capstan.EmptyDigest), "download_url": s.URL + "/empty",
			})
			s.offer(map[string]any{"version": "1.5.0", "url": "https://404.capgo.app/no.zip", "manifest": list})
			if r := launch(t, newDevice(t, s, tt.profile)); r.Outcome != tt.want {
				t.Errorf("%s (%s), want %s", r.Outcome, r.Detail, tt.want)
			}
		})
	}
}

func TestBrotliSpecialCases(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   []byte
		want string
		ok   bool
	}{
		{"nothing", nil, "", true},
		{"three bytes", []byte{0x1b, 0, 6}, "", true},
		{"literal", []byte("\x1b\x00\x06abc\x03"), "abc", true},
		{"one uncompressed byte", []byte("\x0b\x02\x80a\x03"), "a", true},
		{"stream", squeeze([]byte("hello hello hello")), "hello hello hello", true},
		{"garbage", []byte{0xff, 0xff, 0xff, 0xff}, "", false},
		{"cut", squeeze([]byte("hello hello hello"))[:6], "", false},
	}
	for _, tt := range tests {
		got, err := unbrotli(tt.in, 1<<20)
		if (err == nil) != tt.ok || tt.ok && string(got) != tt.want {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
}

func TestSpecialCasesDamageNoStream(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Byte()).Draw(t, "content")
		got, err := unbrotli(squeeze(want), 1<<20)
		if err != nil || string(got) != string(want) {
			t.Fatalf("%q became %q, %v", want, got, err)
		}
	})
}

func TestParallelDownloadsAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var now, most atomic.Int64
	arrived := make(chan struct{}, 100)
	release := make(chan struct{})
	s.handle("/f", func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		arrived <- struct{}{}
		<-release
		now.Add(-1)
		w.Write([]byte("x"))
	})
	list := s.manifest("1.5.0", map[string]string{"index.html": "<h1>"})
	for i := range 30 {
		list = append(list, map[string]string{"file_name": fmt.Sprintf("f%d", i), "file_hash": string(capstan.DigestOf([]byte("x"))), "download_url": s.URL + "/f"})
	}
	s.offer(map[string]any{"version": "1.5.0", "url": "https://404.capgo.app/no.zip", "manifest": list})
	d := newDevice(t, s, "android@8.51.23")
	go func() {
		for range 7 { // one of eight may still be at index.html
			<-arrived
		}
		close(release)
	}()
	if r := launch(t, d); r.Outcome != Staged {
		t.Errorf("outcome = %s (%s)", r.Outcome, r.Detail)
	}
	if got := most.Load(); got < 7 || got > 8 {
		t.Errorf("%d downloads at once, want 8", got)
	}
	for cores, want := range map[int]int{1: 8, 4: 8, 8: 16, 100: 64} {
		d.profile.Cores = cores
		if got := d.workers(); got != want {
			t.Errorf("%d cores: %d workers, want %d", cores, got, want)
		}
	}
}

func TestElectronAddsManifestFilesToItsZip(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	data := webZip(t, pageOne)
	s.serveBytes("/zip", data)
	list := s.manifest("1.5.0", map[string]string{"index.html": pageOne["index.html"], "more.js.br": "more"})
	s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/zip", "checksum": string(capstan.DigestOf(data)), "manifest": list})
	d := newDevice(t, s, "electron")
	if r := runUpdate(t, d); r.Outcome != Updated || r.FilesFetched != 1 || r.ViaDelta {
		t.Errorf("update = %+v", r)
	}
	hasBundle(t, d, map[string]string{"index.html": pageOne["index.html"], "app/main.js": pageOne["app/main.js"], "more.js.br": "more"})
}

func TestManifestSizeAsksForWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.offerDelta("1.5.0", pageOne)
	var asked []map[string]any
	s.channel = func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, decodeBody(t, r))
		w.Write([]byte(`{"totalSize":5,"knownFiles":1,"unknownFiles":0,"files":[]}`))
	}
	d := newDevice(t, s, "android@8.51.23", func(o *Options) {
		o.Builtin = map[string][]byte{"index.html": []byte(pageOne["index.html"])}
		o.URLs.Updates += "?tenant=x"
		o.Mode = OnlyDownload
	})
	s.handle("/file/1.5.0/"+fmt.Sprintf("%x", "app/main.js"), http.NotFound)
	launch(t, d)
	got, err := d.ManifestSize(t.Context())
	if err != nil || got != `{"totalSize":5,"knownFiles":1,"unknownFiles":0,"files":[]}` {
		t.Errorf("answer = %s, %v", got, err)
	}
	if len(asked) != 1 || len(asked[0]["manifest"].([]any)) != 1 || asked[0]["version"] != "1.5.0" {
		t.Errorf("asked %v, want one missing file of 1.5.0", asked)
	}
}

func TestIOSStopsAfterTheFirstFailedFile(t *testing.T) {
	t.Parallel()
	for profile, most := range map[string]int{"ios@8.51.23": 8, "android@8.51.23": 40} {
		s := newServer(t)
		var list []map[string]string
		for i := range 40 {
			list = append(list, map[string]string{"file_name": fmt.Sprintf("f%d", i), "file_hash": "aa", "download_url": s.URL + "/gone"})
		}
		s.offer(map[string]any{"version": "1.5.0", "url": "https://404.capgo.app/no.zip", "manifest": list})
		launch(t, newDevice(t, s, profile))
		if got := len(s.gets()); got > most || profile[0] == 'a' && got != most {
			t.Errorf("%s: %d GETs, want at most %d", profile, got, most)
		}
	}
}

// TestStalePartialIsForgotten: bytes of another file in front of the right ones
// cost one check (§7.2).
func TestStalePartialIsForgotten(t *testing.T) {
	t.Parallel()
	before, after := []byte("the old bytes under this name"), []byte("and the new ones, which are longer")
	s := newServer(t)
	file := &script{steps: []func(http.ResponseWriter, *http.Request){cut(before, 10), rangeStep(after), rangeStep(after)}}
	s.handle("/f", file.ServeHTTP)
	s.offer(map[string]any{"version": "1.5.0", "url": "https://404.capgo.app/no.zip", "manifest": []map[string]string{
		{"file_name": "index.html", "file_hash": string(capstan.DigestOf(after)), "download_url": s.URL + "/f"},
	}})
	d := newDevice(t, s, "android@8.51.23")
	launch(t, d)
	for _, want := range []Outcome{Failed, Staged} {
		if r, err := d.Check(t.Context()); err != nil || r.Outcome != want {
			t.Errorf("outcome = %s (%s), want %s", r.Outcome, r.Detail, want)
		}
	}
	if diff := cmp.Diff([]string{"", "bytes=10-", ""}, file.ranges); diff != "" {
		t.Errorf("ranges (-want +got)\n%s", diff)
	}
}
