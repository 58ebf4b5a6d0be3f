package sim

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/google/go-cmp/cmp"
)

var pageOne = map[string]string{"index.html": "<h1>one</h1>", "app/main.js": "notifyAppReady() // one"}
var pageTwo = map[string]string{"index.html": "<h1>two</h1>", "app/main.js": "notifyAppReady() // one", "new.css": "b{}"}
var broken = map[string]string{"index.html": "<html " + BrokenMark + ">"}

func TestEveryProfileUpdatesByZipAndConfirms(t *testing.T) {
	t.Parallel()
	for _, p := range Profiles() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			data := webZip(t, pageOne)
			s.offerZip("1.5.0", data)
			if traitsOf(p.Platform, p.Plugin).crc && p.Platform != capstan.Electron {
				s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/zip/1.5.0", "checksum": ""})
			}
			d := newDevice(t, s, p.String())
			r := runUpdate(t, d)
			if r.Outcome != Updated || r.To != "1.5.0" || r.ViaDelta || r.BytesDownloaded != int64(len(data)) {
				t.Fatalf("update = %+v", r)
			}
			hasBundle(t, d, pageOne)
			if got := d.State(); got.Current.Status != Success && p.Platform != capstan.Electron || got.Fallback.Version != "1.5.0" {
				t.Errorf("state = %+v", got)
			}
			s.forget()
			s.say(200, `{"kind":"up_to_date","error":"no_new_version_available","message":"nothing","version":"1.5.0"}`)
			if r := runUpdate(t, d); r.Outcome != UpToDate || r.To != "1.5.0" {
				t.Errorf("second update = %+v", r)
			}
			if got := s.checks[0]["version_name"]; got != "1.5.0" {
				t.Errorf("the second check says version_name %v", got)
			}
		})
	}
}

func TestZipSequenceOfStatistics(t *testing.T) {
	t.Parallel()
	tests := []struct {
		profile string
		batched []string
		alone   []string
	}{
		{"android@8.51.23", []string{
			"app_launch_start 1.4.0", "app_moved_to_foreground 1.4.0", "app_launch_ready 1.4.0", "download_complete 1.5.0",
			"set_next 1.5.0", "app_moved_to_background 1.4.0", "set 1.5.0",
		}, []string{"download_zip_start 1.5.0", "download_zip_complete 1.5.0"}},
		{"ios@8.51.23", []string{
			"app_launch_start 1.4.0", "app_moved_to_foreground 1.4.0", "app_launch_ready 1.4.0",
			"download_zip_start 1.5.0", "download_zip_complete 1.5.0", "download_complete 1.5.0",
			"set_next 1.5.0", "app_moved_to_background 1.4.0", "set 1.5.0",
		}, []string{}},
		{"electron", []string{}, []string{"set ", "download_complete 1.5.0", "set 1.5.0"}},
	}
	for _, tt := range tests {
		t.Run(tt.profile, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.offerZip("1.5.0", webZip(t, pageOne))
			runUpdate(t, newDevice(t, s, tt.profile))
			if diff := cmp.Diff(tt.batched, s.batched()); diff != "" {
				t.Errorf("batched (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(tt.alone, s.alone()); diff != "" {
				t.Errorf("alone (-want +got)\n%s", diff)
			}
		})
	}
}

func TestBrokenBundleIsRolledBack(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"android@8.51.23", "ios@8.51.23", "android@7.51.21", "ios@6.51.16", "android@5.50.1", "ios@10.0.0"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			d := newDevice(t, s, profile)
			zipFor := func(version string, files map[string]string) {
				s.offerZip(version, webZip(t, files))
				if d.can.crc {
					s.offer(map[string]any{"version": version, "url": s.URL + "/zip/" + version})
				}
			}
			zipFor("1.5.0", pageOne)
			runUpdate(t, d)
			zipFor("1.6.0", broken)
			s.forget()
			before := d.State().Clock
			r := runUpdate(t, d)
			if r.Outcome != RolledBack || r.To != "1.5.0" || r.From != "1.5.0" {
				t.Fatalf("update = %s to %s, want rolled_back to 1.5.0", r.Outcome, r.To)
			}
			want := 10 * time.Second
			if d.profile.Platform == capstan.Android && d.can.batches {
				want = 30 * time.Second // for a bundle that is not proved (§9.1)
			}
			if got := d.State().Clock.Sub(before); got != want {
				t.Errorf("the device waited %s, want %s", got, want)
			}
			hasBundle(t, d, pageOne)
			// The app was ready before in this process: Android sends no
			// app_launch_timeout then (§5.4).
			ending := "set update_fail set delete"
			if d.can.launchStats && d.profile.Platform == capstan.IOS {
				ending = "set app_launch_timeout update_fail set delete"
			}
			if got := strings.Join(s.actions(), " "); !strings.HasSuffix(got, ending) {
				t.Errorf("statistics = %s, want them to end in %s", got, ending)
			}
			if n := len(d.State().Bundles); n != 1 {
				t.Errorf("%d bundles are left, want 1: the failed one is forgotten", n)
			}
		})
	}
}

