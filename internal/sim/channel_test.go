package sim

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// channelServer answers every channel call and keeps what came.
type channelServer struct {
	*testServer
	status int
	reply  string
	calls  []string // "METHOD query-or-body fields of interest"
	bodies []map[string]any
}

func newChannelServer(t *testing.T, status int, reply string) *channelServer {
	c := &channelServer{testServer: newServer(t), status: status, reply: reply}
	c.channel = func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			c.calls = append(c.calls, "GET "+r.URL.RawQuery)
			c.bodies = append(c.bodies, nil)
		} else {
			b := decodeBody(t, r)
			c.bodies = append(c.bodies, b)
			c.calls = append(c.calls, fmt.Sprintf("%s channel=%v action=%v", r.Method, b["channel"], b["action"]))
		}
		w.WriteHeader(c.status)
		fmt.Fprint(w, c.reply)
	}
	return c
}

func TestSetChannel(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, profile string
		status        int
		reply         string
		kept          string // what the device sends from then on
		err           string
	}{
		{"kept", "android@8.51.23", 200, `{"status":"ok"}`, "beta", ""},
		{"kept by 7.34", "ios@7.34.0", 200, `{"status":"ok"}`, "beta", ""},
		{"not kept by 7.33", "ios@7.33.4", 200, `{"status":"ok"}`, "from-config", ""},
		{"not kept by 10.0", "android@10.0.0", 200, `{"status":"ok"}`, "from-config", ""},
		{"refused", "android@8.51.23", 200, `{"error":"channel_self_set_not_allowed","message":"no"}`, "from-config", "channel_self_set_not_allowed"},
		{"refused with a status", "ios@8.51.23", 400, `{"error":"x"}`, "from-config", "x"},
		{"bad status", "ios@8.51.23", 500, `oops`, "from-config", "response_error"},
		{"unset", "android@8.51.23", 200, `{"status":"ok","unset":true}`, "from-config", ""},
		{"unset is not known before 8.42.6", "android@8.42.5", 200, `{"status":"ok","unset":true}`, "beta", ""},
		{"null error counts on Android", "android@8.51.23", 200, `{"status":"ok","error":null}`, "from-config", "null"},
		{"null error is none on iOS", "ios@8.51.23", 200, `{"status":"ok","error":null}`, "beta", ""},
		{"electron", "electron", 200, `{"status":"success"}`, "beta", ""},
		{"electron keeps it beside an error", "electron", 200, `{"status":"ok","error":"x"}`, "beta", ""},
		{"electron does not with another status", "electron", 200, `{"status":"no"}`, "from-config", ""},
		{"electron does not with a bad status", "electron", 400, `{"status":"ok"}`, "from-config", "response_error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newChannelServer(t, tt.status, tt.reply)
			d := newDevice(t, s.testServer, tt.profile, func(o *Options) { o.DefaultChannel = "from-config" })
			r, err := d.SetChannel(t.Context(), "beta")
			if err != nil || r.Error != tt.err {
				t.Errorf("reply = %+v, %v, want error %q", r, err, tt.err)
			}
			action := "<nil>"
			if tt.profile == "electron" {
				action = "set"
			}
			if s.calls[0] != "POST channel=beta action="+action {
				t.Errorf("call = %s", s.calls[0])
			}
			if got := d.State().Channel; got != tt.kept {
				t.Errorf("channel = %q, want %q", got, tt.kept)
			}
			private := false
			for _, e := range d.Journal() {
				private = private || e.Name == "channelPrivate"
			}
			if private != strings.Contains(tt.err, "self_set") {
				t.Errorf("channelPrivate: %v", private)
			}
		})
	}
}

