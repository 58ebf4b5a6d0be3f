package sim

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/capstan-ota/capstan"
)

// object is a JSON object that keeps the order of its fields.
type object []field

type field struct {
	key   string
	value any
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, f := range o {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := json.Marshal(f.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, key...), ':'), value...)
	}
	return append(b, '}'), nil
}

func (o object) with(key string, value any) object {
	return append(o[:len(o):len(o)], field{key, value})
}

// query renders o as query parameters; null is left out (§4.4, §4.6).
func (o object) query() url.Values {
	q := url.Values{}
	for _, f := range o {
		switch v := f.value.(type) {
		case string:
			q.Set(f.key, v)
		case bool:
			q.Set(f.key, map[bool]string{true: "true", false: "false"}[v])
		}
	}
	return q
}

// purpose says for which request an info object is made.
type purpose int

const (
	forCheck purpose = iota
	forChannel
	forStats
	forWorker // Android's worker leaves key_id out (§5.1)
)

// info describes the device (device-clients.md §2). channel is what goes out
// as defaultChannel.
func (d *Device) info(use purpose, version, channel string) object {
	if d.profile.Platform == capstan.Electron {
		return d.electronInfo(use, version, channel)
	}
	id := d.saved.Device
	if d.can.upperID {
		id = strings.ToUpper(id)
	}
	o := object{
		{"platform", string(d.profile.Platform)},
		{"device_id", id},
		{"app_id", d.opt.AppID},
		{"custom_id", d.opt.CustomID},
		{"version_build", d.native.version},
		{"version_code", d.native.build},
		{"version_os", d.native.os},
		{"version_name", version},
		{"plugin_version", d.profile.Plugin},
		{"is_emulator", d.opt.Emulator},
		{"is_prod", d.opt.Prod},
	}
	if d.can.installSource && (d.opt.InstallSource != "" || d.profile.Platform == capstan.Android) {
		o = o.with("install_source", d.opt.InstallSource)
	}
	if d.can.defaultChannel {
		o = o.with("defaultChannel", channel)
	}
	if d.can.keyID && d.key != nil && use != forWorker {
		o = o.with("key_id", d.key.id)
	}
	return o
}

func (d *Device) electronInfo(use purpose, version, channel string) object {
	o := object{
		{"platform", "electron"},
		{"device_id", d.saved.Device},
		{"app_id", d.opt.AppID},
	}
	switch {
	case d.opt.CustomID != "":
		o = o.with("custom_id", d.opt.CustomID)
	case use == forCheck:
		o = o.with("custom_id", nil)
	}
	if use != forCheck && d.saved.Current == builtinID && version == d.builtinVersion() {
		version = ""
	}
	o = append(o, object{
		{"version_build", d.native.version},
		{"version_code", d.native.version},
		{"version_os", d.native.os},
		{"version_name", version},
		{"plugin_version", d.profile.Plugin},
		{"is_emulator", false},
		{"is_prod", d.opt.Prod},
		{"defaultChannel", channel},
	}...)
	if d.key != nil {
		o = o.with("key_id", d.key.id)
	}
	return o
}

// channel is what the device sends as defaultChannel (§2).
func (d *Device) channel() string {
	if d.saved.Channel != "" {
		return d.saved.Channel
	}
	return d.opt.DefaultChannel
}

// What the platforms' own HTTP stacks call themselves.
const (
	dalvikAgent    = "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UQ1A.240205.004)"
	alamofireAgent = "App/1.0 (com.example.app; build:1; iOS 17.5.1) Alamofire/5.9.1"
)

// userAgent is sent with everything that goes through the plugin's own client
// (§2.2).
func (d *Device) userAgent() string {
	switch {
	case d.profile.Platform == capstan.Electron:
		app := d.opt.AppID
		if app == "" {
			app = "missing-app-id"
		}
		return "CapacitorUpdater/" + d.profile.Plugin + " (" + agentValue(app) + ") electron/" + agentValue(d.native.os)
	case d.can.userAgent:
		return "CapacitorUpdater/" + d.profile.Plugin + " (" + agentValue(d.opt.AppID) + ") " +
			string(d.profile.Platform) + "/" + agentValue(d.native.os)
	case d.profile.Platform == capstan.Android:
		return dalvikAgent
	}
	return alamofireAgent
}

// agentValue keeps what a header may hold (§2.2).
func agentValue(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r >= 0x20 && r <= 0x7e || r >= 0xa0 && r <= 0xff {
			return r
		}
		return -1
	}, s))
	if s == "" {
		return "unknown"
	}
	return s
}
