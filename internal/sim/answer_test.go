package sim

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reaction is what a device makes of one answer.
type reaction struct {
	outcome Outcome
	stats   []string // after the launch's own
}

func react(t *testing.T, profile string, status int, body string) reaction {
	t.Helper()
	s := newServer(t)
	s.say(status, body)
	s.serveBytes("/zip", webZip(t, pageOne))
	d := newDevice(t, s, profile)
	r := launch(t, d)
	flush(t, d)
	got := reaction{outcome: r.Outcome, stats: []string{}}
	for _, e := range append(s.alone(), s.batched()...) {
		switch e {
		case "app_launch_start 1.4.0", "app_moved_to_foreground 1.4.0", "app_launch_ready 1.4.0", "app_moved_to_foreground builtin":
		default:
			got.stats = append(got.stats, e)
		}
	}
	return got
}

const fail = "download_fail 1.4.0"

// TestAnswers holds the rows of device-clients.md §3.4 and §3.5.
func TestAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body   string
		status       int
		android, ios Outcome
		androidStats []string
		iosStats     []string
	}{
		{"up to date", `{"kind":"up_to_date","error":"no_new_version_available","message":"x"}`, 200, UpToDate, UpToDate, nil, nil},
		{"up to date beside a bad status", `{"kind":"up_to_date","error":"no_new_version_available","message":"x"}`, 400, UpToDate, UpToDate, nil, nil},
		{"blocked", `{"kind":"blocked","error":"disable_prod_build","message":"x"}`, 200, Blocked, Blocked, nil, nil},
		{"failed", `{"kind":"failed","error":"no_channel","message":"x"}`, 200, Failed, Failed, []string{fail}, []string{fail}},
		{"kind that nobody knows", `{"kind":"later","error":"x"}`, 200, Failed, Failed, []string{fail}, []string{fail}},
		{"error without kind", `{"error":"x","message":"x"}`, 200, Failed, Failed, []string{fail}, []string{fail}},
		{"null error beside an offer of the same version", `{"error":null,"version":"1.4.0","url":"https://x.test/a.zip"}`, 200, Failed, UpToDate, []string{fail}, nil},
		{"null kind beside an offer of the same version", `{"kind":null,"version":"1.4.0","url":"https://x.test/a.zip"}`, 200, Failed, UpToDate, []string{fail}, nil},
		{"empty error beside an offer of the same version", `{"error":"","version":"1.4.0","url":"https://x.test/a.zip"}`, 200, Failed, UpToDate, []string{fail}, nil},
		{"same version", `{"version":"1.4.0","url":"https://x.test/a.zip"}`, 200, UpToDate, UpToDate, nil, nil},
		{"same version without url", `{"version":"1.4.0"}`, 200, Failed, Failed, []string{fail}, []string{fail}},
		{"null url", `{"version":"1.5.0","url":null}`, 200, Failed, Failed, []string{fail}, []string{fail}},
		{"no version", `{"url":"https://x.test/a.zip"}`, 200, UpToDate, UpToDate, nil, nil},
		{"null manifest with the same version", `{"version":"1.4.0","url":"https://x.test/a.zip","manifest":null}`, 200, UpToDate, UpToDate, nil, nil},
		{"null manifest", `{"version":"1.5.0","url":"https://x.test/a.zip","manifest":null,"checksum":""}`, 200, Failed, Failed, []string{fail}, []string{"checksum_required 1.5.0", fail}},
		{"number for version", `{"version":2,"url":"https://x.test/a.zip","checksum":""}`, 200, Failed, Failed, []string{"checksum_required 1.4.0"}, []string{fail}},
		{"number in data", `{"version":"1.4.0","url":"https://x.test/a.zip","data":{"a":1}}`, 200, UpToDate, Failed, nil, []string{fail}},
		{"null in data", `{"version":"1.4.0","url":"https://x.test/a.zip","data":{"a":null}}`, 200, UpToDate, Failed, nil, []string{fail}},
		{"other case of a key", `{"Version":"1.5.0","URL":"https://x.test/a.zip"}`, 200, Failed, Failed, []string{fail}, []string{fail}},
		{"array", `[]`, 200, Failed, Failed, []string{fail}, []string{fail}},
		{"empty body", ``, 200, Failed, Failed, []string{fail}, []string{fail}},
		{"page of a proxy", `<html>`, 502, Failed, Failed, []string{fail}, []string{fail}},
		{"offer with a bad status", `{"version":"1.5.0","url":"https://x.test/a.zip"}`, 500, Failed, Failed, []string{fail}, []string{fail}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for profile, want := range map[string]reaction{
				"android@8.51.23": {tt.android, tt.androidStats}, "ios@8.51.23": {tt.ios, tt.iosStats},
			} {
				if want.stats == nil {
					want.stats = []string{}
				}
				if diff := cmp.Diff(want, react(t, profile, tt.status, tt.body), cmp.AllowUnexported(reaction{})); diff != "" {
					t.Errorf("%s (-want +got)\n%s", profile, diff)
				}
			}
		})
	}
}

