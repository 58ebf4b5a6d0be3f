package sim

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/google/go-cmp/cmp"
)

// goStored is what Go's zip writer makes of Store through CreateHeader: stored
// entries with a data descriptor.
func goStored(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "index.html", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "<h1>one</h1>")
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestZipLayoutAndPaths(t *testing.T) {
	t.Parallel()
	index := zipEntry{name: "index.html", content: "<h1>"}
	stored := func(entries ...zipEntry) []byte { return rawZip(t, entries...) }
	tests := []struct {
		name string
		zip  []byte
		ok   []string // profiles that take it
		bad  []string
	}{
		{"stored with descriptor", goStored(t), []string{"ios@8.51.23", "electron"}, []string{"android@8.51.23", "android@10.0.0", "android@6.51.16"}},
		{"stored without", stored(index), []string{"android@8.51.23", "ios@8.51.23", "electron"}, nil},
		{"deflated with descriptor", goDeflated(t), []string{"android@8.51.23", "ios@8.51.23", "electron", "android@5.50.1"}, nil},
		{"a/../index.html", stored(zipEntry{name: "a/../index.html", content: "x"}),
			[]string{"android@8.51.21", "ios@7.51.21"}, []string{"android@8.51.22", "ios@8.51.22", "electron"}},
		{"./ entry", stored(zipEntry{name: "./"}, index),
			[]string{"android@7.51.21", "ios@8.51.21", "electron"}, []string{"android@8.51.22", "ios@8.51.23"}},
		{"./index.html", stored(zipEntry{name: "./index.html", content: "x"}), []string{"android@8.51.23", "ios@8.51.23"}, nil},
		{"directory entries", stored(zipEntry{name: "a/"}, index), []string{"android@8.51.23", "ios@8.51.23", "electron"}, nil},
		{"backslash", stored(zipEntry{name: `a\b`, content: "x"}, index), nil, []string{"android@8.51.23", "ios@5.50.1"}},
		{"leaves the folder", stored(zipEntry{name: "../x", content: "x"}, index), nil, []string{"android@8.51.23", "ios@5.50.1", "android@10.0.0", "electron"}},
		{"absolute", stored(zipEntry{name: "/x", content: "x"}, index), nil, []string{"android@8.51.23", "ios@5.50.1", "electron"}},
		{"wrapping folder", stored(zipEntry{name: "www/index.html", content: "x"}), []string{"android@8.51.23", "ios@8.51.23"}, []string{"electron"}},
		{"wrapping folder and hidden names", stored(zipEntry{name: "www/index.html", content: "x"}, zipEntry{name: "__MACOSX/x", content: "x"}, zipEntry{name: ".DS_Store", content: "x"}),
			[]string{"android@8.51.23"}, []string{"ios@8.51.23", "electron"}},
		{"two folders", stored(zipEntry{name: "www/index.html", content: "x"}, zipEntry{name: "b/x", content: "x"}), nil, []string{"android@8.51.23", "ios@8.51.23", "electron"}},
		{"no index.html", stored(zipEntry{name: "a.html", content: "x"}), nil, []string{"android@8.51.23", "ios@8.51.23", "electron"}},
		{"file and folder of one name", stored(index, zipEntry{name: "a", content: "x"}, zipEntry{name: "a/b", content: "x"}), nil, []string{"android@8.51.23", "ios@8.51.23", "electron"}},
		{"wrong CRC", breakCRC(stored(index)), []string{"ios@8.51.23", "electron"}, []string{"android@8.51.23", "android@5.50.1"}},
		{"empty", stored(), nil, []string{"android@8.51.23", "ios@8.51.23"}},
		{"no zip", []byte("<html>"), nil, []string{"android@8.51.23", "ios@8.51.23", "electron"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			check := func(profile string, want Outcome) {
				s := newServer(t)
				s.offerZip("1.5.0", tt.zip)
				d := newDevice(t, s, profile)
				if d.can.crc && d.profile.Platform != capstan.Electron {
					s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/zip/1.5.0"})
				}
				if r := runUpdate(t, d); r.Outcome != want {
					t.Errorf("%s: %s (%s), want %s", profile, r.Outcome, r.Detail, want)
				}
			}
			for _, p := range tt.ok {
				check(p, Updated)
			}
			for _, p := range tt.bad {
				check(p, Failed)
			}
		})
	}
}

