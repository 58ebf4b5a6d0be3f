package sim

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func always(status int, body string) func(int) (int, map[string]string, string) {
	return func(int) (int, map[string]string, string) { return status, nil, body }
}

func TestShapeOfStatistics(t *testing.T) {
	t.Parallel()
	for _, p := range Profiles() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			d := newDevice(t, s, p.String())
			launch(t, d)
			background(t, d)
			if err := d.FlushStats(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(s.stats) == 0 {
				t.Fatal("nothing was sent")
			}
			for i, e := range s.stats {
				_, stamped := e["timestamp"]
				if s.single[i] == d.can.batches || stamped != d.can.batches {
					t.Errorf("%v: alone %v, timestamp %v; want batches %v", e["action"], s.single[i], stamped, d.can.batches)
				}
				if _, ok := e["old_version_name"]; ok != (d.can.oldName || p.Platform == "electron") {
					t.Errorf("%v: old_version_name is there: %v", e["action"], ok)
				}
			}
			if d.can.batches && s.posts != 1 {
				t.Errorf("%d posts, want one with everything", s.posts)
			}
		})
	}
}

func TestEventCarriesMetadataAndTime(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := newDevice(t, s, "android@8.51.23")
	launch(t, d)
	flush(t, d)
	want := map[string]any{
		"platform": "android", "device_id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "app_id": "com.example.app", "custom_id": "",
		"version_build": "1.4.0", "version_code": "10400", "version_os": "14", "version_name": "1.4.0", "plugin_version": "8.51.23",
		"is_emulator": false, "is_prod": true, "install_source": "", "defaultChannel": "", "old_version_name": "",
		"action": "app_launch_start", "timestamp": float64(start.UnixMilli()),
		"metadata": map[string]any{"launch_started_at": millis(start), "source": "plugin_load"},
	}
	if diff := cmp.Diff(want, s.stats[0]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWorkerEventsHaveNeitherKeyNorTime(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	s := newServer(t)
	data := webZip(t, pageOne)
	s.serveBytes("/zip", p.encrypt(data))
	s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/zip", "checksum": p.v3(data), "session_key": p.session()})
	d := p.device(s, "android@8.51.23")
	launch(t, d)
	flush(t, d)
	for i, e := range s.stats {
		_, key := e["key_id"]
		_, stamp := e["timestamp"]
		if key == s.single[i] || stamp == s.single[i] {
			t.Errorf("%v: alone %v, key_id %v, timestamp %v", e["action"], s.single[i], key, stamp)
		}
	}
}

func TestWhatPutsStatisticsBack(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, profile string
		status        int
		body          string
		kept          bool
	}{
		{"ok", "android@8.51.23", 200, `{}`, false},
		{"empty ok on Android", "android@8.51.23", 200, ``, false},
		{"empty ok on iOS", "ios@8.51.23", 200, ``, true},
		{"204 on iOS", "ios@8.51.23", 204, ``, false},
		{"408", "ios@8.51.23", 408, `{}`, true},
		{"500", "android@8.51.23", 500, `{}`, true},
		{"503", "ios@6.51.16", 503, `{}`, true},
		{"400 drops the batch", "android@8.51.23", 400, `{}`, false},
		{"429 keeps it", "android@8.51.23", 429, `{}`, true},
		{"older plugins lose it", "android@5.50.1", 500, `{}`, false},
		{"older iOS loses it", "ios@8.51.5", 500, `{}`, false},
		{"8.51.6 does not", "ios@8.51.6", 500, `{}`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			d := newDevice(t, s, tt.profile)
			launch(t, d)
			n := d.State().Queued
			s.onStats = always(tt.status, tt.body)
			flush(t, d)
			if got := d.State().Queued; got != map[bool]int{true: n, false: 0}[tt.kept] {
				t.Errorf("%d of %d events are left", got, n)
			}
			s.forget()
			s.onStats = nil
			flush(t, d)
			if tt.kept && (len(s.stats) != n || s.stats[0]["action"] != "app_launch_start") {
				t.Errorf("sent again: %v", s.actions())
			}
		})
	}
}

func TestNoConnectionKeepsStatistics(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := newDevice(t, s, "android@8.51.23")
	launch(t, d)
	n := d.State().Queued
	d.opt.URLs.Stats = "http://127.0.0.1:1/stats"
	flush(t, d)
	if got := d.State().Queued; got != n || n == 0 {
		t.Errorf("%d of %d events are left", got, n)
	}
}

