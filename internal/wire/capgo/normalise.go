package capgo

import (
	"bytes"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

const (
	maxBody  = 16 << 10 // of a check and a channel request; a real one has 450 bytes
	maxDepth = 5

	// Strings that name something are refused above their limit, in bytes, since
	// a shortened name is another name; descriptions are cut.
	maxID      = 128 // app id, channel
	maxVersion = 128
	maxSource  = 64
	maxKeyID   = 20
	maxCustom  = 128
	maxText    = 64 // native build, system version
)

// fields are what a device says about itself (device-clients.md §2).
type fields struct {
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
}

// texts gives every string field by its name, for requests that do not come in
// the expected types or as a query string.
func (f *fields) texts(each func(name string, value *string)) {
	each("platform", &f.Platform)
	each("device_id", &f.DeviceID)
	each("app_id", &f.AppID)
	each("custom_id", &f.CustomID)
	each("version_build", &f.VersionBuild)
	each("version_code", &f.VersionCode)
	each("version_os", &f.VersionOS)
	each("version_name", &f.VersionName)
	each("plugin_version", &f.PluginVersion)
	each("install_source", &f.InstallSource)
	each("defaultChannel", &f.DefaultChannel)
	each("key_id", &f.KeyID)
}

func (f *fields) flags(each func(name string, value **bool)) {
	each("is_emulator", &f.IsEmulator)
	each("is_prod", &f.IsProd)
}

// question is what a device asks, normalised.
type question struct {
	decide.Query
	app         string
	sentRunning string // version_name as it came: answers echo it
	plugin      plugin
}

// rules are what differs between endpoints (decisions.md §0, the table).
type rules struct {
	invalid string // code of a body or query that does not fit
	check   bool   // an update check: versions must be there
	anyone  bool   // the device id may be missing
}

var (
	checkRules   = rules{invalid: "invalid_json_body", check: true}
	channelRules = rules{invalid: "invalid_json_body"}
	queryRules   = rules{invalid: "invalid_query_parameters"}
	listRules    = rules{invalid: "invalid_query_parameters", anyone: true}
)

// issue is a field that does not fit.
type issue struct{ field, message string }

// issues collects them; the first few are told.
type issues []issue

func (l *issues) add(field, format string, args ...any) {
	*l = append(*l, issue{field, fmt.Sprintf(format, args...)})
}

func (l issues) fault(code string) *fault {
	b := append([]byte(nil), `{"parseResult":{"error":{"issues":[`...)
	for i, one := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"path":[`...)
		if one.field != "" {
			b = appendString(b, one.field)
		}
		b = append(b, `],"message":`...)
		b = appendString(b, one.message)
		b = append(b, '}')
	}
	b = append(b, `]}}}`...)
	return &fault{http.StatusBadRequest, code, "The request does not have the form that is needed", string(b)}
}

func notJSON() *fault {
	return &fault{status: http.StatusBadRequest, code: "invalid_json_parse_body", message: "The body is not JSON"}
}

func tooLarge(limit int) *fault {
	return &fault{
		status: http.StatusBadRequest, code: "invalid_json_body",
		message: fmt.Sprintf("The body is too large: more than %d bytes", limit),
	}
}

// readBody appends the body to buf, at most limit bytes of it.
func readBody(r *http.Request, buf []byte, limit int) ([]byte, *fault) {
	if r.ContentLength > int64(limit) {
		return buf, tooLarge(limit)
	}
	if n := int(r.ContentLength); n > 0 && cap(buf)-len(buf) < n+1 {
		buf = append(make([]byte, 0, len(buf)+n+1), buf...)
	}
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > limit:
			return buf[:limit], tooLarge(limit)
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, &fault{status: http.StatusBadRequest, code: "invalid_json_parse_body", message: "The body did not arrive whole"}
		}
	}
}

// jsonOptions keep the strictness of RFC 8259, but replace what is not UTF-8:
// Java and JavaScript strings can hold halves of characters.
var jsonOptions = json.JoinOptions(jsontext.AllowInvalidUTF8(true))

// decode reads a body into the fields of to, which f is part of. A field of the
// wrong type is left empty and becomes an issue, so that the error that the
// protocol puts first wins (decisions.md §0).
func decode(body []byte, to any, f *fields, more func(each func(string, *string))) (issues, *fault) {
	if tooDeep(body) {
		return issues{{"", fmt.Sprintf("Nested deeper than %d levels", maxDepth)}}, nil
	}
	err := json.Unmarshal(body, to, jsonOptions)
	if err == nil {
		return nil, nil
	}
	if _, wrongType := errors.AsType[*json.SemanticError](err); !wrongType {
		return nil, notJSON()
	}
	var raw map[string]jsontext.Value
	if err := json.Unmarshal(body, &raw, jsonOptions); err != nil {
		if _, wrongType := errors.AsType[*json.SemanticError](err); !wrongType {
			return nil, notJSON()
		}
		return issues{{"", "Expected object"}}, nil
	}
	*f = fields{}
	var found issues
	text := func(name string, value *string) {
		*value = ""
		if v, ok := raw[name]; ok && json.Unmarshal(v, value, jsonOptions) != nil {
			*value = ""
			found.add(name, "Expected string")
		}
	}
	f.texts(text)
	if more != nil {
		more(text)
	}
	f.flags(func(name string, value **bool) {
		*value = nil
		if v, ok := raw[name]; ok && json.Unmarshal(v, value) != nil {
			*value = nil
			found.add(name, "Expected boolean")
		}
	})
	if len(found) == 0 {
		found.add("", "A field has the wrong type")
	}
	return found, nil
}

// tooDeep reports whether JSON is nested deeper than maxDepth. A real body has
// one or three brackets, and counting them is all that it costs.
func tooDeep(b []byte) bool {
	if bytes.Count(b, []byte{'{'})+bytes.Count(b, []byte{'['}) <= maxDepth {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{', c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return false
}

// fromQuery fills f from a query string, in which flags are words.
func fromQuery(values url.Values, f *fields) (found issues) {
	f.texts(func(name string, value *string) { *value = values.Get(name) })
	f.flags(func(name string, value **bool) {
		switch word := values.Get(name); word {
		case "":
		case "true", "false":
			is := word == "true"
			*value = &is
		default:
			found.add(name, "Expected true or false")
		}
	})
	return found
}

// empty reports whether a body is an object without members, or none at all.
func empty(body []byte) bool {
	inner := bytes.TrimSpace(body)
	if len(inner) >= 2 && inner[0] == '{' && inner[len(inner)-1] == '}' {
		return len(bytes.TrimSpace(inner[1:len(inner)-1])) == 0
	}
	return true
}

// normalise turns what a device sent into a question, in the order that decides
// which error wins (decisions.md §0). found are the issues that decoding left;
// isEmpty says that nothing was sent.
func (q *question) normalise(f *fields, by rules, found issues, isEmpty bool, at time.Time) *fault {
	switch {
	case isEmpty:
		return issues{{"", "Expected an object with fields"}}.fault(by.invalid)
	case f.DeviceID == "" && !by.anyone && !found.about("device_id"):
		return &fault{status: http.StatusBadRequest, code: "missing_device_id", message: "device_id is missing"}
	case f.AppID == "" && !found.about("app_id"):
		return &fault{status: http.StatusBadRequest, code: "missing_app_id", message: "app_id is missing"}
	}
	native, ok := nativeVersion(f.VersionBuild)
	if !ok {
		b := appendString([]byte(`{"version_build":`), clip(f.VersionBuild, maxText))
		return &fault{
			http.StatusBadRequest, "semver_error",
			fmt.Sprintf("Native version %s is not a semantic version", clip(f.VersionBuild, maxText)), string(append(b, '}')),
		}
	}
	q.At = at
	q.app = f.AppID
	q.Platform = capstan.Platform(f.Platform)
	q.Native = native
	q.NativeVersion, _ = capstan.ParseVersion(native)
	q.sentRunning = f.VersionName
	q.Running = running(f, native)
	q.Channel = f.DefaultChannel
	q.KeyID = f.KeyID
	q.Emulator = f.IsEmulator != nil && *f.IsEmulator
	q.Prod = f.IsProd == nil || *f.IsProd
	q.check(f, by, &found)
	if len(found) > 0 {
		return found.fault(by.invalid)
	}
	q.Plugin = q.plugin.capabilities()
	return nil
}

func (l issues) about(field string) bool {
	for _, one := range l {
		if one.field == field || one.field == "" {
			return true
		}
	}
	return false
}

// running is the bundle that the device runs; on the built-in one it is the
// native version. Plugins before 8.44 / x.50.1 call that "builtin", later ones
// name it like the native version as it stands in the app, which may not be
// what we make of it ("1.4" is 1.4.0); Electron says nothing outside of checks
// (device-clients.md §2.1).
func running(f *fields, native string) string {
	name := f.VersionName
	if name == "builtin" || name != "" && name == f.VersionBuild || name == "" && f.Platform == string(capstan.Electron) {
		return native
	}
	return name
}

// check looks at each field, and at the plugin's version, which says what the
// others mean.
func (q *question) check(f *fields, by rules, found *issues) {
	id, ok := capstan.ParseDeviceID(f.DeviceID)
	if !ok && f.DeviceID != "" {
		found.add("device_id", "Expected UUID")
	}
	q.Device = id
	if !q.Platform.Known() && !found.about("platform") {
		found.add("platform", "Expected ios, android or electron")
	}
	q.plugin.electron = q.Platform == capstan.Electron
	q.plugin.version, ok = capstan.ParseVersion(f.PluginVersion)
	q.plugin.silent = f.PluginVersion == "" && !by.check
	if by.check {
		if f.VersionName == "" && !found.about("version_name") {
			found.add("version_name", "Expected a name")
		}
		if f.VersionBuild == "" && !found.about("version_build") {
			found.add("version_build", "Expected a version")
		}
		if !ok && !found.about("plugin_version") {
			found.add("plugin_version", "Expected a semantic version")
		}
	}
	for _, one := range [...]struct {
		name, value string
		max         int
	}{
		{"app_id", f.AppID, maxID},
		{"defaultChannel", f.DefaultChannel, maxID},
		{"version_name", f.VersionName, maxVersion},
		{"version_build", f.VersionBuild, maxText},
		{"plugin_version", f.PluginVersion, maxText},
		{"install_source", f.InstallSource, maxSource},
		{"key_id", f.KeyID, maxKeyID},
	} {
		if len(one.value) > one.max {
			found.add(one.name, "Longer than %d bytes", one.max)
		} else if strings.IndexByte(one.value, 0) >= 0 {
			found.add(one.name, "Holds a NUL character")
		}
	}
}

// sighting is what is kept of a check.
func (q *question) sighting(f *fields) capstan.Device {
	return capstan.Device{
		App: q.app, ID: q.Device, Platform: q.Platform, CustomID: clip(strings.TrimSpace(f.CustomID), maxCustom),
		NativeVersion: q.Native, NativeBuild: clip(f.VersionCode, maxText), OSVersion: clip(f.VersionOS, maxText),
		PluginVersion: f.PluginVersion, InstallSource: strings.ToLower(strings.TrimSpace(f.InstallSource)),
		Channel: q.Channel, KeyID: q.KeyID, Prod: q.Prod, Emulator: q.Emulator, Running: q.Running, LastSeen: q.At,
	}
}

// nativeVersion makes a semantic version of what app authors write: "1" is
// 1.0.0, "1.2" is 1.2.0, "v1.2.3" loses its v, and numbers lose leading zeros.
// Nothing, and the names that plugins reserve, are 0.0.0. Four numbers are not
// a version.
func nativeVersion(s string) (string, bool) {
	if _, ok := capstan.ParseVersion(s); ok {
		return s, true
	}
	s = strings.TrimSpace(s)
	switch s {
	case "", "builtin", "unknown":
		return "0.0.0", true
	}
	s = strings.TrimPrefix(s, "v")
	core, rest := s, ""
	if i := strings.IndexAny(s, "-+"); i >= 0 {
		core, rest = s[:i], s[i:]
	}
	parts := strings.Split(core, ".")
	if len(parts) > 3 {
		return "", false
	}
	for i, p := range parts {
		if parts[i] = strings.TrimLeft(p, "0"); parts[i] == "" && p != "" {
			parts[i] = "0"
		}
	}
	for len(parts) < 3 {
		parts = append(parts, "0")
	}
	s = strings.Join(parts, ".") + rest
	_, ok := capstan.ParseVersion(s)
	return s, ok
}

// clip cuts s to at most limit bytes of whole characters, without NUL, which
// PostgreSQL cannot store.
func clip(s string, limit int) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