func goDeflated(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range []string{"index.html", "b.txt"} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, strings.Repeat("one ", 50))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// breakCRC changes the CRC in the first local header and in the directory.
func breakCRC(data []byte) []byte {
	data = bytes.Clone(data)
	data[14] ^= 1
	data[bytes.Index(data, []byte("PK\x01\x02"))+16] ^= 1
	return data
}

func TestStatisticsOfRefusedZips(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, profile string
		zip           []byte
		checksum      string
		want          []string
	}{
		{"checksum on Android", "android@8.51.23", webZip(t, pageOne), "00", []string{
			"checksum_fail 1.4.0", "delete 1.5.0", "download_fail 1.4.0", "finish_download_fail 1.5.0",
		}},
		{"checksum on iOS", "ios@8.51.23", webZip(t, pageOne), "00", []string{
			"download_zip_start 1.5.0", "download_zip_complete 1.5.0", "download_complete 1.5.0", "checksum_fail 1.5.0", "delete 1.5.0", "download_fail 1.4.0",
		}},
		{"backslash", "android@8.51.23", rawZip(t, zipEntry{name: `a\b`}), "", []string{
			"windows_path_fail 1.4.0", "download_fail 1.4.0", "finish_download_fail 1.5.0",
		}},
		{"path", "ios@8.51.23", rawZip(t, zipEntry{name: "../b"}), "", []string{
			"download_zip_start 1.5.0", "canonical_path_fail 1.4.0", "download_fail 1.4.0",
		}},
		{"descriptor", "android@8.51.22", goStored(t), "", []string{"unzip_fail 1.4.0", "download_fail 1.4.0", "finish_download_fail 1.5.0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.offerZip("1.5.0", tt.zip)
			if tt.checksum != "" {
				s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/zip/1.5.0", "checksum": tt.checksum})
			}
			d := newDevice(t, s, tt.profile)
			if r := launch(t, d); r.Outcome != Failed {
				t.Errorf("outcome = %s", r.Outcome)
			}
			flush(t, d)
			if diff := cmp.Diff(tt.want, s.batched()[3:]); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if n := len(d.State().Bundles); n != 0 {
				t.Errorf("%d bundles are left", n)
			}
		})
	}
}

func TestChecksumByAge(t *testing.T) {
	t.Parallel()
	data := webZip(t, pageOne)
	sha, crc := string(capstan.DigestOf(data)), fmt.Sprintf("%08x", crc32.ChecksumIEEE(data))
	tests := []struct {
		profile, checksum string
		want              Outcome
	}{
		{"android@10.0.0", crc, Updated},
		{"android@10.0.0", sha, Failed},
		{"ios@10.0.0", crc, Updated},
		{"ios@10.0.0", "", Updated},
		{"android@5.9.5", crc, Updated},
		{"android@6.14.27", crc, Updated},
		{"android@6.14.28", sha, Updated},
		{"android@6.14.28", crc, Failed},
		{"ios@5.50.1", sha, Updated},
		{"ios@5.50.1", "", Updated},
		{"android@7.51.21", "", Updated},
		{"android@7.51.21", strings.ToUpper(sha), Failed},
		{"ios@8.51.22", "", Updated},
		{"android@8.51.22", "", Updated},
		{"android@8.51.23", "", Failed},
		{"ios@8.51.23", "", Failed},
		{"ios@8.51.23", sha, Updated},
		{"electron", strings.ToUpper(sha), Updated},
		{"electron", "", Updated},
		{"electron", crc, Failed},
	}
	for _, tt := range tests {
		t.Run(tt.profile+" "+tt.checksum, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.serveBytes("/zip", data)
			s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/zip", "checksum": tt.checksum})
			if r := runUpdate(t, newDevice(t, s, tt.profile)); r.Outcome != tt.want {
				t.Errorf("outcome = %s (%s), want %s", r.Outcome, r.Detail, tt.want)
			}
		})
	}
}

