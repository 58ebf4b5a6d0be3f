package capgo

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-ota/capstan"
)

const (
	maxAction        = 64
	maxFile          = 512
	maxMetadata      = 30 // entries
	maxMetadataKey   = 64
	maxMetadataValue = 2048
)

// statsOptions are as lenient as JSON can be: what is refused here is lost.
var statsOptions = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// reported is one item on the wire (device-clients.md §5.2).
type reported struct {
	fields
	Action         string         `json:"action"`
	OldVersionName string         `json:"old_version_name"`
	Timestamp      jsontext.Value `json:"timestamp"`
	Metadata       jsontext.Value `json:"metadata"`
	BundleID       string         `json:"bundle_id"` // Electron
	Message        string         `json:"message"`   // Electron
}

// event reads one item. Only what makes an event worthless is refused: no app,
// no device, no action. Everything else is cut to its bounds.
func (r *reader) event(raw jsontext.Value) (capstan.Event, result) {
	if raw.Kind() != '{' {
		return capstan.Event{}, result{"invalid_json_body", "An event is an object"}
	}
	var in reported
	if json.Unmarshal(raw, &in, statsOptions) != nil {
		in = reported{}
		in.coerce(raw)
	}
	device, ok := capstan.ParseDeviceID(in.DeviceID)
	action := clip(in.Action, maxAction)
	switch {
	case capstan.ValidateAppID(in.AppID) != nil:
		return capstan.Event{}, result{"invalid_app_id", "app_id is missing or is not a reverse-domain name"}
	case in.DeviceID == "":
		return capstan.Event{}, result{"missing_device_id", "device_id is missing"}
	case !ok:
		return capstan.Event{}, result{"invalid_json_body", "device_id is not a UUID"}
	case action == "":
		return capstan.Event{}, result{"invalid_json_body", "action is missing"}
	}
	e := capstan.Event{
		App: in.AppID, Device: device, Action: action,
		OldVersion: clip(in.OldVersionName, maxVersion), Platform: capstan.Platform(clip(in.Platform, maxText)),
		Native: clip(in.VersionBuild, maxText), Plugin: clip(in.PluginVersion, maxText),
		Prod: in.IsProd == nil || *in.IsProd, Emulator: in.IsEmulator != nil && *in.IsEmulator,
		At: timestamp(in.Timestamp), ReceivedAt: r.now, Metadata: in.metadata(),
	}
	native, known := nativeVersion(in.VersionBuild)
	if known = known && in.VersionBuild != ""; known {
		e.Native = clip(native, maxText)
	}
	name, file, _ := strings.Cut(in.VersionName, ":") // "1.5.0:assets/main.js" is about a file of 1.5.0
	if known {
		in.VersionName = name
		name = running(&in.fields, native)
	}
	e.Version, e.File = clip(name, maxVersion), clip(file, maxFile)
	return e, result{}
}

// coerce takes what it can from an item with fields of the wrong type: numbers
// as texts, words as flags.
func (in *reported) coerce(raw jsontext.Value) {
	var all map[string]jsontext.Value
	if json.Unmarshal(raw, &all, statsOptions) != nil {
		return
	}
	text := func(name string, value *string) { *value = plainText(all[name]) }
	in.texts(text)
	text("action", &in.Action)
	text("old_version_name", &in.OldVersionName)
	text("bundle_id", &in.BundleID)
	text("message", &in.Message)
	in.flags(func(name string, value **bool) {
		if s := plainText(all[name]); s == "true" || s == "false" {
			is := s == "true"
			*value = &is
		}
	})
	in.Timestamp, in.Metadata = all["timestamp"], all["metadata"]
}

// plainText is a value as text; null, and what is not there, are "".
func plainText(v jsontext.Value) string {
	switch v.Kind() {
	case 0, 'n':
		return ""
	case '"':
		var s string
		if json.Unmarshal(v, &s, statsOptions) != nil {
			return ""
		}
		return s
	}
	return string(v)
}

// timestamp reads the device's clock in milliseconds; zero when it sent none
// that can be one.
func timestamp(v jsontext.Value) time.Time {
	const year10000 = 253402300800000
	ms, err := strconv.ParseFloat(plainText(v), 64)
	if err != nil || !(ms > 0 && ms < year10000) {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}

// metadata is the item's metadata as a JSON object of texts, cut to its bounds,
// "" when there is none. What Electron puts beside it goes in too.
func (in *reported) metadata() string {
	var out []byte
	n := 0
	put := func(key, value string) {
		if value == "" && key == "" || n == maxMetadata {
			return
		}
		if n++; n == 1 {
			out = append(out, '{')
		} else {
			out = append(out, ',')
		}
		out = appendString(out, clip(key, maxMetadataKey))
		out = append(out, ':')
		out = appendString(out, clip(value, maxMetadataValue))
	}
	if in.BundleID != "" {
		put("bundle_id", in.BundleID)
	}
	if in.Message != "" {
		put("message", in.Message)
	}
	eachMember(in.Metadata, put)
	if n == 0 {
		return ""
	}
	return string(append(out, '}'))
}

// eachMember gives the members of an object in their order, values as text.
func eachMember(object jsontext.Value, put func(key, value string)) {
	if object.Kind() != '{' {
		return
	}
	dec := jsontext.NewDecoder(strings.NewReader(string(object)), statsOptions)
	if _, err := dec.ReadToken(); err != nil {
		return
	}
	for dec.PeekKind() == '"' {
		key, err := dec.ReadToken()
		if err != nil {
			return
		}
		name := key.String()
		value, err := dec.ReadValue()
		if err != nil {
			return
		}
		if value.Kind() != 'n' {
			put(name, plainText(value))
		}
	}
}