func TestUnsetChannel(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string][]string{
		"android@8.51.23": nil,
		"ios@7.51.21":     nil,
		"android@8.1.0":   nil,
		"android@7.33.4":  {"DELETE channel=<nil> action=<nil>"},
		"ios@6.14.36":     {"DELETE channel=<nil> action=<nil>"},
		"ios@5.9.5":       {"DELETE channel=<nil> action=<nil>"},
		"android@10.0.0":  nil,
		"electron":        {"POST channel=<nil> action=unset"},
	} {
		s := newChannelServer(t, 200, `{"status":"ok"}`)
		d := newDevice(t, s.testServer, profile)
		d.saved.Channel = "beta"
		r, err := d.UnsetChannel(t.Context())
		if diff := cmp.Diff(want, s.calls); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", profile, err, diff)
		}
		if local := want == nil && profile != "android@10.0.0" || profile == "electron"; local && d.State().Channel != "" {
			t.Errorf("%s: channel is still %q", profile, d.State().Channel)
		}
		if profile == "android@10.0.0" && r.Error != "not_supported" {
			t.Errorf("10.0.0 answers %+v", r)
		}
	}
}

func TestGetChannel(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, profile string
		status        int
		reply         string
		want          ChannelReply
		kept          string
	}{
		{"kept", "android@8.51.23", 200, `{"channel":"production","status":"default","allowSet":true}`,
			ChannelReply{Channel: "production", Status: "default", AllowSet: true}, "production"},
		{"not kept before 8.47.9", "android@8.47.8", 200, `{"channel":"production","status":"default","allowSet":true}`,
			ChannelReply{Channel: "production", Status: "default", AllowSet: true}, "beta"},
		{"builtin is never kept", "ios@8.51.23", 200, `{"channel":"builtin"}`, ChannelReply{Channel: "builtin", AllowSet: true}, "beta"},
		{"allowSet defaults to true on iOS only", "android@8.51.23", 200, `{"channel":"x"}`, ChannelReply{Channel: "x"}, "x"},
		{"not found falls back to the local one", "ios@8.51.23", 400, `{"error":"channel_not_found"}`,
			ChannelReply{Channel: "beta", Status: "default", AllowSet: true}, "beta"},
		{"Android looks for the words", "android@8.51.23", 400, `{"error":"x","message":"channel_not_found"}`,
			ChannelReply{Channel: "beta", Status: "default", AllowSet: true}, "beta"},
		{"iOS compares the code", "ios@8.51.23", 400, `{"error":"x","message":"channel_not_found"}`, ChannelReply{Error: "x", Message: "channel_not_found"}, "beta"},
		{"null error counts on Android", "android@8.51.23", 200, `{"channel":"x","error":null}`, ChannelReply{Channel: "x", Error: "null"}, "beta"},
		{"electron", "electron", 200, `{"channel":"x","allow_set":true}`, ChannelReply{Channel: "x", AllowSet: true}, "beta"},
		{"electron falls back on any error", "electron", 500, `{}`, ChannelReply{Channel: "beta", Error: "response_error"}, "beta"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newChannelServer(t, tt.status, tt.reply)
			d := newDevice(t, s.testServer, tt.profile, func(o *Options) { o.DefaultChannel = "beta" })
			r, err := d.GetChannel(t.Context())
			if diff := cmp.Diff(tt.want, r); diff != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, diff)
			}
			if d.State().Channel != tt.kept {
				t.Errorf("channel = %q, want %q", d.State().Channel, tt.kept)
			}
			method := "PUT"
			if tt.profile == "electron" {
				method = "GET"
			}
			if !strings.HasPrefix(s.calls[0], method+" ") || method == "GET" && strings.Contains(s.calls[0], "action=") {
				t.Errorf("call = %s", s.calls[0])
			}
		})
	}
}