func TestZipWithoutChecksumIsRefusedBeforeAnyGET(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string][]string{
		"android@8.51.23": {"checksum_required 1.4.0"},
		"ios@8.51.23":     {"checksum_required 1.5.0", "download_fail 1.4.0"},
	} {
		s := newServer(t)
		s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/zip"})
		d := newDevice(t, s, profile)
		launch(t, d)
		flush(t, d)
		if diff := cmp.Diff(want, s.batched()[3:]); diff != "" || len(s.gets()) != 0 {
			t.Errorf("%s: requests %v, statistics (-want +got)\n%s", profile, s.gets(), diff)
		}
	}
}

// script answers the n-th GET of a zip with the n-th step; the last repeats.
type script struct {
	steps  []func(w http.ResponseWriter, r *http.Request)
	ranges []string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := min(len(s.ranges), len(s.steps)-1)
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	s.steps[n](w, r)
}

func statusStep(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// cut announces the whole body and sends n bytes of it.
func cut(data []byte, n int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.Write(data[:n])
	}
}

func partStep(data []byte, from, to int, contentRange string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentRange != "" {
			w.Header().Set("Content-Range", contentRange)
		}
		w.WriteHeader(http.StatusPartialContent)
		w.Write(data[from:to])
	}
}

func wholeStep(data []byte) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) { w.Write(data) }
}

func rangeStep(data []byte) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

