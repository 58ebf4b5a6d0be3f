package capgo

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"strings"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

// Bounds of what is read (security-reliability.md §2.3).
const (
	maxBody     = 16 << 10 // bytes of an update check or channel call
	maxDepth    = 5        // nesting of a body
	maxVersion  = 128      // bytes of a version name or native version
	maxName     = 64       // bytes of a channel name, platform, source or OS version
	maxCustomID = 64       // bytes that are kept of a custom id
	maxKeyID    = 20       // characters of a key id
)

// body is the device description that comes with almost every request
// (device-clients.md §2). Absent, null and empty mean the same; unknown fields
// are ignored.
type body struct {
	Platform       string `json:"platform"`
	DeviceID       string `json:"device_id"`
	AppID          string `json:"app_id"`
	CustomID       string `json:"custom_id"`
	VersionBuild   string `json:"version_build"`
	VersionCode    string `json:"version_code"`
	VersionOS      string `json:"version_os"`
	VersionName    string `json:"version_name"`
	PluginVersion  string `json:"plugin_version"`
	IsEmulator     *bool  `json:"is_emulator"`
	IsProd         *bool  `json:"is_prod"`
	InstallSource  string `json:"install_source"`
	DefaultChannel string `json:"defaultChannel"`
	KeyID          string `json:"key_id"`

	// Of channel calls.
	Channel string `json:"channel"`
	Action  string `json:"action"`
}

// question is a normalised body.
type question struct {
	decide.Query
	app         string
	sentRunning string // version_name as it was sent
	plugin      plugin
	device      capstan.Device
	channel     string
	action      string
}

// refusedBody is a body that cannot be answered; the device gets its code with
// HTTP 400 (decisions.md §0).
type refusedBody struct {
	code    string
	message string
	field   string // that moreInfo names, with its value
	value   string
}

func (e *refusedBody) Error() string { return e.message }

var decodeOptions = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// parse decodes a body into v.
func parse(b []byte, v any) *refusedBody {
	if depth(b) > maxDepth {
		return &refusedBody{code: "invalid_json_body", message: "The body is nested too deeply"}
	}
	err := json.Unmarshal(b, v, decodeOptions)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		field := strings.TrimPrefix(string(e.JSONPointer), "/")
		return &refusedBody{code: "invalid_json_body", message: "A field has the wrong type", field: "field", value: field}
	}
	return &refusedBody{code: "invalid_json_parse_body", message: "The body is not JSON"}
}

// depth is how deeply arrays and objects are nested; it need not be right for
// what is not JSON.
func depth(b []byte) int {
	deepest, now, inString := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// strictness says which fields a request must have (decisions.md §0).
type strictness struct {
	versions  bool // version_name and version_build
	device    bool
	emptyCode string // of a body without any field
}

var (
	checkBody = strictness{versions: true, device: true, emptyCode: "invalid_json_body"}
	setBody   = strictness{device: true, emptyCode: "invalid_json_body"}
	queryBody = strictness{emptyCode: "invalid_query_parameters"}
)

// normalise checks a body and turns it into a question, in the order in which
// its faults are reported.
func (b *body) normalise(s strictness, q *question) *refusedBody {
	switch {
	case *b == body{}:
		return &refusedBody{code: s.emptyCode, message: "The request has no fields"}
	case b.DeviceID == "" && s.device:
		return &refusedBody{code: "missing_device_id", message: "device_id is missing"}
	case b.AppID == "":
		return &refusedBody{code: "missing_app_id", message: "app_id is missing"}
	}
	var ok bool
	if b.VersionBuild != "" {
		if q.Native, q.NativeVersion, ok = canonicalNative(b.VersionBuild); !ok {
			return &refusedBody{code: "semver_error", message: "version_build is not a version", field: "version_build", value: clip(b.VersionBuild, maxVersion)}
		}
	}
	q.sentRunning, q.Running = b.VersionName, b.VersionName
	if b.VersionName == "builtin" && q.Native != "" {
		q.Running = q.Native
	}
	if e := b.check(s, q); e != nil {
		return e
	}
	q.app, q.Platform = b.AppID, capstan.Platform(b.Platform)
	q.Channel, q.KeyID = b.DefaultChannel, b.KeyID
	q.Prod = b.IsProd == nil || *b.IsProd
	q.Emulator = b.IsEmulator != nil && *b.IsEmulator
	q.plugin.electron, q.plugin.ios = q.Platform == capstan.Electron, q.Platform == capstan.IOS
	q.Plugin = q.plugin.capabilities()
	q.channel, q.action = b.Channel, b.Action
	return nil
}

// check looks at the form of each field.
func (b *body) check(s strictness, q *question) *refusedBody {
	bad := func(field string) *refusedBody {
		return &refusedBody{code: s.emptyCode, message: field + " is missing or has the wrong form", field: "field", value: field}
	}
	var ok bool
	if q.Device, ok = capstan.ParseDeviceID(b.DeviceID); !ok && (s.device || b.DeviceID != "") {
		return bad("device_id")
	}
	if q.plugin.version, ok = capstan.ParseVersion(b.PluginVersion); !ok && (s.versions || b.PluginVersion != "") {
		return bad("plugin_version")
	}
	switch {
	case capstan.ValidateAppID(b.AppID) != nil:
		return bad("app_id")
	case !capstan.Platform(b.Platform).Known():
		return bad("platform")
	case b.VersionName == "" && s.versions, len(b.VersionName) > maxVersion:
		return bad("version_name")
	case b.VersionBuild == "" && s.versions, len(b.VersionBuild) > maxVersion:
		return bad("version_build")
	case len(b.DefaultChannel) > maxName*2:
		return bad("defaultChannel")
	case len(b.InstallSource) > maxName:
		return bad("install_source")
	case len(b.KeyID) > maxKeyID:
		return bad("key_id")
	}
	return nil
}

// canonicalNative reads a native version: x.y.z as it is, "1" and "1.2" padded,
// a leading v dropped, builtin and unknown as 0.0.0. Four-part numbers are no
// versions (decisions.md §0 step 4).
func canonicalNative(s string) (string, capstan.Version, bool) {
	if v, ok := capstan.ParseVersion(s); ok && !strings.Contains(s, "+") {
		return s, v, true
	}
	if s == "builtin" || s == "unknown" {
		return "0.0.0", capstan.Version{}, true
	}
	s = strings.TrimPrefix(s, "v")
	s, _, _ = strings.Cut(s, "+")
	core, pre, hasPre := strings.Cut(s, "-")
	for range 2 - strings.Count(core, ".") {
		core += ".0"
	}
	if hasPre {
		core += "-" + pre
	}
	v, ok := capstan.ParseVersion(core)
	return core, v, ok
}

// describe fills in the device row of a question.
func (b *body) describe(q *question) *capstan.Device {
	q.device = capstan.Device{
		App: q.app, ID: q.Device, Platform: q.Platform,
		CustomID: clip(strings.TrimSpace(b.CustomID), maxCustomID), NativeVersion: q.Native, NativeBuild: clip(b.VersionCode, maxName),
		OSVersion: clip(b.VersionOS, maxName), PluginVersion: clip(b.PluginVersion, maxName),
		InstallSource: strings.ToLower(strings.TrimSpace(b.InstallSource)), Channel: q.Channel, KeyID: q.KeyID,
		Prod: q.Prod, Emulator: q.Emulator, Running: q.Running, LastSeen: q.At,
	}
	return &q.device
}

// clip cuts s to at most n bytes, between two characters, and copies it so that
// a long body is not kept alive by a short part.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return strings.Clone(s[:n])
}
