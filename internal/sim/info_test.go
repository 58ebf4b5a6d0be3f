package sim

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan/internal/golden"
	"github.com/google/go-cmp/cmp"
)

// TestInfoObjects shows what every profile sends at its first check.
func TestInfoObjects(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	pub := newPublisher(t).open
	for _, p := range append(Profiles(), older(t)...) {
		for _, full := range []bool{false, true} {
			s := newServer(t)
			d := newDevice(t, s, p.String(), func(o *Options) {
				if full {
					o.CustomID, o.DefaultChannel, o.InstallSource, o.PublicKey, o.Emulator = "me", "beta", "app_store", pub, true
				}
			})
			info, err := json.Marshal(d.info(forCheck, d.current().Version, d.channel()))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s\n  %s\n", p, info)
		}
	}
	golden.CheckString(t, "info.golden", b.String())
}

func older(t *testing.T) []Profile {
	var list []Profile
	for _, s := range []string{"ios@4.61.10", "android@5.9.5", "ios@7.28.0", "android@8.43.0"} {
		p, err := ParseProfile(s)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// TestCheckSendsTheInfoObject ties the golden file to the wire, headers
// included (§2.2).
func TestCheckSendsTheInfoObject(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string][2]string{
		"android@8.51.23": {"application/json; charset=utf-8", ""},
		"ios@8.51.23":     {"application/json", "application/json"},
		"electron":        {"application/json", ""},
	} {
		s := newServer(t)
		d := newDevice(t, s, profile)
		launch(t, d)
		if _, err := d.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		sent, _ := json.Marshal(d.info(forCheck, d.current().Version, d.channel()))
		var wantBody map[string]any
		if err := json.Unmarshal(sent, &wantBody); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantBody, s.checks[0]); diff != "" {
			t.Errorf("%s (-want +got)\n%s", profile, diff)
		}
		h := s.headers["POST /updates"]
		if got := [2]string{h.Get("Content-Type"), h.Get("Accept")}; got != want {
			t.Errorf("%s: Content-Type and Accept are %q, want %q", profile, got, want)
		}
		if h.Get("Cookie") != "" || h.Get("Authorization") != "" {
			t.Errorf("%s sends credentials", profile)
		}
	}
}

func TestElectronNamesTheStoreBuildEmptyOutsideTheCheck(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := newDevice(t, s, "electron")
	for use, want := range map[purpose]string{forCheck: "builtin", forStats: "", forChannel: ""} {
		var got map[string]any
		b, _ := json.Marshal(d.info(use, d.current().Version, ""))
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if _, has := got["custom_id"]; got["version_name"] != want || has != (use == forCheck) {
			t.Errorf("purpose %d: %v", use, got)
		}
	}
}
