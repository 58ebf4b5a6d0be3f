package capgo

import (
	"encoding/json/v2"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
)

func event(changes map[string]any) map[string]any {
	m := info(map[string]any{"action": "set", "old_version_name": "1.0.0", "version_name": "1.2.0", "timestamp": 1765000000000})
	for k, v := range changes {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	return m
}

// All of device-clients.md §5.4, and one that nobody has sent yet.
var actions = strings.Fields(`app_launch_start app_launch_ready app_launch_timeout app_moved_to_foreground app_moved_to_background
	blocked_by_server_url set_next set set_fail reset delete update_fail download_10 download_90 download_complete download_zip_start
	download_zip_complete download_manifest_start download_manifest_complete download_manifest_file_fail download_manifest_checksum_fail
	download_manifest_brotli_fail manifest_path_fail download_fail finish_download_fail checksum_fail checksum_required session_key_required
	decrypt_fail unzip_fail windows_path_fail canonical_path_fail directory_path_fail insufficient_disk_space low_mem_fail rate_limit_reached
	os_version_changed native_app_version_changed app_crash app_crash_native app_anr app_killed_low_memory
	app_killed_excessive_resource_usage app_initialization_failure app_memory_warning webview_javascript_error webview_unhandled_rejection
	webview_resource_error webview_security_policy_violation webview_unclean_restart webview_dom_content_loaded webview_page_loaded
	webview_render_process_gone webview_content_process_terminated backend_refusal ping get uninstall something_of_next_year`)

func TestEveryActionIsKept(t *testing.T) {
	t.Parallel()
	for _, shape := range []string{"object", "array"} {
		r := newRig()
		h := r.handler(t)
		for _, action := range actions {
			var body any = event(map[string]any{"action": action})
			if shape == "array" {
				body = []any{body}
			}
			if status, answer, _ := ask(t, h, http.MethodPost, "/stats", body); status != 200 || strings.Contains(answer, "error") {
				t.Errorf("%s as %s: %d %s", action, shape, status, answer)
			}
		}
		for i, e := range r.events {
			if e.Action != actions[i] || e.Version != "1.2.0" || e.OldVersion != "1.0.0" || e.App != appID || !e.At.Equal(time.UnixMilli(1765000000000)) {
				t.Errorf("kept %+v for %s", e, actions[i])
			}
		}
		if len(r.events) != len(actions) || len(actions) < 55 {
			t.Errorf("%s: kept %d of %d", shape, len(r.events), len(actions))
		}
	}
}

func TestShapesOfEvents(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change map[string]any
		check  func(capstan.Event) bool
	}{
		{"no version name", map[string]any{"version_name": nil, "action": "download_fail"}, func(e capstan.Event) bool { return e.Version == "" }},
		{"version and file", map[string]any{"version_name": "1.2.0:assets/a:b.js"}, func(e capstan.Event) bool { return e.Version == "1.2.0" && e.File == "assets/a:b.js" }},
		{"no timestamp", map[string]any{"timestamp": nil}, func(e capstan.Event) bool { return e.At.IsZero() && e.ReceivedAt.Equal(at) }},
		{"timestamp that is text", map[string]any{"timestamp": "soon"}, func(e capstan.Event) bool { return e.At.IsZero() }},
		{"timestamp with a fraction", map[string]any{"timestamp": 1765000000000.5}, func(e capstan.Event) bool { return e.At.UnixMilli() == 1765000000000 }},
		{"builtin by its old name", map[string]any{"version_name": "builtin", "version_build": "1.0"}, func(e capstan.Event) bool { return e.Version == "1.0.0" }},
		{"builtin without native version", map[string]any{"version_name": "builtin", "version_build": nil}, func(e capstan.Event) bool { return e.Version == "builtin" }},
		{"native version that is none", map[string]any{"version_build": "1.2.3.4"}, func(e capstan.Event) bool { return e.Native == "1.2.3.4" }},
		{"built-in by its new name", map[string]any{"version_name": "1.4", "version_build": "1.4"}, func(e capstan.Event) bool { return e.Version == "1.4.0" && e.Native == "1.4.0" }},
		{"built-in by Electron", map[string]any{"platform": "electron", "version_name": ""}, func(e capstan.Event) bool { return e.Version == "1.0.0" }},
		{"empty version name elsewhere", map[string]any{"version_name": ""}, func(e capstan.Event) bool { return e.Version == "" }},
		{"fields of the wrong type", map[string]any{"version_code": 7, "is_prod": "false", "custom_id": []any{}, "old_version_name": 1}, func(e capstan.Event) bool {
			return e.Action == "set" && !e.Prod && e.OldVersion == "1" && e.Version == "1.2.0"
		}},
		{"NUL, which PostgreSQL cannot store", map[string]any{"version_name": "a\x00b", "metadata": map[string]any{"x": "\x00"}}, func(e capstan.Event) bool {
			return e.Version == "a\uFFFDb" && e.Metadata == "{\"x\":\"\uFFFD\"}"
		}},
		{"timestamp before 1970", map[string]any{"timestamp": -1}, func(e capstan.Event) bool { return e.At.IsZero() }},
		{"timestamp after year 9999", map[string]any{"timestamp": 1e18}, func(e capstan.Event) bool { return e.At.IsZero() }},
		{"metadata of objects", map[string]any{"metadata": map[string]any{"o": map[string]any{"a": 1}}}, func(e capstan.Event) bool { return e.Metadata == `{"o":"{\"a\":1}"}` }},
		{"unknown action of 100 bytes", map[string]any{"action": strings.Repeat("a", 100)}, func(e capstan.Event) bool { return len(e.Action) == 64 }},
		{"metadata", map[string]any{"metadata": map[string]any{"b": "2", "a": "1"}}, func(e capstan.Event) bool { return e.Metadata == `{"a":"1","b":"2"}` }},
		{"metadata with a number and a null", map[string]any{"metadata": map[string]any{"n": 7, "x": null{}}}, func(e capstan.Event) bool { return e.Metadata == `{"n":"7"}` }},
		{"metadata that is a list", map[string]any{"metadata": []any{1}}, func(e capstan.Event) bool { return e.Metadata == "" }},
		{"metadata value of 5000 bytes", map[string]any{"metadata": map[string]any{"stack": strings.Repeat("s", 5000)}}, func(e capstan.Event) bool {
			return e.Metadata == `{"stack":"`+strings.Repeat("s", 2048)+`"}`
		}},
		{"message of Electron", map[string]any{"message": "boom", "bundle_id": "9f0c"}, func(e capstan.Event) bool { return e.Metadata == `{"bundle_id":"9f0c","message":"boom"}` }},
		{"custom id null", map[string]any{"custom_id": null{}}, func(e capstan.Event) bool { return e.Action == "set" }},
		{"platform of another world", map[string]any{"platform": "tv"}, func(e capstan.Event) bool { return e.Platform == "tv" }},
		{"version name of 1000 bytes", map[string]any{"version_name": strings.Repeat("v", 1000)}, func(e capstan.Event) bool { return len(e.Version) == 128 }},
	}
	for _, tt := range tests {
		r := newRig()
		status, answer, _ := ask(t, r.handler(t), http.MethodPost, "/stats", event(tt.change))
		if status != 200 || answer != `{"status":"ok"}` || len(r.events) != 1 || !tt.check(r.events[0]) {
			t.Errorf("%s: %d %s, kept %+v", tt.name, status, answer, r.events)
		}
	}
}