func TestQueueKeepsTheNewest200(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string]int{"android@8.51.23": 200, "android@5.50.1": 300} {
		s := newServer(t)
		d := newDevice(t, s, profile)
		for range 300 {
			d.stat(t.Context(), event{action: "app_moved_to_background"})
		}
		d.stat(t.Context(), event{action: "newest"})
		if profile == "android@5.50.1" {
			want++
		}
		if got := d.State().Queued; got != want {
			t.Errorf("%s: %d events wait, want %d", profile, got, want)
		}
		flush(t, d)
		if got := s.actions(); got[len(got)-1] != "newest" {
			t.Errorf("%s: the newest is %s", profile, got[len(got)-1])
		}
	}
}

func TestStatisticsAndRestart(t *testing.T) {
	t.Parallel()
	for profile, kept := range map[string]bool{"ios@8.51.23": true, "ios@7.51.21": true, "ios@5.50.1": false} {
		s := newServer(t)
		d := newDevice(t, s, profile)
		launch(t, d)
		background(t, d)
		launch(t, d)
		flush(t, d)
		if got := contains(s.actions(), "app_moved_to_background"); got != kept {
			t.Errorf("%s: events of the process before were sent: %v, want %v", profile, got, kept)
		}
	}
}

func TestNoStatsURLNoStatistics(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.offerZip("1.5.0", webZip(t, pageOne))
	for _, profile := range []string{"android@8.51.23", "ios@5.9.5", "electron"} {
		d := newDevice(t, s, profile, func(o *Options) { o.URLs.Stats = "" })
		runUpdate(t, d)
	}
	if s.posts != 0 {
		t.Errorf("%d posts", s.posts)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	in := func(d time.Duration) string { return millis(start.Add(d)) }
	tests := []struct {
		name   string
		header map[string]string
		body   string
		want   time.Duration
	}{
		{"header", map[string]string{"Retry-After": "120"}, `{"retryAfterSeconds":5}`, 2 * time.Minute},
		{"date falls through", map[string]string{"Retry-After": "Wed, 25 Nov 2026 12:01:00 GMT"}, `{"retryAfterSeconds":5}`, 5 * time.Second},
		{"more info first", nil, `{"moreInfo":{"retryAfterSeconds":7},"retryAfterSeconds":5}`, 7 * time.Second},
		{"reset time", nil, `{"rateLimitResetAt":` + in(time.Minute) + `}`, time.Minute},
		{"reset time in more info", nil, `{"moreInfo":{"rateLimitResetAt":` + in(time.Hour) + `},"rateLimitResetAt":1}`, time.Hour},
		{"reset time in the past", nil, `{"rateLimitResetAt":1}`, 0},
		{"no hint", nil, `{"error":"too_many_requests"}`, 0},
		{"a week is a day", map[string]string{"Retry-After": "604800"}, `{}`, 24 * time.Hour},
		{"a huge number is a day", nil, `{"retryAfterSeconds":1e300}`, 24 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, profile := range []string{"android@8.51.5", "ios@6.51.16"} {
				s := newServer(t)
				s.sayWith(429, tt.header, tt.body)
				d := newDevice(t, s, profile)
				if r := launch(t, d); r.Outcome != Failed {
					t.Errorf("outcome = %s", r.Outcome)
				}
				got := time.Duration(0)
				if b := d.State().Blocked; !b.IsZero() {
					got = b.Sub(start)
				}
				if got != tt.want {
					t.Errorf("%s: blocked for %s, want %s", profile, got, tt.want)
				}
			}
		})
	}
}

