package capgo

import (
	"encoding/json/v2"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan"
)

// Every reason, as a device hears it (decisions.md §1.1).
func TestRefusalsOnTheWire(t *testing.T) {
	t.Parallel()
	tests := []struct {
		row  int
		name string
		edit func(*rig)
		info map[string]any
		want string // %s is the message
	}{
		{15, "plugin 4", nil, map[string]any{"plugin_version": "4.61.10"}, `{"error":"unsupported_plugin_version","message":%q,"kind":"failed"}`},
		{18, "no channel", nil, map[string]any{"defaultChannel": "nowhere"}, `{"error":"no_channel","message":%q,"kind":"failed"}`},
		{20, "bytes gone", func(r *rig) { r.bundle().State = capstan.BundleGone }, nil, `{"error":"no_bundle","message":%q,"kind":"failed"}`},
		{21, "not sealed", nil, map[string]any{"key_id": "MIIBCgKCAQEAaaaaaaaa"},
			`{"error":"key_id_mismatch","message":%q,"deviceKeyId":"MIIBCgKCAQEAaaaaaaaa","bundleKeyId":"","kind":"blocked"}`},
		{21, "key mismatch", func(r *rig) { r.bundle().KeyID = "MIIBCgKCAQEAbbbbbbbb" }, map[string]any{"key_id": "MIIBCgKCAQEAaaaaaaaa"},
			`{"error":"key_id_mismatch","message":%q,"deviceKeyId":"MIIBCgKCAQEAaaaaaaaa","bundleKeyId":"MIIBCgKCAQEAbbbbbbbb","kind":"blocked"}`},
		{22, "same version", nil, map[string]any{"version_name": "1.2.0"}, `{"error":"no_new_version_available","message":%q,"version":"1.2.0","kind":"up_to_date"}`},
		{22, "named like native, said as it is written", nil, map[string]any{"version_name": "1.2", "version_build": "1.2"},
			`{"error":"no_new_version_available","message":%q,"version":"1.2","kind":"up_to_date"}`},
		{35, "already on built-in, said as it is written", func(r *rig) { r.release("") }, map[string]any{"version_name": "1.0", "version_build": "1.0"},
			`{"error":"already_on_builtin","message":%q,"version":"1.0","kind":"up_to_date"}`},
		{35, "already on built-in, said as builtin", func(r *rig) { r.release("") }, map[string]any{"version_name": "builtin"},
			`{"error":"already_on_builtin","message":%q,"version":"builtin","kind":"up_to_date"}`},
		{23, "platform off, back to built-in", func(r *rig) {
			r.release("")
			r.channel(0).Platforms, r.channel(0).Default = 1, 1
			r.overlay.Pin = "production"
		}, nil,
			`{"error":"disabled_platform_android","message":%q,"version":"builtin","old":"1.1.0","kind":"blocked"}`},
		{22, "named like native, said as builtin", nil, map[string]any{"version_name": "builtin", "version_build": "1.2.0"},
			`{"error":"no_new_version_available","message":%q,"version":"builtin","kind":"up_to_date"}`},
		{23, "platform off", func(r *rig) { r.channel(0).Platforms, r.channel(0).Default = 1, 1; r.overlay.Pin = "production" }, nil,
			`{"error":"disabled_platform_android","message":%q,"version":"1.2.0","old":"1.1.0","kind":"blocked"}`},
		{24, "major", nil, map[string]any{"version_build": "0.9.0"},
			`{"error":"disable_auto_update_to_major","message":%q,"version":"1.2.0","major":true,"old":"0.9.0","kind":"blocked"}`},
		{26, "minor", func(r *rig) { r.channel(0).Policy = capstan.PolicyMinor }, nil,
			`{"error":"disable_auto_update_to_minor","message":%q,"version":"1.2.0","major":true,"old":"1.0.0","kind":"blocked"}`},
		{27, "patch", func(r *rig) { r.channel(0).Policy = capstan.PolicyPatch }, nil,
			`{"error":"disable_auto_update_to_patch","message":%q,"version":"1.2.0","major":true,"old":"1.0.0","kind":"blocked"}`},
		{28, "no minimum", func(r *rig) { r.channel(0).Policy = capstan.PolicyMetadata }, nil,
			`{"error":"misconfigured_channel","message":%q,"version":"1.2.0","old":"1.0.0","kind":"failed"}`},
		{29, "below minimum", func(r *rig) { r.bundle().NativeMin = map[capstan.Platform]string{capstan.Android: "1.1.0"} }, map[string]any{"version_build": "1"},
			`{"error":"disable_auto_update_to_metadata","message":%q,"version":"1.2.0","major":true,"old":"1.0.0","kind":"blocked"}`},
		{30, "under native", nil, map[string]any{"version_build": "v1.3"},
			`{"error":"disable_auto_update_under_native","message":%q,"version":"1.2.0","old":"1.1.0","kind":"blocked"}`},
		{31, "prod", func(r *rig) { r.channel(0).Prod = false }, nil, `{"error":"disable_prod_build","message":%q,"version":"1.2.0","old":"1.1.0","kind":"blocked"}`},
		{31, "prod is assumed", func(r *rig) { r.channel(0).Prod = false }, map[string]any{"is_prod": nil},
			`{"error":"disable_prod_build","message":%q,"version":"1.2.0","old":"1.1.0","kind":"blocked"}`},
		{32, "dev", func(r *rig) { r.channel(0).Dev = false }, map[string]any{"is_prod": false},
			`{"error":"disable_dev_build","message":%q,"version":"1.2.0","old":"1.1.0","kind":"blocked"}`},
		{33, "device", func(r *rig) { r.channel(0).Device = false }, nil, `{"error":"disable_device","message":%q,"version":"1.2.0","old":"1.1.0","kind":"blocked"}`},
		{34, "emulator", func(r *rig) { r.channel(0).Emulator = false }, map[string]any{"is_emulator": true},
			`{"error":"disable_emulator","message":%q,"version":"1.2.0","old":"1.1.0","kind":"blocked"}`},
		{35, "already on built-in", func(r *rig) { r.release("") }, map[string]any{"version_name": "1.0.0"},
			`{"error":"already_on_builtin","message":%q,"version":"1.0.0","kind":"up_to_date"}`},
		{36, "plugin cannot go back", func(r *rig) { r.release("") }, map[string]any{"plugin_version": "6.1.9"},
			`{"error":"revert_to_builtin_plugin_version_too_old","message":%q,"kind":"failed"}`},
		{37, "no form", func(r *rig) { r.bundle().Archive = "" }, map[string]any{"plugin_version": "5.9.5"}, `{"error":"no_bundle_url","message":%q,"kind":"failed"}`},
		{0, "nothing released", func(r *rig) { r.state.Releases = nil }, nil, `{"error":"no_new_version_available","message":%q,"version":"1.1.0","kind":"up_to_date"}`},
		{0, "outside the rollout", func(r *rig) { r.state.Releases[0].ShareBP = 0 }, nil, `{"error":"no_new_version_available","message":%q,"version":"1.1.0","kind":"up_to_date"}`},
		{0, "paused", func(r *rig) { r.state.Releases[0].Paused = true }, nil, `{"error":"no_new_version_available","message":%q,"version":"1.1.0","kind":"up_to_date"}`},
		{0, "failed before", func(r *rig) { r.overlay.Failures = []capstan.Failure{{Version: "1.2.0", Release: 1}} }, nil,
			`{"error":"no_new_version_available","message":%q,"version":"1.1.0","kind":"up_to_date"}`},
		{0, "Electron, nothing earlier", func(r *rig) { r.end(1); r.release("") }, map[string]any{"platform": "electron", "plugin_version": "0.0.1"},
			`{"error":"no_new_version_available","message":%q,"version":"1.1.0","kind":"up_to_date"}`},
	}
	for _, tt := range tests {
		r := newRig()
		if tt.edit != nil {
			tt.edit(r)
		}
		for _, path := range []string{"/updates", "/plugin/updates"} {
			status, body, _ := ask(t, r.handler(t), http.MethodPost, path, info(tt.info))
			var got struct{ Message string }
			if err := json.Unmarshal([]byte(body), &got, json.MatchCaseInsensitiveNames(true)); err != nil || got.Message == "" {
				t.Errorf("%d %s: %s: %v", tt.row, tt.name, body, err)
			}
			if want := fmt.Sprintf(tt.want, got.Message); status != http.StatusOK || body != want {
				t.Errorf("%d %s:\n got %d %s\nwant 200 %s", tt.row, tt.name, status, body, want)
			}
		}
		if len(r.seen) != 2 || r.seen[0].Decision.Reason.Outcome() != r.seen[0].Decision.Outcome {
			t.Errorf("%s: %d sightings", tt.name, len(r.seen))
		}
	}
}