func TestMetadataIsBounded(t *testing.T) {
	t.Parallel()
	many := map[string]any{strings.Repeat("a", 65): "too long a key"}
	for i := range 40 {
		many[fmt.Sprintf("key%02d", i)] = "v"
	}
	r := newRig()
	ask(t, r.handler(t), http.MethodPost, "/stats", event(map[string]any{"metadata": many}))
	var kept map[string]string
	if err := json.Unmarshal([]byte(r.events[0].Metadata), &kept); err != nil || len(kept) != 30 || kept[strings.Repeat("a", 64)] == "" {
		t.Errorf("kept %d entries, want 30: %v", len(kept), err)
	}
}

// A 4xx would make the plugin throw the whole batch away.
func TestOneBadItemDoesNotLoseTheBatch(t *testing.T) {
	t.Parallel()
	r := newRig()
	batch := []any{
		event(nil), event(map[string]any{"app_id": nil}), event(map[string]any{"app_id": "com.example.other"}), event(map[string]any{"device_id": "x"}),
		event(map[string]any{"action": nil}), event(map[string]any{"action": 7}), 7, nil, "text", event(map[string]any{"x": []any{[]any{[]any{[]any{[]any{}}}}}}), event(map[string]any{"device_id": nil}),
		event(map[string]any{"action": "reset"}),
	}
	status, answer, _ := ask(t, r.handler(t), http.MethodPost, "/stats", batch)
	want := []string{"ok", "invalid_app_id", "app_not_found", "invalid_json_body", "invalid_json_body", "ok", "invalid_json_body", "invalid_json_body", "invalid_json_body", "ok", "missing_device_id", "ok"}
	var got struct {
		Status  string `json:"status"`
		Results []struct {
			Status, Error, Message string
			Index                  int
		} `json:"results"`
	}
	if err := json.Unmarshal([]byte(answer), &got, json.MatchCaseInsensitiveNames(true)); err != nil || status != 200 || got.Status != "ok" || len(got.Results) != len(want) {
		t.Fatalf("%d %s: %v", status, answer, err)
	}
	for i, res := range got.Results {
		if (want[i] == "ok") != (res.Status == "ok") || want[i] != "ok" && res.Error != want[i] || res.Index != i {
			t.Errorf("item %d: %+v, want %s", i, res, want[i])
		}
	}
	if len(r.events) != 4 {
		t.Errorf("kept %d events, want the four good ones", len(r.events))
	}
}