func TestRollbackOfTheFirstBundleEndsOnTheStoreBuild(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.offerZip("1.6.0", webZip(t, broken))
	d := newDevice(t, s, "ios@8.51.23")
	if r := runUpdate(t, d); r.Outcome != RolledBack || r.To != "1.4.0" {
		t.Fatalf("update = %s to %s", r.Outcome, r.To)
	}
	want := []string{"app_moved_to_background 1.4.0", "set 1.6.0", "app_launch_timeout 1.6.0", "update_fail 1.6.0", "delete 1.6.0"}
	got := s.batched()
	if diff := cmp.Diff(want, got[len(got)-len(want):]); diff != "" {
		t.Errorf("statistics (-want +got)\n%s", diff)
	}
	s.forget()
	if r := runUpdate(t, d); r.Outcome != RolledBack || len(s.gets()) != 1 {
		t.Errorf("the forgotten version is %s, %v; want it fetched and failed again (§9.1)", r.Outcome, s.gets())
	}
}

func TestKeptFailureIsNeverTriedAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.offerZip("1.6.0", webZip(t, broken))
	d := newDevice(t, s, "android@8.51.23", func(o *Options) { o.KeepFailed = true })
	runUpdate(t, d)
	s.forget()
	if r := runUpdate(t, d); r.Outcome != Failed || len(s.gets()) != 0 {
		t.Errorf("outcome %s, requests %v; want failed without a GET", r.Outcome, s.gets())
	}
	if got := s.batched(); !contains(got, "download_fail 1.4.0") {
		t.Errorf("statistics = %v, want download_fail of the running bundle", got)
	}
}

func TestElectronKeepsABundleThatIsNotConfirmed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.offerZip("1.6.0", webZip(t, broken))
	d := newDevice(t, s, "electron")
	if r := runUpdate(t, d); r.Outcome != Stuck || r.To != "1.6.0" {
		t.Fatalf("update = %s to %s", r.Outcome, r.To)
	}
	if got := s.alone(); got[len(got)-1] != "set_fail 1.6.0" {
		t.Errorf("statistics = %v, want set_fail at the end", got)
	}
	s.forget()
	if launch(t, d); !contains(s.alone(), "set_fail 1.6.0") {
		t.Errorf("after a new start: %v", s.alone())
	}
}

func TestElectronReportsSetAtEveryStart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := newDevice(t, s, "electron")
	launch(t, d)
	launch(t, d)
	if diff := cmp.Diff([]string{"set ", "set "}, s.alone()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(s.checks) != 0 {
		t.Errorf("Electron asked %d times at its start, want never", len(s.checks))
	}
}

func TestWorksDecidesInPlaceOfTheMark(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.offerZip("1.5.0", webZip(t, pageOne))
	d := newDevice(t, s, "android@8.51.23", func(o *Options) {
		o.Works = func(b Bundle, read func(string) ([]byte, error)) bool {
			js, err := read("app/main.js")
			return err == nil && !strings.Contains(string(js), "one") && b.Version != ""
		}
	})
	if r := runUpdate(t, d); r.Outcome != RolledBack {
		t.Errorf("outcome = %s, want rolled_back", r.Outcome)
	}
}

func TestNativeUpdateDeletesEverything(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.offerZip("1.5.0", webZip(t, pageOne))
	d := newDevice(t, s, "android@8.51.23")
	runUpdate(t, d)
	s.forget()
	s.say(200, `{"kind":"up_to_date","error":"no_new_version_available","message":"nothing"}`)
	d.UpdateNative("2.0.0", "20000", nil)
	launch(t, d)
	flush(t, d)
	if got := d.State(); got.Current.Version != "2.0.0" || len(got.Bundles) != 0 {
		t.Errorf("state = %+v", got)
	}
	want := []string{
		"delete 1.5.0", "native_app_version_changed 2.0.0", "app_launch_start 2.0.0", "app_moved_to_foreground 2.0.0", "app_launch_ready 2.0.0",
	}
	if diff := cmp.Diff(want, s.batched()); diff != "" {
		t.Errorf("statistics (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{
		"previous_version_build": "1.4.0", "current_version_build": "2.0.0",
		"previous_version_code": "10400", "current_version_code": "20000",
	}, s.stats[1]["metadata"]); diff != "" {
		t.Errorf("metadata (-want +got)\n%s", diff)
	}
}