func TestEveryReasonHasAWord(t *testing.T) {
	t.Parallel()
	for _, e := range capstan.Reasons {
		_, has := refusals[e.Reason]
		want := e.Outcome != capstan.Offer && e.Outcome != capstan.Builtin && e.Reason != capstan.ReasonAppUnknown
		if has != want {
			t.Errorf("reason %s has a refusal: %t, want %t", e.Reason, has, want)
		}
	}
}

func TestBuiltinIsExactlyOneKey(t *testing.T) {
	t.Parallel()
	release := newRig()
	release.release("")
	withdrawn := newRig()
	withdrawn.end(1)
	for name, r := range map[string]*rig{"a release": release, "withdrawn": withdrawn} {
		status, body, _ := ask(t, r.handler(t), http.MethodPost, "/updates", info(map[string]any{"version_name": "1.2.0"}))
		if status != 200 || body != `{"version":"builtin"}` {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

// The form of an offer by plugin, at the boundaries of device-clients.md §13.
func TestOfferByPluginVersion(t *testing.T) {
	t.Parallel()
	const zip, crc, delta = "zip sha256", "zip crc32", "delta sha256"
	tests := map[string]string{
		"5.0.0": crc, "5.9.5": crc, "5.10.0": delta, "5.50.1": delta,
		"6.0.0": crc, "6.14.27": crc, "6.14.28": zip, "6.24.9": zip, "6.25.0": delta, "6.51.16": delta,
		"7.0.0": crc, "7.0.1": crc, "7.0.2": zip, "7.24.9": zip, "7.25.0": delta, "7.51.21": delta,
		"8.0.0": delta, "8.51.22": delta, "8.51.23": delta, "8.51.23-beta.1": delta,
		"9.0.0": crc, "10.0.0": crc, "11.0.0": zip, "0.0.1": zip,
	}
	h := newRig().handler(t)
	for version, want := range tests {
		for _, platform := range []string{"ios", "android"} {
			_, body, _ := ask(t, h, http.MethodPost, "/updates", info(map[string]any{"plugin_version": version, "platform": platform}))
			if got := form(t, body); got != want {
				t.Errorf("%s %s is offered %q, want %q", platform, version, got, want)
			}
		}
	}
	_, body, _ := ask(t, h, http.MethodPost, "/updates", info(map[string]any{"plugin_version": "0.0.1", "platform": "electron", "custom_id": null{}}))
	if got := form(t, body); got != zip {
		t.Errorf("Electron is offered %q, want %q", got, zip)
	}
}

// form says in which form an offer came, after holding it to the rules that no
// offer may break (device-clients.md §3.2, §3.4, §12).
func form(t *testing.T, body string) string {
	t.Helper()
	var offer map[string]any
	if err := json.Unmarshal([]byte(body), &offer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, key := range []string{"error", "kind", "message", "breaking"} {
		if _, there := offer[key]; there {
			t.Errorf("offer has the key %s: %s", key, body)
		}
	}
	if strings.Contains(body, "null") {
		t.Errorf("offer holds a null: %s", body)
	}
	if url, _ := offer["url"].(string); !strings.HasPrefix(url, public+"/blobs/") {
		t.Errorf("offer without an absolute url: %s", body)
	}
	if offer["session_key"] != "" || offer["version"] != "1.2.0" {
		t.Errorf("offer %s", body)
	}
	name := "zip"
	if m, there := offer["manifest"]; there {
		if list, ok := m.([]any); !ok || len(list) == 0 {
			t.Errorf("offer with an empty manifest: %s", body)
		}
		name = "delta"
	}
	switch offer["checksum"] {
	case string(capstan.DigestOf([]byte("1.2.0"))):
		return name + " sha256"
	case "0badcafe":
		return name + " crc32"
	}
	return name + " without checksum"
}

func TestManifestNamesAreLiteralAndBrotliHasASuffix(t *testing.T) {
	t.Parallel()
	r := newRig()
	_, body, _ := ask(t, r.handler(t), http.MethodPost, "/updates", info(nil))
	var offer struct {
		Manifest []map[string]string `json:"manifest"`
	}
	if err := json.Unmarshal([]byte(body), &offer, json.RejectUnknownMembers(false)); err != nil {
		t.Fatal(err)
	}
	files := r.state.Files["id-1.2.0"]
	want := []map[string]string{
		{"file_name": "index.html", "file_hash": string(files[0].Digest), "download_url": public + "/blobs/" + string(files[0].Blob)},
		{"file_name": "äpp #1?.js.br", "file_hash": string(files[1].Digest), "download_url": public + "/blobs/" + string(files[1].Blob)},
	}
	if fmt.Sprint(offer.Manifest) != fmt.Sprint(want) {
		t.Errorf("manifest\n got %v\nwant %v", offer.Manifest, want)
	}
}

func TestMetadataIsSentToWhoCanReadIt(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.state.App.ExposeMetadata, r.bundle().Link, r.bundle().Comment = true, "https://example.com/1", `say "hi"`
	for version, want := range map[string]bool{
		"5.34.9": false, "5.35.0": true, "6.34.9": false, "6.35.0": true, "7.34.9": false, "7.35.0": true, "8.34.9": false, "8.35.0": true, "10.0.0": false,
	} {
		_, body, _ := ask(t, r.handler(t), http.MethodPost, "/updates", info(map[string]any{"plugin_version": version}))
		if got := strings.Contains(body, `"link":"https://example.com/1","comment":"say \"hi\""`); got != want {
			t.Errorf("plugin %s gets metadata: %t, want %t: %s", version, got, want, body)
		}
	}
}

func TestKeyMismatchIsToldAbove8407(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.bundle().KeyID = "B"
	for version, told := range map[string]bool{"8.40.7": false, "8.40.8": true, "8.51.23": true, "7.51.21": false, "9.0.0": false, "10.0.0": false} {
		_, body, _ := ask(t, r.handler(t), http.MethodPost, "/updates", info(map[string]any{"plugin_version": version, "key_id": "A"}))
		if got := strings.Contains(body, "key_id_mismatch"); got != told {
			t.Errorf("plugin %s is told: %t, want %t", version, got, told)
		}
	}
}

func TestUnknownAppIsNamedAndBlocked(t *testing.T) {
	t.Parallel()
	r := newRig()
	for _, call := range []struct{ method, path string }{{"POST", "/updates"}, {"POST", "/channel_self"}, {"PUT", "/channel_self"}, {"POST", "/updates/manifest_size"}} {
		status, body, _ := ask(t, r.handler(t), call.method, call.path, info(map[string]any{"app_id": "com.example.other", "channel": "beta"}))
		want := `{"error":"app_not_found","message":"This server has no app com.example.other","kind":"blocked"}`
		if call.path == "/channel_self" {
			want = `{"error":"app_not_found","message":"This server has no app com.example.other","status":"error","kind":"blocked"}`
		}
		if status != 200 || body != want {
			t.Errorf("%s %s: %d %s", call.method, call.path, status, body)
		}
	}
	if len(r.seen) != 0 {
		t.Errorf("an unknown app left %d sightings", len(r.seen))
	}
}

func TestStoreFailureIsNeverAnUnknownApp(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.fail = errors.New("the disk is on fire")
	event := info(map[string]any{"action": "set"})
	for _, call := range []struct {
		method, path string
		body         any
	}{
		{"POST", "/updates", info(nil)}, {"POST", "/updates/manifest_size", info(nil)}, {"POST", "/stats", event}, {"POST", "/stats", []any{event}},
		{"POST", "/channel_self", info(map[string]any{"channel": "beta"})}, {"PUT", "/channel_self", info(nil)},
		{"GET", "/channel_self?platform=ios&app_id=" + appID, nil},
	} {
		status, body, header := ask(t, r.handler(t), call.method, call.path, call.body)
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || strings.Contains(body, "app_not_found") {
			t.Errorf("%s %s: %d %s %v", call.method, call.path, status, body, header)
		}
	}
}

func TestBadBodies(t *testing.T) {
	t.Parallel()
	deep := `{"a":` + strings.Repeat("[", 6) + strings.Repeat("]", 6) + `}`
	tests := []struct {
		name string
		body any
		want string
	}{
		{"not JSON", `hello`, "invalid_json_parse_body"},
		{"empty", ``, "invalid_json_parse_body"},
		{"cut off", `{"app_id":"com.ex`, "invalid_json_parse_body"},
		{"null", `null`, "invalid_json_body"},
		{"array", `[]`, "invalid_json_body"},
		{"empty object", `{}`, "invalid_json_body"},
		{"unknown fields alone", `{"x":1}`, "missing_device_id"},
		{"device before a wrong type", `{"platform":7}`, "missing_device_id"},
		{"semver error before a wrong type", info(map[string]any{"version_build": "x", "platform": 7}), "semver_error"},
		{"app id is null", info(map[string]any{"app_id": null{}}), "missing_app_id"},
		{"device id is null", info(map[string]any{"device_id": null{}}), "missing_device_id"},
		{"NUL in a name", info(map[string]any{"version_name": "1\x000"}), "invalid_json_body"},
		{"twice the same field", `{"app_id":"com.example.app","app_id":"com.example.other"}`, "invalid_json_parse_body"},
		{"native version with a space", info(map[string]any{"version_build": "1.2.3 (4)"}), "semver_error"},
		{"no device", info(map[string]any{"device_id": nil}), "missing_device_id"},
		{"no app", info(map[string]any{"app_id": nil}), "missing_app_id"},
		{"device before app", info(map[string]any{"app_id": nil, "device_id": nil}), "missing_device_id"},
		{"device id is a number", info(map[string]any{"device_id": 7}), "invalid_json_body"},
		{"device id is no UUID", info(map[string]any{"device_id": "phone"}), "invalid_json_body"},
		{"app id is no domain", info(map[string]any{"app_id": "app"}), "invalid_json_body"},
		{"native version of four parts", info(map[string]any{"version_build": "1.2.3.4"}), "semver_error"},
		{"native version is a word", info(map[string]any{"version_build": "latest"}), "semver_error"},
		{"semver error before the schema", info(map[string]any{"version_build": "x", "platform": "tv"}), "semver_error"},
		{"no native version", info(map[string]any{"version_build": ""}), "invalid_json_body"},
		{"no version name", info(map[string]any{"version_name": nil}), "invalid_json_body"},
		{"version name is null", info(map[string]any{"version_name": null{}}), "invalid_json_body"},
		{"version name of 129 bytes", info(map[string]any{"version_name": strings.Repeat("1", 129)}), "invalid_json_body"},
		{"unknown platform", info(map[string]any{"platform": "tv"}), "invalid_json_body"},
		{"plugin version is no version", info(map[string]any{"plugin_version": "eight"}), "invalid_json_body"},
		{"no plugin version", info(map[string]any{"plugin_version": nil}), "invalid_json_body"},
		{"is_prod is a string", info(map[string]any{"is_prod": "true"}), "invalid_json_body"},
		{"install source of 65 bytes", info(map[string]any{"install_source": strings.Repeat("s", 65)}), "invalid_json_body"},
		{"key id of 21 characters", info(map[string]any{"key_id": strings.Repeat("k", 21)}), "invalid_json_body"},
		{"nested six deep", deep, "invalid_json_body"},
		{"16 KiB and more", info(map[string]any{"x": strings.Repeat("x", 16<<10)}), "invalid_json_body"},
	}
	r := newRig()
	h := r.handler(t)
	for _, tt := range tests {
		status, body, _ := ask(t, h, http.MethodPost, "/updates", tt.body)
		if status != http.StatusBadRequest || !strings.HasPrefix(body, `{"error":"`+tt.want+`",`) || !strings.Contains(body, `"moreInfo":{`) {
			t.Errorf("%s: %d %s, want 400 %s", tt.name, status, body, tt.want)
		}
	}
	if len(r.seen) != 0 {
		t.Errorf("bad bodies left %d sightings", len(r.seen))
	}
}

func TestLenientBodies(t *testing.T) {
	t.Parallel()
	tests := map[string]map[string]any{
		"custom id null":             {"custom_id": null{}},
		"no custom id":               {"custom_id": nil},
		"channel null":               {"defaultChannel": null{}},
		"upper-case device id":       {"device_id": strings.ToUpper(deviceID)},
		"unknown fields":             {"future": map[string]any{"a": 1}},
		"install source absent":      {"install_source": nil},
		"native version of one part": {"version_build": "1"},
		"native version with a v":    {"version_build": "v1.0"},
		"empty build number":         {"version_code": ""},
	}
	r := newRig()
	h := r.handler(t)
	for name, change := range tests {
		status, body, _ := ask(t, h, http.MethodPost, "/updates", info(change))
		if status != 200 || !strings.Contains(body, `"version":"1.2.0","url"`) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	for _, s := range r.seen {
		if s.Device.ID.String() != deviceID || s.Device.NativeVersion != "1.0.0" || s.Device.Platform != capstan.Android || !s.Device.LastSeen.Equal(at) {
			t.Errorf("sighting %+v", s.Device)
		}
	}
}

func TestOffersAreCompressedForWhoAsks(t *testing.T) {
	t.Parallel()
	h := newRig().handler(t)
	_, plain, header := ask(t, h, http.MethodPost, "/updates", info(nil))
	if header.Get("Content-Encoding") != "" || header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("headers without Accept-Encoding: %v", header)
	}
	for accept, want := range map[string]string{
		"gzip": "gzip", "gzip, deflate, br": "gzip", "br;q=1.0, gzip;q=0.9": "gzip", "*": "gzip", "GZIP": "gzip",
		"gzip;q=0": "", "identity": "", "br": "", "gzip; q=0.000": "",
	} {
		_, body, header := ask(t, h, http.MethodPost, "/updates", info(nil), "Accept-Encoding", accept)
		if got := header.Get("Content-Encoding"); got != want || body != plain {
			t.Errorf("Accept-Encoding %q gives Content-Encoding %q, want %q", accept, got, want)
		}
	}
}

func TestManifestSize(t *testing.T) {
	t.Parallel()
	r := newRig()
	files := r.state.Files["id-1.2.0"]
	entry := func(name, hash string) map[string]any {
		return map[string]any{"file_name": name, "file_hash": hash, "download_url": "https://x/" + name}
	}
	body := info(map[string]any{"version": "1.2.0", "manifest": []any{
		entry("index.html", string(files[0].Digest)), entry("a.js.br", string(files[1].Digest)), entry("a.js.br", string(files[1].Digest)),
		entry("unknown", string(capstan.DigestOf([]byte("?")))), entry("no hash", ""),
	}})
	status, got, _ := ask(t, r.handler(t), http.MethodPost, "/updates/manifest_size", body)
	want := `{"totalSize":82,"knownFiles":2,"unknownFiles":1,"files":[` +
		`{"file_name":"index.html","file_hash":"` + string(files[0].Digest) + `","download_url":"https://x/index.html","size":5},` +
		`{"file_name":"a.js.br","file_hash":"` + string(files[1].Digest) + `","download_url":"https://x/a.js.br","size":77},` +
		`{"file_name":"unknown","file_hash":"` + string(capstan.DigestOf([]byte("?"))) + `","download_url":"https://x/unknown","error":"size_unknown"}]}`
	if status != 200 || got != want {
		t.Errorf("got  %d %s\nwant 200 %s", status, got, want)
	}
	r.bundle().State = capstan.BundleGone
	if _, got, _ = ask(t, r.handler(t), http.MethodPost, "/updates/manifest_size", body); !strings.HasPrefix(got, `{"totalSize":0,"knownFiles":0,"unknownFiles":3,`) {
		t.Errorf("sizes of a bundle whose bytes are gone: %s", got)
	}
	status, got, _ = ask(t, r.handler(t), http.MethodPost, "/updates/manifest_size", info(map[string]any{"x": strings.Repeat("x", 4<<20)}))
	if status != 400 || !strings.Contains(got, "too large") {
		t.Errorf("a body above 4 MiB: %d %s", status, got)
	}
}

func TestPlainGets(t *testing.T) {
	t.Parallel()
	h := newRig().handler(t)
	for _, path := range []string{"/updates", "/stats", "/ok", "/plugin/updates", "/plugin/stats", "/plugin/ok"} {
		if status, body, _ := ask(t, h, http.MethodGet, path, nil); status != 200 || body != `{"status":"ok"}` {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
	if status, body, _ := ask(t, h, http.MethodGet, "/nowhere", nil); status != 404 || !strings.Contains(body, "not_found") {
		t.Errorf("GET /nowhere: %d %s", status, body)
	}
}

// What is explained is what is sent.
func TestAnswerIsWhatTheDeviceGets(t *testing.T) {
	t.Parallel()
	raw := text(t, info(nil))
	asked, err := AskedByBody([]byte(raw), appID)
	if err != nil || asked.Device.String() != deviceID {
		t.Fatalf("AskedByBody = %+v, %v", asked, err)
	}
	if _, err := AskedByBody([]byte(`{"platform":"tv"}`), appID); capstan.CodeOf(err) != capstan.CodeInvalid {
		t.Errorf("a bad query gives %v, want code invalid", err)
	}
}