func TestBatchLimits(t *testing.T) {
	t.Parallel()
	var many []any
	for range 501 {
		many = append(many, event(nil))
	}
	r := newRig()
	status, answer, _ := ask(t, r.handler(t), http.MethodPost, "/stats", many)
	if status != 200 || len(r.events) != 500 || !strings.Contains(answer, `"dropped":1`) {
		t.Errorf("501 events: %d, kept %d, answer ends %q", status, len(r.events), answer[len(answer)-30:])
	}

	// 1 MiB is read: what came whole is kept.
	var large []any
	for range 400 {
		large = append(large, event(map[string]any{"metadata": map[string]any{"stack": strings.Repeat("s", 4000)}}))
	}
	r = newRig()
	status, answer, _ = ask(t, r.handler(t), http.MethodPost, "/stats", large)
	if status != 200 || len(r.events) < 200 || len(r.events) >= 400 || !strings.Contains(answer, `"dropped":`) {
		t.Errorf("1.7 MB: %d, kept %d", status, len(r.events))
	}
	for body, code := range map[string]string{
		`hello`: "invalid_json_parse_body", ``: "invalid_json_parse_body", `[{"a":1}`: "invalid_json_parse_body", `[] []`: "invalid_json_parse_body",
		`7`: "invalid_json_body", `"set"`: "invalid_json_body", `null`: "invalid_json_body",
	} {
		r := newRig()
		if status, answer, _ := ask(t, r.handler(t), http.MethodPost, "/stats", body); status != 400 || !strings.Contains(answer, code) || len(r.events) != 0 {
			t.Errorf("%q: %d %s", body, status, answer)
		}
	}
	if status, answer, _ := ask(t, newRig().handler(t), http.MethodPost, "/stats", `[]`); status != 200 || answer != `{"status":"ok","results":[]}` {
		t.Errorf("[]: %d %s", status, answer)
	}
}
