package sim

import (
	"archive/zip"
	"net/http"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan"
)

func TestNothingIsReadBeyondItsLimit(t *testing.T) {
	t.Parallel()
	const kilo = 1000
	huge := strings.Repeat("x", 5*kilo)
	small := limits{answer: kilo, zip: 2 * kilo, file: 3 * kilo, plain: 4 * kilo}
	bomb := rawZip(t, zipEntry{name: "index.html", content: huge, method: zip.Deflate})
	many := rawZip(t,
		zipEntry{name: "index.html", content: huge[:2*kilo], method: zip.Deflate}, zipEntry{name: "b", content: huge[:2*kilo], method: zip.Deflate},
		zipEntry{name: "c", content: huge[:kilo], method: zip.Deflate})
	tests := []struct {
		name  string
		offer func(s *testServer)
	}{
		{"answer", func(s *testServer) { s.say(200, `{"kind":"up_to_date","message":"`+huge+`"}`) }},
		{"zip", func(s *testServer) {
			s.offerZip("1.5.0", rawZip(t, zipEntry{name: "index.html", content: huge[:2500]}))
		}},
		{"file of a zip", func(s *testServer) { s.offerZip("1.5.0", bomb) }},
		{"all files of a zip", func(s *testServer) { s.offerZip("1.5.0", many) }},
		{"file of a manifest", func(s *testServer) { s.offerDelta("1.5.0", map[string]string{"index.html": huge}) }},
		{"all files of a manifest", func(s *testServer) {
			s.offerDelta("1.5.0", map[string]string{"index.html": huge[:2500], "b.js": huge[:2499]})
		}},
		{"brotli of a manifest", func(s *testServer) { s.offerDelta("1.5.0", map[string]string{"index.html.br": huge}) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, profile := range []string{"android@8.51.23", "ios@8.51.23"} {
				s := newServer(t)
				tt.offer(s)
				d := newDevice(t, s, profile)
				d.limits = small
				r := launch(t, d)
				if r.Outcome != Failed || !strings.Contains(r.Detail, errTooLarge.Error()) {
					t.Errorf("%s: %s (%s), want the limit", profile, r.Outcome, r.Detail)
				}
				d = newDevice(t, s, profile) // without it, the same passes
				if r := launch(t, d); r.Outcome == Failed {
					t.Errorf("%s with the usual limits: %s", profile, r.Detail)
				}
			}
		})
	}
}

func TestRedirectsHaveAnEnd(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"android@8.51.16", "ios@8.51.23", "electron"} {
		s := newServer(t)
		n := 0
		s.handle("/loop", func(w http.ResponseWriter, r *http.Request) {
			n++
			http.Redirect(w, r, s.URL+"/loop", http.StatusFound)
		})
		s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/loop", "checksum": string(capstan.EmptyDigest)})
		d := newDevice(t, s, profile)
		launch(t, d)
		if r, err := d.Check(t.Context()); err != nil || r.Outcome != Failed || n > 2*(maxHops+1) {
			t.Errorf("%s: %s after %d redirects, %v", profile, r.Outcome, n, err)
		}
	}
}

func TestBundleCannotLeaveItsDirectory(t *testing.T) {
	t.Parallel()
	f, err := openFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.write("../outside", []byte("x")); err == nil {
		t.Error("wrote outside of the directory")
	}
	if _, err := f.read("../outside"); err == nil {
		t.Error("read outside of the directory")
	}
}
