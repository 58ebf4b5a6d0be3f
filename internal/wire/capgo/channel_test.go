package capgo

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

func TestSetChannel(t *testing.T) {
	t.Parallel()
	const okay, allowed = `{"status":"ok"}`, `{"status":"ok","allowSet":true}`
	tests := []struct {
		name string
		edit func(*rig)
		info map[string]any
		want string // a prefix
		pins []string
	}{
		{"may be chosen", nil, map[string]any{"channel": "beta"}, allowed, nil},
		{"no channel", nil, nil, `{"error":"missing_channel"`, nil},
		{"unknown", nil, map[string]any{"channel": "nowhere"}, `{"error":"channel_not_found"`, nil},
		{"may not be chosen", nil, map[string]any{"channel": "staff"}, `{"error":"channel_self_set_not_allowed"`, nil},
		{"platform off", func(r *rig) { r.channel(1).Platforms = 1 }, map[string]any{"channel": "beta"}, `{"error":"disabled_platform_android"`, nil},
		{"the default", nil, map[string]any{"channel": "production"}, `{"status":"ok","unset":true`, nil},
		{"the default, 8.42.5", nil, map[string]any{"channel": "production", "plugin_version": "8.42.5"}, `{"error":"public_channel_self_set_not_allowed"`, nil},
		{"the default, 8.42.6", nil, map[string]any{"channel": "production", "plugin_version": "8.42.6"}, `{"status":"ok","unset":true`, nil},
		{"7.33.9 needs the server", nil, map[string]any{"channel": "beta", "plugin_version": "7.33.9"}, `{"error":"channel_self_server_storage_unavailable"`, nil},
		{"7.33.9, allowed", func(r *rig) { r.state.App.SelfSet = true }, map[string]any{"channel": "beta", "plugin_version": "7.33.9"}, okay, []string{"beta"}},
		{"7.34.0 keeps it", func(r *rig) { r.state.App.SelfSet = true }, map[string]any{"channel": "beta", "plugin_version": "7.34.0"}, allowed, nil},
		{"10.0.0 is old", func(r *rig) { r.state.App.SelfSet = true }, map[string]any{"channel": "beta", "plugin_version": "10.0.0"}, okay, []string{"beta"}},
		{"old, back to the default", selfPinned, map[string]any{"channel": "production", "plugin_version": "6.33.0"}, okay, []string{""}},
		{"old, back to the default although the app forbids it now", func(r *rig) { selfPinned(r); r.state.App.SelfSet = false },
			map[string]any{"channel": "production", "plugin_version": "6.33.0"}, okay, []string{""}},
		{"old, the default without a choice before", nil, map[string]any{"channel": "production", "plugin_version": "6.33.0"}, okay, nil},
		{"old, the same again", selfPinned, map[string]any{"channel": "beta", "plugin_version": "6.33.0"}, okay, nil},
		{"once the default", func(r *rig) { r.channel(2).FormerDefault = capstan.AllPlatforms }, map[string]any{"channel": "staff"}, `{"status":"ok","unset":true`, nil},
		{"once the default of another platform", func(r *rig) { r.channel(2).FormerDefault = capstan.NewPlatformSet(capstan.IOS) },
			map[string]any{"channel": "staff"}, `{"error":"channel_self_set_not_allowed"`, nil},
		{"the default of another platform", func(r *rig) { r.channel(0).Default = capstan.NewPlatformSet(capstan.IOS) },
			map[string]any{"channel": "production"}, `{"error":"public_channel_self_set_not_allowed"`, nil},
		{"channel is a number", nil, map[string]any{"channel": 7}, "400", nil},
		{"no device", nil, map[string]any{"channel": "beta", "device_id": nil}, "400", nil},
		{"4.61.10 is old", func(r *rig) { r.state.App.SelfSet = true }, map[string]any{"channel": "beta", "plugin_version": "4.61.10"}, okay, []string{"beta"}},
		{"9.0.0 is old", func(r *rig) { r.state.App.SelfSet = true }, map[string]any{"channel": "beta", "plugin_version": "9.0.0"}, okay, []string{"beta"}},
		{"8.0.0 keeps it", func(r *rig) { r.state.App.SelfSet = true }, map[string]any{"channel": "beta", "plugin_version": "8.0.0"}, allowed, nil},
		{"old, tied by an operator", func(r *rig) {
			r.state.App.SelfSet = true
			r.overlay = decide.Overlay{Pin: "staff", PinKind: capstan.PinOperator}
		}, map[string]any{"channel": "beta", "plugin_version": "6.33.0"}, `{"error":"cannot_override"`, nil},
		{"no plugin version", nil, map[string]any{"channel": "beta", "plugin_version": nil}, allowed, nil},
		{"running built-in by Electron", nil, map[string]any{"platform": "electron", "plugin_version": "0.0.1", "channel": "beta", "action": "set", "version_name": ""}, allowed, nil},
		{"unset by Electron", nil, map[string]any{"platform": "electron", "plugin_version": "0.0.1", "action": "unset", "version_name": ""}, okay, nil},
	}
	for _, tt := range tests {
		r := newRig()
		if tt.edit != nil {
			tt.edit(r)
		}
		status, body, _ := ask(t, r.handler(t), http.MethodPost, "/channel_self", info(tt.info))
		if tt.want == "400" {
			if status != 400 || len(r.pins) > 0 {
				t.Errorf("%s: %d %s, pins %q", tt.name, status, body, r.pins)
			}
			continue
		}
		if status != 200 || len(body) < len(tt.want) || body[:len(tt.want)] != tt.want {
			t.Errorf("%s: %d %s, want %s…", tt.name, status, body, tt.want)
		}
		if !slices.Equal(r.pins, tt.pins) {
			t.Errorf("%s: pins %q, want %q", tt.name, r.pins, tt.pins)
		}
		// Electron stores the channel of an answer whose status is absent or ok,
		// even beside an error.
		if k := keys(t, body); slices.Contains(k, "error") != (len(body) > 9 && slices.Contains(k, "status") && !contains(body, `"status":"ok"`)) {
			t.Errorf("%s: error and status do not agree: %s", tt.name, body)
		}
	}
}