// TestRefusalsByAge holds the rows of §3.7.
func TestRefusalsByAge(t *testing.T) {
	t.Parallel()
	const nothing = `{"kind":"up_to_date","error":"no_new_version_available","message":"No new version available"}`
	const onlyError = `{"error":"no_channel","version":"1.4.0"}`
	fails := func(names ...string) []string { return append([]string{}, names...) }
	tests := []struct {
		name, profile, body string
		status              int
		want                reaction
	}{
		{"10.0 reads the message", "android@10.0.0", nothing, 200, reaction{UpToDate, fails()}},
		{"10.0 without message goes on to the url", "ios@10.0.0", onlyError, 200, reaction{Failed, fails("download_fail builtin")}},
		{"5.9.5 Android also reports a failure", "android@5.9.5", nothing, 200, reaction{UpToDate, fails("download_fail builtin")}},
		{"5.9.5 iOS does not", "ios@5.9.5", nothing, 200, reaction{UpToDate, fails()}},
		{"7.5 does on both", "ios@7.5.0", nothing, 200, reaction{UpToDate, fails("download_fail builtin")}},
		{"7.17 refuses", "ios@7.17.0", nothing, 200, reaction{UpToDate, fails("backend_refusal builtin")}},
		{"6.25.4 refuses", "android@6.25.4", nothing, 200, reaction{UpToDate, fails("backend_refusal builtin")}},
		{"7.27.8 fails", "android@7.27.8", nothing, 200, reaction{UpToDate, fails("download_fail builtin")}},
		{"7.28 is quiet", "android@7.28.0", nothing, 200, reaction{UpToDate, fails()}},
		{"8.45.10 throws the body of a bad status away", "ios@8.45.10", nothing, 400, reaction{Failed, fails("download_fail 1.4.0")}},
		{"8.45.11 reads it", "ios@8.45.11", nothing, 400, reaction{UpToDate, fails()}},
		{"5.50.1 reads the kind", "android@5.50.1", nothing, 200, reaction{UpToDate, fails()}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, react(t, tt.profile, tt.status, tt.body), cmp.AllowUnexported(reaction{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestEventsOfRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, profile, body string
		want                []string
	}{
		{"up to date", "android@8.51.23", `{"kind":"up_to_date"}`, []string{"updateCheckResult", "noNeedUpdate", "appReady"}},
		{"failed", "ios@8.51.23", `{"kind":"failed"}`, []string{"updateCheckResult", "downloadFailed", "noNeedUpdate", "appReady"}},
		{"major", "android@8.51.23", `{"kind":"blocked","error":"disable_auto_update_to_major"}`,
			[]string{"updateCheckResult", "breakingAvailable", "majorAvailable", "noNeedUpdate", "appReady"}},
		{"store update", "ios@8.51.23", `{"kind":"blocked","error":"x","message":"store_update_required"}`,
			[]string{"updateCheckResult", "breakingAvailable", "majorAvailable", "noNeedUpdate", "appReady"}},
		{"flag on Android", "android@8.51.23", `{"kind":"blocked","error":"x","breaking":true}`, []string{"updateCheckResult", "noNeedUpdate", "appReady"}},
		{"flag on iOS", "ios@8.51.23", `{"kind":"blocked","error":"x","breaking":true}`,
			[]string{"updateCheckResult", "breakingAvailable", "majorAvailable", "noNeedUpdate", "appReady"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.say(200, tt.body)
			d := newDevice(t, s, tt.profile)
			launch(t, d)
			var got []string
			for _, e := range d.Journal() {
				if e.What == WhatEvent {
					got = append(got, e.Name)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestElectronAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		status     int
		want       Outcome
		gets       int
	}{
		{"nothing new", `{"error":"no_new_version_available"}`, 200, UpToDate, 0},
		{"another refusal has no url", `{"error":"disable_prod_build","kind":"blocked","version":"2.0.0"}`, 200, Blocked, 0},
		{"bad status", `{"error":"no_new_version_available"}`, 400, Failed, 0},
		{"breaking", `{"version":"2.0.0","url":"URL/zip","breaking":true}`, 200, Blocked, 0},
		{"the running version is fetched all the same", `{"version":"builtin","url":"URL/zip"}`, 200, Staged, 1},
		{"session_key is not read", `{"version":"2.0.0","url":"URL/zip","session_key":"a:b"}`, 200, Staged, 1},
		{"sessionKey is, and cannot be used", `{"version":"2.0.0","url":"URL/zip","sessionKey":"a:b"}`, 200, Failed, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.say(tt.status, replaceURL(tt.body, s.URL))
			s.serveBytes("/zip", webZip(t, pageOne))
			d := newDevice(t, s, "electron")
			launch(t, d)
			r, err := d.Check(t.Context())
			if err != nil || r.Outcome != tt.want || len(s.gets()) != tt.gets {
				t.Errorf("outcome %s, %v, requests %v; want %s and %d", r.Outcome, err, s.gets(), tt.want, tt.gets)
			}
		})
	}
}