func TestListChannels(t *testing.T) {
	t.Parallel()
	const number = `[{"id":1,"name":"beta","public":false,"allow_self_set":true}]`
	const text = `[{"id":"1","name":"beta","public":false,"allow_self_set":true}]`
	const object = `{"channels":[{"id":1,"name":"beta","public":false,"allow_set":true}]}`
	one := []ChannelInfo{{ID: "1", Name: "beta", AllowSelfSet: true}}
	tests := []struct {
		name, profile, reply string
		channels             []ChannelInfo
		err                  string
	}{
		{"number", "android@8.51.23", number, one, ""},
		{"number on iOS", "ios@8.51.23", number, one, ""},
		{"text", "android@8.51.23", text, nil, "decode_error"},
		{"text on iOS", "ios@7.51.21", text, nil, "decode_error"},
		{"fraction", "android@8.51.23", `[{"id":1.5,"name":"beta"}]`, nil, "decode_error"},
		{"text on older iOS", "ios@8.47.6", text, one, ""},
		{"number on older iOS", "ios@8.47.6", number, nil, "decode_error"},
		{"none on older iOS", "ios@7.5.0", `[{"name":"beta","allow_self_set":true}]`, []ChannelInfo{{Name: "beta", AllowSelfSet: true}}, ""},
		{"text on older Android", "android@8.47.6", text, one, ""},
		{"number on older Android", "android@8.47.6", number, one, ""},
		{"object", "android@8.51.23", object, nil, "parse_error"},
		{"error", "ios@8.51.23", `{"error":"x"}`, nil, "x"},
		{"empty list", "ios@8.51.23", `[]`, []ChannelInfo{}, ""},
		{"electron wants the object", "electron", object, one, ""},
		{"electron finds nothing in an array", "electron", number, []ChannelInfo{}, ""},
		{"too old", "android@10.0.0", number, nil, "not_supported"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newChannelServer(t, 200, tt.reply)
			d := newDevice(t, s.testServer, tt.profile)
			r, err := d.ListChannels(t.Context())
			if err != nil || r.Error != tt.err {
				t.Errorf("error %q, %v, want %q", r.Error, err, tt.err)
			}
			if diff := cmp.Diff(tt.channels, r.Channels); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestQueryOfListChannels(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string]string{
		"android@7.28.0": "GET app_id=com.example.app&is_emulator=false&is_prod=true&platform=android&tenant=x",
		"android@8.51.23": "GET app_id=com.example.app&custom_id=&defaultChannel=&device_id=3f2504e0-4f89-41d3-9a0c-0305e82c3301&install_source=" +
			"&is_emulator=false&is_prod=true&platform=android&plugin_version=8.51.23&tenant=x&version_build=1.4.0&version_code=10400&version_name=1.4.0&version_os=14",
		// Electron knows nothing of a query that is there already (§1).
		"electron": "GET tenant=x?action=list&app_id=com.example.app&defaultChannel=&device_id=3f2504e0-4f89-41d3-9a0c-0305e82c3301" +
			"&is_emulator=false&is_prod=true&platform=electron&plugin_version=0.0.1&version_build=1.4.0&version_code=1.4.0&version_name=&version_os=23.5.0",
	} {
		s := newChannelServer(t, 200, `[]`)
		d := newDevice(t, s.testServer, profile, func(o *Options) { o.URLs.ChannelSelf += "?tenant=x" })
		if _, err := d.ListChannels(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{want}, s.calls); diff != "" {
			t.Errorf("%s (-want +got)\n%s", profile, diff)
		}
	}
}

func TestEmptyChannelURLIsAnsweredLocally(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := newDevice(t, s, "ios@8.51.23", func(o *Options) { o.URLs.ChannelSelf = "" })
	for name, call := range map[string]func(context.Context) (ChannelReply, error){"get": d.GetChannel, "list": d.ListChannels} {
		if r, err := call(t.Context()); err != nil || r.Error != "missing_config" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestChannelIsSentWithEveryLaterRequest(t *testing.T) {
	t.Parallel()
	s := newChannelServer(t, 200, `{"status":"ok"}`)
	d := newDevice(t, s.testServer, "ios@8.51.23")
	if _, err := d.SetChannel(t.Context(), "beta"); err != nil {
		t.Fatal(err)
	}
	launch(t, d)
	flush(t, d)
	if s.checks[0]["defaultChannel"] != "beta" || s.stats[0]["defaultChannel"] != "beta" {
		t.Errorf("check says %v, statistics say %v", s.checks[0]["defaultChannel"], s.stats[0]["defaultChannel"])
	}
}