// TestAndroidWorker holds the rules of §6.1 for the worker of 8.51.20 / 7.51.20.
func TestAndroidWorker(t *testing.T) {
	t.Parallel()
	data := webZip(t, pageOne)
	n := len(data)
	half := n / 2
	cr := func(a, b int, total string) string { return fmt.Sprintf("bytes %d-%d/%s", a, b, total) }
	type steps = []func(http.ResponseWriter, *http.Request)
	resume := fmt.Sprintf("bytes=%d-", half)
	tests := []struct {
		name    string
		profile string
		steps   steps
		want    Outcome
		ranges  []string
		waited  time.Duration
	}{
		{"503, then the file", "android@8.51.20", steps{statusStep(503), statusStep(408), statusStep(429), wholeStep(data)}, Staged, []string{"", "", "", ""}, 60 * time.Second},
		{"broken body continues", "android@8.51.23", steps{cut(data, half), rangeStep(data)}, Staged, []string{"", resume}, 10 * time.Second},
		{"200 to a range starts anew", "android@7.51.20", steps{cut(data, half), wholeStep(data)}, Staged, []string{"", resume}, 10 * time.Second},
		{"206 that starts at 0 is the whole file", "android@8.51.23",
			steps{cut(data, half), partStep(data, 0, n, cr(0, n-1, strconv.Itoa(n)))}, Staged, []string{"", resume}, 10 * time.Second},
		{"206 without Content-Range loops", "android@8.51.23", steps{cut(data, half), partStep(data, half, n, "")}, Retrying,
			[]string{"", resume, resume, resume, resume}, 100 * time.Second},
		{"206 with a wrong start loops", "android@8.51.23", steps{cut(data, half), partStep(data, half, n, cr(half+1, n, strconv.Itoa(n)))}, Retrying,
			[]string{"", resume, resume, resume, resume}, 100 * time.Second},
		{"206 with a * total ends in 416", "android@8.51.23",
			steps{cut(data, half), partStep(data, half, n, cr(half, n-1, "*")), rangeStep(data)}, Failed,
			[]string{"", resume, fmt.Sprintf("bytes=%d-", n)}, 30 * time.Second},
		{"206 with a short body is asked for again", "android@8.51.23",
			steps{cut(data, half), partStep(data, half, half+5, cr(half, n-1, strconv.Itoa(n))), rangeStep(data)}, Staged,
			[]string{"", resume, fmt.Sprintf("bytes=%d-", half+5)}, 30 * time.Second},
		{"206 with another total is asked for again", "android@8.51.23",
			steps{cut(data, half), partStep(data, half, n, cr(half, n-1, strconv.Itoa(n+1))), rangeStep(data)}, Failed,
			[]string{"", resume, fmt.Sprintf("bytes=%d-", n)}, 30 * time.Second},
		{"206 whose end does not fit is asked for again", "android@8.51.23",
			steps{cut(data, half), partStep(data, half, n, cr(half, n-2, strconv.Itoa(n))), rangeStep(data)}, Failed,
			[]string{"", resume, fmt.Sprintf("bytes=%d-", n)}, 30 * time.Second},
		{"404 is final", "android@8.51.23", steps{statusStep(404)}, Failed, []string{""}, 0},
		{"410 after 503 is final", "android@8.51.23", steps{statusStep(503), statusStep(410)}, Failed, []string{"", ""}, 10 * time.Second},
		{"a redirect to another scheme is final", "android@8.51.23", steps{func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://example.com/x.zip", http.StatusFound)
		}}, Failed, []string{""}, 0},
		{"older plugins try once", "android@8.51.16", steps{statusStep(503), wholeStep(data)}, Failed, []string{""}, 0},
		{"older plugins try a broken body once", "android@6.51.16", steps{cut(data, half), wholeStep(data)}, Failed, []string{""}, 0},
		{"iOS tries once", "ios@8.51.23", steps{statusStep(503), wholeStep(data)}, Failed, []string{""}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.offerZip("1.5.0", data)
			zip := &script{steps: tt.steps}
			s.handle("/zip/1.5.0", zip.ServeHTTP)
			d := newDevice(t, s, tt.profile)
			r := launch(t, d)
			if r.Outcome != tt.want {
				t.Errorf("outcome = %s (%s), want %s", r.Outcome, r.Detail, tt.want)
			}
			if diff := cmp.Diff(tt.ranges, zip.ranges); diff != "" {
				t.Errorf("ranges (-want +got)\n%s", diff)
			}
			if got := d.State().Clock.Sub(start); got != tt.waited {
				t.Errorf("waited %s, want %s", got, tt.waited)
			}
			flush(t, d)
			failed := contains(s.batched(), "download_fail (none)") || contains(s.batched(), "download_fail 1.4.0")
			if failed != (tt.want == Failed) {
				t.Errorf("statistics = %v", s.batched())
			}
		})
	}
}

func TestWorkerGoesOnInLaterCalls(t *testing.T) {
	t.Parallel()
	data := webZip(t, pageOne)
	s := newServer(t)
	s.offerZip("1.5.0", data)
	zip := &script{steps: []func(http.ResponseWriter, *http.Request){statusStep(503)}}
	s.handle("/zip/1.5.0", zip.ServeHTTP)
	d := newDevice(t, s, "android@8.51.23", func(o *Options) { o.Patience = 15 * time.Second })
	if r := launch(t, d); r.Outcome != Retrying || len(zip.ranges) != 2 {
		t.Fatalf("outcome %s after %d attempts", r.Outcome, len(zip.ranges))
	}
	id := d.State().Bundles[0].ID
	s.serveBytes("/zip/1.5.0", data)
	if r, err := d.Wait(t.Context(), 5*time.Second); err != nil || r.Outcome != Retrying {
		t.Errorf("before its time: %s, %v", r.Outcome, err)
	}
	if r, err := d.Wait(t.Context(), time.Hour); err != nil || r.Outcome != Staged {
		t.Errorf("after its time: %s, %v", r.Outcome, err)
	}
	if got := d.State().Clock.Sub(start); got != 10*time.Second+5*time.Second+time.Hour {
		t.Errorf("clock moved by %s", got)
	}
	if got := d.State().Next; got == nil || got.ID != id {
		t.Errorf("staged %+v, want the same id %s", got, id)
	}
}