func TestBlockedDeviceAnswersItself(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.sayWith(429, map[string]string{"Retry-After": "60"}, `{"error":"too_many_requests","message":"later"}`)
	d := newDevice(t, s, "android@8.51.23")
	launch(t, d)
	if got := s.alone(); len(got) != 1 || got[0] != "rate_limit_reached 1.4.0" {
		t.Errorf("sent alone: %v", got)
	}
	s.forget()
	r, err := d.Check(t.Context())
	if err != nil || r.Outcome != Failed || len(s.checks) != 0 {
		t.Errorf("check while blocked: %+v, %v", r, err)
	}
	c, err := d.GetChannel(t.Context())
	if err != nil || c.Error != "too_many_requests" || c.Message != "later" || len(s.gets()) != 0 {
		t.Errorf("channel while blocked: %+v, %v", c, err)
	}
	if flush(t, d); s.posts != 0 || d.State().Queued == 0 {
		t.Errorf("%d posts while blocked", s.posts)
	}
	if _, err := d.Wait(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	s.say(200, `{"kind":"up_to_date","error":"no_new_version_available","message":"x"}`)
	if r, err := d.Check(t.Context()); err != nil || r.Outcome != UpToDate {
		t.Errorf("check after the block: %+v, %v", r, err)
	}
	if flush(t, d); s.posts != 1 {
		t.Errorf("%d posts after the block", s.posts)
	}
	s.sayWith(429, map[string]string{"Retry-After": "60"}, `{}`)
	s.forget()
	if _, err := d.Check(t.Context()); err != nil || contains(s.alone(), "rate_limit_reached 1.4.0") {
		t.Errorf("rate_limit_reached is sent once per process, got %v", s.alone())
	}
}

func TestIOSDoesNotSeeTheHeaderOfAnEmpty429(t *testing.T) {
	t.Parallel()
	for profile, blocked := range map[string]bool{"ios@8.51.23": false, "android@8.51.23": true} {
		s := newServer(t)
		s.sayWith(429, map[string]string{"Retry-After": "60"}, ``)
		d := newDevice(t, s, profile)
		if launch(t, d); !d.State().Blocked.IsZero() != blocked {
			t.Errorf("%s: blocked until %s", profile, d.State().Blocked)
		}
	}
}

func TestOldPluginsFallSilentUntilRestart(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"android@5.50.1", "ios@8.51.4", "android@7.23.8", "ios@6.14.28"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.sayWith(429, map[string]string{"Retry-After": "1"}, `{"error":"on_premise_app"}`)
			d := newDevice(t, s, profile)
			launch(t, d)
			if !d.State().Latched {
				t.Fatal("not latched")
			}
			s.forget()
			background(t, d)
			flush(t, d)
			c, err := d.SetChannel(t.Context(), "beta")
			if err != nil || c.Error != "rate_limit_exceeded" || s.posts != 0 || len(s.gets()) != 0 {
				t.Errorf("a silent device sent %d statistics and %v; %+v, %v", s.posts, s.gets(), c, err)
			}
			if _, err := d.Check(t.Context()); err != nil || len(s.checks) != 1 {
				t.Errorf("%d checks, %v: they go on", len(s.checks), err)
			}
			s.say(200, `{"error":"no_new_version_available","message":"x","kind":"up_to_date"}`)
			s.forget()
			launch(t, d)
			if flush(t, d); s.posts == 0 {
				t.Error("still silent after a restart")
			}
		})
	}
}

func TestPluginsBeforeTheLatchDoNotMind429(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.say(429, `{}`)
	d := newDevice(t, s, "android@10.0.0")
	if launch(t, d); d.State().Latched || !d.State().Blocked.IsZero() {
		t.Errorf("state = %+v", d.State())
	}
}

func TestOkHttpRepeatsOnce(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string]int{"android@8.51.23": 2, "ios@8.51.23": 1} {
		s := newServer(t)
		n := 0
		s.answer = func(map[string]any) (int, map[string]string, string) {
			n++
			if n == 1 {
				return http.StatusServiceUnavailable, map[string]string{"Retry-After": "0"}, `{}`
			}
			return 200, nil, `{"kind":"up_to_date"}`
		}
		launch(t, newDevice(t, s, profile))
		if n != want {
			t.Errorf("%s: %d requests, want %d", profile, n, want)
		}
	}
}

func TestProgressOfAndroidIsReportedOncePerProcess(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := newDevice(t, s, "android@8.51.23", func(o *Options) { o.Mode = OnlyDownload })
	s.offerZip("1.5.0", webZip(t, pageOne))
	launch(t, d)
	s.offerZip("1.6.0", webZip(t, pageTwo))
	if _, err := d.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	flush(t, d)
	var got []string
	for _, a := range s.actions() {
		if strings.HasSuffix(a, "0") {
			got = append(got, strings.TrimPrefix(a, "download_"))
		}
	}
	if diff := cmp.Diff("10 20 30 40 50 60 70 80 90", strings.Join(got, " ")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestLongestOfTwoBlocksHolds(t *testing.T) {
	t.Parallel()
	d := newDevice(t, newServer(t), "android@8.51.23")
	for _, s := range []string{"10", "100", "20"} {
		d.tooMany(t.Context(), reply{status: 429, header: http.Header{"Retry-After": {s}}, body: []byte(`{"error":"x"}`)})
	}
	if got := d.State().Blocked.Sub(start); got != 100*time.Second {
		t.Errorf("blocked for %s, want 100 s", got)
	}
}