func TestBuiltinAnswerGoesBackToTheStoreBuild(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"android@8.51.23", "ios@7.51.21", "ios@5.50.1"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.offerZip("1.5.0", webZip(t, pageOne))
			d := newDevice(t, s, profile)
			runUpdate(t, d)
			s.forget()
			s.say(200, `{"version":"builtin"}`)
			if r := runUpdate(t, d); r.Outcome != Updated || r.To != "1.4.0" {
				t.Fatalf("update = %s to %s", r.Outcome, r.To)
			}
			if got := s.batched(); !contains(got, "set_next 1.4.0") || !contains(got, "reset 1.4.0") {
				t.Errorf("statistics = %v", got)
			}
		})
	}
}

func TestPluginWithoutBuiltinFailsOnIt(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.say(200, `{"version":"builtin"}`)
	d := newDevice(t, s, "android@10.0.0")
	if r := launch(t, d); r.Outcome != Failed {
		t.Errorf("outcome = %s, want failed: there is no url", r.Outcome)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		mode  Mode
		first Outcome // at the first launch
		again Outcome // of a second offer, at the next foreground
	}{
		{AtBackground, Staged, Staged},
		{Always, Updated, Updated},
		{OnLaunch, Updated, Staged},
		{AtInstall, Updated, Staged},
		{OnlyDownload, Downloaded, Downloaded},
		{Off, NoCheck, NoCheck},
	}
	for _, tt := range tests {
		t.Run(string(tt.mode), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			d := newDevice(t, s, "android@8.51.23", func(o *Options) { o.Mode = tt.mode })
			s.offerZip("1.5.0", webZip(t, pageOne))
			if r := launch(t, d); r.Outcome != tt.first {
				t.Errorf("first = %s, want %s", r.Outcome, tt.first)
			}
			s.offerZip("1.6.0", webZip(t, pageTwo))
			if r, err := d.Foreground(t.Context()); err != nil || r.Outcome != tt.again {
				t.Errorf("again = %s, %v, want %s", r.Outcome, err, tt.again)
			}
		})
	}
}

func TestStateOutlivesTheProgram(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	dir := t.TempDir()
	keep := func(o *Options) { o.Dir = dir; o.DeviceID = "" }
	s.offerZip("1.5.0", webZip(t, pageOne))
	first := newDevice(t, s, "android@8.51.23", keep)
	runUpdate(t, first)
	if _, err := first.SetChannel(t.Context(), "beta"); err != nil {
		t.Fatal(err)
	}
	second := newDevice(t, s, "android@8.51.23", keep, func(o *Options) { o.Rand = func() uint64 { return 7 } })
	a, b := first.State(), second.State()
	if a.Device != b.Device || b.Current.Version != "1.5.0" || b.Current.Status != Success {
		t.Errorf("state = %+v, before %+v", b, a)
	}
	hasBundle(t, second, pageOne)
}

func TestDeviceIDIsARandomUUID(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := newDevice(t, s, "ios@8.51.23", func(o *Options) { o.DeviceID = "" })
	id := d.State().Device
	if _, ok := capstan.ParseDeviceID(id); !ok || id[14] != '4' || id != strings.ToLower(id) {
		t.Errorf("device id = %q", id)
	}
	if _, err := New(d.profile, Options{DeviceID: "me"}); capstan.CodeOf(err) != capstan.CodeInvalid {
		t.Errorf("a device id that is no UUID gives %v", err)
	}
}

func TestInvalidPublicKeyCrashesTheApp(t *testing.T) {
	t.Parallel()
	p, _ := ParseProfile("android")
	if _, err := New(p, Options{PublicKey: "nonsense"}); capstan.CodeOf(err) != capstan.CodeInvalid {
		t.Errorf("err = %v", err)
	}
}