func TestEmulatorWaitsTwiceAsLongEachTime(t *testing.T) {
	t.Parallel()
	var got []time.Duration
	for n := 1; n <= 12; n++ {
		w := work{Attempts: n}
		got = append(got, w.backoff(true))
	}
	want := []time.Duration{30e9, 60e9, 120e9, 240e9, 480e9, 960e9, 1920e9, 3840e9, 7680e9, 15360e9, 18000e9, 18000e9}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := (&work{Attempts: 1 << 20}).backoff(false); got != 5*time.Hour {
		t.Errorf("longest wait = %s", got)
	}
}

func TestIOSGivesUpAfter25Seconds(t *testing.T) {
	t.Parallel()
	data := rawZip(t, zipEntry{name: "index.html", content: "<h1>"}, zipEntry{name: "big", content: strings.Repeat("x", 30_000)})
	for profile, want := range map[string]Outcome{"ios@8.51.23": Failed, "ios@8.45.10": Staged, "android@8.51.23": Staged} {
		s := newServer(t)
		s.offerZip("1.5.0", data)
		d := newDevice(t, s, profile, func(o *Options) { o.BytesPerSecond = 1000 })
		if r := launch(t, d); r.Outcome != want {
			t.Errorf("%s: 30 kB at 1 kB/s is %s (%s), want %s", profile, r.Outcome, r.Detail, want)
		}
	}
}

func TestElectronFollowsOnlyAbsoluteRedirects(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]Outcome{"/zip/1.5.0": Failed, "URL/zip/1.5.0": Staged} {
		s := newServer(t)
		s.offerZip("1.5.0", webZip(t, pageOne))
		s.handle("/moved", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", replaceURL(location, s.URL))
			w.WriteHeader(http.StatusFound)
		})
		s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/moved"})
		d := newDevice(t, s, "electron")
		launch(t, d)
		if r, err := d.Check(t.Context()); err != nil || r.Outcome != want {
			t.Errorf("redirect to %s: %s (%s), want %s", location, r.Outcome, r.Detail, want)
		}
	}
}

func TestAndroidRefusesDataThatItsWorkerCannotTake(t *testing.T) {
	t.Parallel()
	for length, want := range map[int]Outcome{6000: Staged, 12000: Failed} {
		s := newServer(t)
		s.offerZip("1.5.0", webZip(t, pageOne))
		url := s.URL + "/zip/1.5.0?" + strings.Repeat("x", length)
		s.offer(map[string]any{"version": "1.5.0", "url": url, "checksum": string(capstan.DigestOf(webZip(t, pageOne)))})
		if r := launch(t, newDevice(t, s, "android@8.51.23")); r.Outcome != want {
			t.Errorf("a url of %d bytes: %s, want %s", length, r.Outcome, want)
		}
	}
}

func TestAndroidCannotRecordAQuotedVersion(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.offer(map[string]any{"version": `1.5.0"`, "url": s.URL + "/zip", "checksum": "00"})
	if r := launch(t, newDevice(t, s, "android@8.51.23")); r.Outcome != Failed || len(s.gets()) != 0 {
		t.Errorf("outcome = %s", r.Outcome)
	}
}

func TestNullSessionKeyIsATrapBelow8_51_23(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string]Outcome{"android@8.51.22": Failed, "android@8.51.23": Staged, "ios@8.51.22": Staged} {
		s := newServer(t)
		data := webZip(t, pageOne)
		s.offerZip("1.5.0", data)
		s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/zip/1.5.0", "checksum": string(capstan.DigestOf(data)), "session_key": nil})
		if r := launch(t, newDevice(t, s, profile)); r.Outcome != want {
			t.Errorf("%s: %s, want %s", profile, r.Outcome, want)
		}
	}
}