// selfPinned is a device whose legacy plugin chose beta.
func selfPinned(r *rig) {
	r.state.App.SelfSet = true
	r.overlay = decide.Overlay{Pin: "beta", PinKind: capstan.PinSelf}
}

func contains(s, part string) bool { return strings.Contains(s, part) }

func TestUnsetChannel(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]struct {
		target string
		body   any
		edit   func(*rig)
		want   string
		pins   []string
	}{
		"old, with a body":       {"/channel_self", info(map[string]any{"plugin_version": "7.33.4"}), selfPinned, `{"status":"ok"}`, []string{""}},
		"old, by query":          {"/channel_self?platform=android&device_id=" + deviceID + "&app_id=" + appID + "&plugin_version=6.14.36", nil, selfPinned, `{"status":"ok"}`, []string{""}},
		"old, nothing to unset":  {"/channel_self", info(map[string]any{"plugin_version": "7.33.4"}), nil, `{"error":"cannot_override"`, nil},
		"old, tied by operator":  {"/channel_self", info(map[string]any{"plugin_version": "7.33.4"}), func(r *rig) { r.overlay = decide.Overlay{Pin: "staff", PinKind: capstan.PinOperator} }, `{"error":"cannot_override"`, nil},
		"new, never needed":      {"/channel_self", info(nil), selfPinned, `{"status":"ok"}`, nil},
		"neither body nor query": {"/channel_self", nil, nil, `{"error":"invalid_query_parameters"`, nil},
	} {
		r := newRig()
		if call.edit != nil {
			call.edit(r)
		}
		status, body, _ := ask(t, r.handler(t), http.MethodDelete, call.target, call.body)
		if (status != 200) != strings.Contains(call.want, "invalid") || !strings.HasPrefix(body, call.want) || !slices.Equal(r.pins, call.pins) {
			t.Errorf("%s: %d %s, pins %q", name, status, body, r.pins)
		}
	}
}