func TestParseProfile(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"android": "android@8.51.23", "ios@6.51.16": "ios@6.51.16", "electron": "electron@0.0.1", "electron@8.0.0": "electron@0.0.1",
		"windows": "", "ios@new": "",
	} {
		p, err := ParseProfile(in)
		if got := p.String(); want != "" && (err != nil || got != want) || want == "" && err == nil {
			t.Errorf("%s = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestJournalAddsUpAndReads(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	data := webZip(t, pageOne)
	s.offerZip("1.5.0", data)
	d := newDevice(t, s, "android@8.51.23")
	runUpdate(t, d)
	got := Sum(d.Journal())
	if want := (Totals{ZipBytes: int64(len(data))}); got != want {
		t.Errorf("totals = %+v, want %+v", got, want)
	}
	for _, e := range d.Journal() {
		if e.What == WhatZip {
			if got, want := e.String(), fmt.Sprintf("12:00:00.000 zip      1.5.0 HTTP 200 %d B", len(data)); got != want {
				t.Errorf("entry = %q, want %q", got, want)
			}
		}
	}
}

func TestCancelledContextIsTheDeathOfTheProcess(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := newDevice(t, s, "ios@8.51.23")
	s.offerZip("1.5.0", webZip(t, pageOne))
	ctx, kill := contextWithCancel(t)
	s.handle("/zip/1.5.0", func(w http.ResponseWriter, r *http.Request) {
		kill()
		<-r.Context().Done()
	})
	if _, err := d.Launch(ctx); err == nil {
		t.Fatal("no error")
	}
	if got := d.State().Bundles; len(got) != 1 || got[0].Status != Downloading {
		t.Fatalf("bundles = %+v, want one left half loaded", got)
	}
	s.serveBytes("/zip/1.5.0", webZip(t, pageOne))
	if r := runUpdate(t, d); r.Outcome != Updated {
		t.Errorf("outcome = %s: iOS from 8.51.16 on fetches it again", r.Outcome)
	}
}

func TestOlderIOSNeverAppliesAHalfLoadedBundle(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := newDevice(t, s, "ios@8.51.14")
	s.offerZip("1.5.0", webZip(t, pageOne))
	ctx, kill := contextWithCancel(t)
	s.handle("/zip/1.5.0", func(w http.ResponseWriter, r *http.Request) {
		kill()
		<-r.Context().Done()
	})
	if _, err := d.Launch(ctx); err == nil {
		t.Fatal("no error")
	}
	s.serveBytes("/zip/1.5.0", webZip(t, pageOne))
	if r := runUpdate(t, d); r.Outcome != Failed || r.To != "1.4.0" {
		t.Errorf("update = %s to %s", r.Outcome, r.To)
	}
}

func TestProvedBundleIsNotRolledBack(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	works := true
	d := newDevice(t, s, "android@8.51.23", func(o *Options) {
		o.Works = func(Bundle, func(string) ([]byte, error)) bool { return works }
	})
	s.offerZip("1.5.0", webZip(t, pageOne))
	runUpdate(t, d)
	works = false
	if r := launch(t, d); r.Running != "1.5.0" || r.Outcome != UpToDate {
		t.Errorf("launch = %s, runs %s", r.Outcome, r.Running)
	}
}

func TestStagedBundleThatWentAwayIsSetFail(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.offerZip("1.5.0", webZip(t, pageOne))
	d := newDevice(t, s, "ios@8.51.23")
	launch(t, d)
	if err := d.disk.remove(bundleName(d.saved.Next, "index.html")); err != nil {
		t.Fatal(err)
	}
	if r := background(t, d); r.Outcome != Failed || r.Running != "1.4.0" {
		t.Errorf("background = %s, runs %s", r.Outcome, r.Running)
	}
	if flush(t, d); !contains(s.batched(), "set_fail 1.5.0") {
		t.Errorf("statistics = %v", s.batched())
	}
}

func TestAppReadyTimeoutIsAtLeastASecond(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.offerZip("1.5.0", webZip(t, broken))
	d := newDevice(t, s, "ios@8.51.23", func(o *Options) { o.AppReadyTimeout = time.Millisecond })
	if r := runUpdate(t, d); r.Outcome != RolledBack || r.Took != time.Second {
		t.Errorf("%s after %s, want a second", r.Outcome, r.Took)
	}
}

func TestIOSComparesAMissingChecksumToo(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string]Outcome{"ios@8.51.23": Failed, "ios@8.51.22": Staged, "android@8.51.23": Staged} {
		s := newServer(t)
		s.offerZip("1.5.0", webZip(t, pageOne))
		d := newDevice(t, s, profile)
		launch(t, d)
		s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/zip/1.5.0"})
		if r, err := d.Check(t.Context()); err != nil || r.Outcome != want {
			t.Errorf("%s: %s (%s), want %s", profile, r.Outcome, r.Detail, want)
		}
	}
}
