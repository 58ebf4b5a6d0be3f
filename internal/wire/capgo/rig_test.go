package capgo

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/ingest"
)

const (
	appID    = "com.example.app"
	deviceID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
	public   = "https://updates.example.com"
)

var at = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// rig is the device endpoint over an app that tests change: production is the
// default and serves 1.2.0, beta may be chosen, staff may not.
type rig struct {
	state   capstan.AppState
	overlay decide.Overlay
	fail    error // of the store
	quiet   bool  // sightings are not kept

	eventsFail error
	counted    *Handler

	mu     sync.Mutex
	seen   []ingest.Sighting
	events []capstan.Event
	pins   []string
}

func newRig() *rig {
	r := &rig{state: capstan.AppState{App: capstan.App{ID: appID}}}
	for i, name := range []string{"production", "beta", "staff"} {
		c := capstan.NewChannel(appID, name)
		c.Seq, c.SelfAssign = int64(i+1), name == "beta"
		if name == "production" {
			c.Default = capstan.AllPlatforms
		}
		r.state.Channels = append(r.state.Channels, c)
	}
	r.release("1.2.0")
	return r
}

func (r *rig) channel(i int) *capstan.Channel { return &r.state.Channels[i] }
func (r *rig) bundle() *capstan.Bundle        { return &r.state.Bundles[len(r.state.Bundles)-1] }

func (r *rig) release(version string) {
	n := int64(len(r.state.Releases) + 1)
	rel := capstan.Release{Number: n, Channel: "production", Version: version, ShareBP: capstan.ShareAll, Salt: "salt"}
	if version != "" {
		rel.Bundle = "id-" + version
		b := capstan.Bundle{
			ID: rel.Bundle, Version: version, State: capstan.BundleReady, Archive: capstan.DigestOf([]byte(version)), ArchiveCRC32: "0badcafe",
			DeltaOffered: true,
		}
		r.state.Bundles = append(r.state.Bundles, b)
		if r.state.Files == nil {
			r.state.Files = map[string][]capstan.StoredFile{}
		}
		plain, br := capstan.DigestOf([]byte("plain"+version)), capstan.DigestOf([]byte("br"+version))
		r.state.Files[b.ID] = []capstan.StoredFile{
			{Path: "index.html", Digest: plain, Size: 5, Encoding: capstan.Identity, Blob: plain, BlobBytes: 5},
			{Path: "äpp #1?.js", Digest: br, Size: 9000, Encoding: capstan.Brotli, Blob: plain, BlobBytes: 77},
		}
	}
	r.state.Releases = append(r.state.Releases, rel)
}

func (r *rig) end(number int) {
	r.state.Releases[number-1].EndedAt, r.state.Releases[number-1].EndReason = at, capstan.EndRolledBack
}

// handler compiles the app as it is now.
func (r *rig) handler(t testing.TB) http.Handler {
	t.Helper()
	app, err := decide.Compile(r.state)
	if err != nil {
		t.Fatal(err)
	}
	Prepare(app, nil, public)
	seen := r.note
	if r.quiet {
		seen = discard
	}
	r.counted = NewHandler(Deps{
		App: func(id string) (*decide.App, bool, error) {
			if r.fail != nil {
				return nil, false, r.fail
			}
			return app, id == appID, nil
		},
		Overlay: func(string, capstan.DeviceID) decide.Overlay { return r.overlay },
		Seen:    seen,
		Events: func(_ context.Context, events []capstan.Event) error {
			r.events = append(r.events, events...)
			return errors.Join(r.fail, r.eventsFail)
		},
		SetSelfPin: func(_ context.Context, _ string, _ capstan.DeviceID, channel string) error {
			r.pins = append(r.pins, channel)
			return r.fail
		},
		NewID:     func() string { return fmt.Sprint("event-", len(r.events)) },
		Now:       func() time.Time { return at },
		Log:       slog.New(slog.DiscardHandler),
		PublicURL: public,
	})
	return r.counted
}

func (r *rig) note(s ingest.Sighting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, s)
}

// info is what the Android plugin sends, with fields changed or (nil) left out.
func info(changes map[string]any) map[string]any {
	m := map[string]any{
		"platform": "android", "device_id": deviceID, "app_id": appID, "custom_id": "", "version_build": "1.0.0", "version_code": "10000",
		"version_os": "14", "version_name": "1.1.0", "plugin_version": "8.51.23", "is_emulator": false, "is_prod": true,
		"install_source": "google_play", "defaultChannel": "",
	}
	maps.Copy(m, changes)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	return m
}

func itoa(n int) string { return strconv.Itoa(n) }

type null struct{}

func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func text(t testing.TB, v any) string {
	t.Helper()
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ask sends a request and returns status and body, which must never be empty.
func ask(t testing.TB, h http.Handler, method, target string, body any, header ...string) (int, string, http.Header) {
	t.Helper()
	var reader io.Reader
	if body != nil {
		reader = strings.NewReader(text(t, body))
	}
	req := httptest.NewRequest(method, target, reader)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	out := rec.Body.Bytes()
	if rec.Header().Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		if out, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	if len(out) == 0 {
		t.Errorf("%s %s: empty body", method, target)
	}
	if rec.Code == http.StatusTooManyRequests {
		t.Errorf("%s %s: 429, which old plugins do not get over", method, target)
	}
	return rec.Code, string(out), rec.Header()
}

// keys of a JSON object, sorted.
func keys(t testing.TB, object string) []string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		t.Fatalf("%s: %v", object, err)
	}
	return slices.Sorted(maps.Keys(m))
}