func TestSameVersionInAnotherFormIsDeletedOnIOS(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.offerDelta("1.5.0", pageOne)
	d := newDevice(t, s, "ios@8.51.23")
	launch(t, d)
	s.offerZip("1.5.0", webZip(t, pageOne))
	if r, err := d.Check(t.Context()); err != nil || r.Outcome != Failed {
		t.Errorf("outcome = %s, %v", r.Outcome, err)
	}
	flush(t, d)
	if !contains(s.batched(), "checksum_fail 1.5.0") {
		t.Errorf("statistics = %v", s.batched())
	}
}

func TestSymbolicLinksOnIOS(t *testing.T) {
	t.Parallel()
	link := func(name, target string) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, _ := z.Create("index.html")
		io.WriteString(w, "<h1>")
		h := &zip.FileHeader{Name: name}
		h.SetMode(0o777 | 1<<27)
		w, _ = z.CreateHeader(h)
		io.WriteString(w, target)
		z.Close()
		return b.Bytes()
	}
	tests := []struct {
		name, target string
		want         Outcome
	}{{"b.html", "index.html", Staged}, {"a/b.html", "../index.html", Failed}, {"b.html", "/etc/passwd", Failed}}
	for _, tt := range tests {
		s := newServer(t)
		s.offerZip("1.5.0", link(tt.name, tt.target))
		if r := launch(t, newDevice(t, s, "ios@8.51.23")); r.Outcome != tt.want {
			t.Errorf("%s -> %s: %s (%s), want %s", tt.name, tt.target, r.Outcome, r.Detail, tt.want)
		}
	}
}

func TestUserAgents(t *testing.T) {
	t.Parallel()
	tests := []struct{ profile, api, zip string }{
		{"android@8.51.23", "CapacitorUpdater/8.51.23 (com.example.app) android/14", dalvikAgent},
		{"ios@8.51.23", "CapacitorUpdater/8.51.23 (com.example.app) ios/17.5.1", "CapacitorUpdater/8.51.23 (com.example.app) ios/17.5.1"},
		{"electron", "CapacitorUpdater/0.0.1 (com.example.app) electron/23.5.0", ""},
		{"android@10.0.0", dalvikAgent, dalvikAgent},
		{"ios@6.14.27", alamofireAgent, alamofireAgent},
	}
	for _, tt := range tests {
		s := newServer(t)
		data := webZip(t, pageOne)
		s.offerZip("1.5.0", data)
		d := newDevice(t, s, tt.profile)
		if d.can.crc && d.profile.Platform != capstan.Electron {
			s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/zip/1.5.0"})
		}
		runUpdate(t, d)
		if got := s.headers["POST /updates"].Get("User-Agent"); got != tt.api {
			t.Errorf("%s: check says %q, want %q", tt.profile, got, tt.api)
		}
		if got := s.headers["GET /zip/1.5.0"].Get("User-Agent"); got != tt.zip {
			t.Errorf("%s: zip says %q, want %q", tt.profile, got, tt.zip)
		}
	}
	if got := agentValue("  ü\n日本 "); got != "ü" {
		t.Errorf("filtered = %q", got)
	}
	if got := agentValue("日本"); got != "unknown" {
		t.Errorf("filtered to nothing = %q", got)
	}
}

func TestNoAnswerIsAFailure(t *testing.T) {
	t.Parallel()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	for _, profile := range []string{"android@8.51.23", "ios@8.51.23", "android@10.0.0"} {
		s := newServer(t)
		d := newDevice(t, s, profile, func(o *Options) { o.URLs.Updates = dead.URL })
		if r := launch(t, d); r.Outcome != Failed {
			t.Errorf("%s: %s", profile, r.Outcome)
		}
	}
}