// A plugin keeps what PUT names for ever, so it must be what decisions use.
func TestGetChannelNamesOnlyWhatDecisionsUse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		edit   func(*rig)
		info   map[string]any
		status int
		want   string
	}{
		{"the default", nil, nil, 200, `{"channel":"production","status":"default","allowSet":true}`},
		{"a chosen one", nil, map[string]any{"defaultChannel": "beta"}, 200, `{"channel":"beta","status":"default","allowSet":true}`},
		{"a pin", func(r *rig) { r.overlay = decide.Overlay{Pin: "staff", PinKind: capstan.PinOperator} }, map[string]any{"defaultChannel": "beta"}, 200,
			`{"channel":"staff","status":"override","allowSet":false}`},
		{"a pin of its own", selfPinned, map[string]any{"plugin_version": "6.14.36"}, 200, `{"channel":"beta","status":"override","allowSet":true}`},
		{"a pin to a channel that is gone", func(r *rig) { r.overlay = decide.Overlay{Pin: "gone", PinKind: capstan.PinSelf} }, nil, 200,
			`{"channel":"production","status":"default","allowSet":true}`},
		{"an old plugin that may not choose", nil, map[string]any{"plugin_version": "6.14.36"}, 200, `{"channel":"production","status":"default","allowSet":false}`},
		{"a bad name", nil, map[string]any{"defaultChannel": "nowhere"}, 400, `{"error":"channel_not_found","message":"There is no channel for this device","status":"error"}`},
		{"no default", func(r *rig) { r.channel(0).Default = 1 }, nil, 400, `{"error":"channel_not_found","message":"There is no channel for this device","status":"error"}`},
		{"a former default", func(r *rig) { r.channel(2).FormerDefault = capstan.AllPlatforms }, map[string]any{"defaultChannel": "staff"}, 200,
			`{"channel":"production","status":"default","allowSet":true}`},
	}
	for _, tt := range tests {
		r := newRig()
		if tt.edit != nil {
			tt.edit(r)
		}
		h := r.handler(t)
		if status, body, _ := ask(t, h, http.MethodPut, "/channel_self", info(tt.info)); status != tt.status || body != tt.want {
			t.Errorf("%s: %d %s, want %d %s", tt.name, status, body, tt.status, tt.want)
		}
	}
}

func query(changes map[string]string) string {
	v := url.Values{
		"platform": {"android"}, "device_id": {deviceID}, "app_id": {appID}, "plugin_version": {"8.51.23"}, "is_prod": {"true"}, "is_emulator": {"false"},
		"version_build": {"1.0.0"}, "version_name": {"1.1.0"},
	}
	for k, s := range changes {
		v.Set(k, s)
		if s == "" {
			v.Del(k)
		}
	}
	return "/channel_self?" + v.Encode()
}

func TestListChannels(t *testing.T) {
	t.Parallel()
	const (
		numbers = `[{"id":2,"name":"beta","public":false,"allow_self_set":true},{"id":1,"name":"production","public":true,"allow_self_set":false}]`
		texts   = `[{"id":"2","name":"beta","public":false,"allow_self_set":true},{"id":"1","name":"production","public":true,"allow_self_set":false}]`
	)
	tests := []struct {
		name string
		edit func(*rig)
		q    map[string]string
		want string
	}{
		{"8.47.7", nil, map[string]string{"plugin_version": "8.47.7"}, numbers},
		{"8.47.6", nil, map[string]string{"plugin_version": "8.47.6"}, texts},
		{"7.50.0", nil, map[string]string{"plugin_version": "7.50.0"}, texts},
		{"7.50.1", nil, map[string]string{"plugin_version": "7.50.1", "platform": "ios"}, numbers},
		{"6.50.1", nil, map[string]string{"plugin_version": "6.50.1"}, numbers},
		{"5.50.1", nil, map[string]string{"plugin_version": "5.50.1"}, numbers},
		{"10.0.0", nil, map[string]string{"plugin_version": "10.0.0"}, texts},
		{"no plugin version, no device", nil, map[string]string{"plugin_version": "", "device_id": ""}, texts},
		{"nothing for development builds", func(r *rig) { r.channel(0).Dev, r.channel(1).Dev = false, false }, map[string]string{"is_prod": "false"}, `[]`},
		{"nothing for emulators", func(r *rig) { r.channel(0).Emulator, r.channel(1).Emulator = false, false }, map[string]string{"is_emulator": "true"}, `[]`},
		{"not of another platform", func(r *rig) { r.channel(1).Platforms = 1 }, nil, `[{"id":1,"name":"production","public":true,"allow_self_set":false}]`},
		{"Electron list", nil, map[string]string{"platform": "electron", "plugin_version": "0.0.1", "action": "list"}, `{"channels":` + numbers + `}`},
		{"Electron get", nil, map[string]string{"platform": "electron", "plugin_version": "0.0.1"}, `{"channel":"production","status":"default","allow_set":true}`},
	}
	for _, tt := range tests {
		r := newRig()
		if tt.edit != nil {
			tt.edit(r)
		}
		if status, body, _ := ask(t, r.handler(t), http.MethodGet, query(tt.q), nil); status != 200 || body != tt.want {
			t.Errorf("%s: %d %s\nwant %s", tt.name, status, body, tt.want)
		}
	}
	if status, body, _ := ask(t, newRig().handler(t), http.MethodGet, query(map[string]string{"is_prod": "yes"}), nil); status != 400 {
		t.Errorf("is_prod=yes: %d %s", status, body)
	}
	if status, body, _ := ask(t, newRig().handler(t), http.MethodGet, "/channel_self", nil); status != 400 || !contains(body, "invalid_query_parameters") {
		t.Errorf("no query: %d %s", status, body)
	}
}
