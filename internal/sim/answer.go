package sim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/capstan-ota/capstan"
)

// entry is one file of a manifest, as sent.
type entry struct {
	Name string `json:"file_name"`
	Hash string `json:"file_hash"`
	URL  string `json:"download_url"`
}

// update is what a success answer offers.
type update struct {
	Version  string
	URL      string
	Checksum string
	Session  string
	Manifest []entry `json:",omitempty"`
	Delta    bool    // a manifest was sent, whatever it holds
}

// answer is an update check's answer as one platform understands it.
type answer struct {
	refused  bool // the error path of §3.5
	noServer bool // no usable answer: network, status or parse trouble
	status   int
	kind     string
	code     string
	message  string
	version  string
	breaking bool

	update
	urlOK       bool
	nullSession bool // Android: dies in finishDownload below 8.51.23
	badManifest bool // present and unreadable
}

// refusal makes an answer of the device's own.
func refusal(status int, code, message string) answer {
	return answer{refused: true, noServer: true, status: status, kind: "failed", code: code, message: message}
}

// normalKind maps what is missing or unknown to failed (§3.3).
func normalKind(kind string) string {
	if kind == "up_to_date" || kind == "blocked" {
		return kind
	}
	return "failed"
}

// parse reads an answer as the platform and the plugin's age do (§3.4, §3.7).
func (d *Device) parse(r reply) answer {
	if r.err != nil {
		code := "network_error"
		if d.profile.Platform == capstan.IOS {
			code = "response_error"
			if r.err == errTotalTime {
				code = "timeout_error"
			}
		}
		return refusal(0, code, r.err.Error())
	}
	switch d.profile.Platform {
	case capstan.Android:
		return parseAndroid(d.can, r.status, r.body)
	case capstan.IOS:
		return parseIOS(d.can, r.status, r.body)
	}
	return parseElectron(r.status, r.body)
}

// --- Android: org.json, where the presence of a key counts ------------------

// lenient is an object read as org.json does.
type lenient map[string]any

func readLenient(body []byte) (lenient, bool) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var o lenient
	if err := dec.Decode(&o); err != nil || o == nil {
		return nil, false
	}
	return o, true
}

func (o lenient) has(key string) bool { _, ok := o[key]; return ok }

// text coerces a value as getString does; null and missing give "".
func (o lenient) text(key string) string {
	switch v := o[key].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case nil:
		return ""
	default:
		b, _ := json.Marshal(v) // of what was just decoded
		return string(b)
	}
}

func (o lenient) flag(key string) bool {
	switch v := o[key].(type) {
	case bool:
		return v
	case string:
		return strings.EqualFold(v, "true")
	}
	return false
}

func parseAndroid(can traits, status int, body []byte) answer {
	o, isObject := readLenient(body)
	good := status >= 200 && status <= 299
	if can.age == ageKind && isObject && (o.has("error") || o.has("kind")) {
		return o.refusal(status)
	}
	switch {
	case !good && status == http.StatusTooManyRequests:
		return refusal(status, "too_many_requests", "Too many requests")
	case !good:
		return refusal(status, "response_error", "Server error: "+strconv.Itoa(status))
	case !isObject:
		return refusal(status, "parse_error", "the answer is not a JSON object")
	case can.refusedByAge(o.has("error"), o.text("error"), o.has("message")):
		a := o.refusal(status)
		a.breaking = o.flag("major")
		return a
	}
	return o.offer(status)
}

// refusal copies what Android keeps of a refused answer.
func (o lenient) refusal(status int) answer {
	return answer{
		refused: true, status: status, kind: normalKind(o.text("kind")),
		code: o.text("error"), message: o.text("message"), version: o.text("version"),
	}
}

func (o lenient) offer(status int) answer {
	a := answer{status: status, version: o.text("version"), breaking: o.flag("breaking") || o.flag("major")}
	a.update = update{
		Version: a.version, URL: o.text("url"), Checksum: o.text("checksum"),
		Session: o.text("session_key"), Delta: o.has("manifest"),
	}
	a.urlOK = androidURL(a.URL)
	a.nullSession = o.has("session_key") && o["session_key"] == nil
	if a.Delta {
		a.Manifest, a.badManifest = o.manifest()
	}
	return a
}

func (o lenient) manifest() (entries []entry, bad bool) {
	list, ok := o["manifest"].([]any)
	if !ok {
		return nil, true // null is "there is one", and reading it throws (§3.4)
	}
	for _, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, true
		}
		e := lenient(m)
		entries = append(entries, entry{Name: e.text("file_name"), Hash: e.text("file_hash"), URL: e.text("download_url")})
	}
	return entries, false
}

// androidURL is what java.net.URL can parse: it needs a protocol it knows.
func androidURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "http", "https", "file", "ftp", "jar":
		return true
	}
	return false
}

// refusedByAge says whether an older plugin sees "no update" in an answer
// (§3.7). has says whether a key counts as present on the platform.
func (t traits) refusedByAge(hasError bool, code string, hasMessage bool) bool {
	switch t.age {
	case ageMessage:
		return hasMessage || t.messageErrors && hasError
	case ageRefusal:
		return hasError && code != "response_error" || hasMessage
	case ageFail, ageQuiet:
		return hasError
	}
	return false
}

// --- iOS: a strict typed decoder, where null is absent -----------------------

// strict is an object of which every known field has been checked.
type strict map[string]json.RawMessage

func (o strict) text(key string) (string, bool) {
	var s *string
	if raw, ok := o[key]; ok && json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	if s == nil {
		return "", true
	}
	return *s, true
}

func (o strict) flag(key string) (bool, bool) {
	var b *bool
	if raw, ok := o[key]; ok && json.Unmarshal(raw, &b) != nil {
		return false, false
	}
	return b != nil && *b, true
}

// readStrict decodes an object whose fields all have their types (§3.2).
func readStrict(body []byte, texts, flags []string) (strict, bool) {
	var o strict
	if json.Unmarshal(body, &o) != nil || o == nil {
		return nil, false
	}
	for _, key := range texts {
		if _, ok := o.text(key); !ok {
			return nil, false
		}
	}
	for _, key := range flags {
		if _, ok := o.flag(key); !ok {
			return nil, false
		}
	}
	return o, true
}

// must returns a field that readStrict has checked.
func (o strict) must(key string) string { s, _ := o.text(key); return s }

func (o strict) data() bool {
	var m map[string]json.RawMessage
	if raw, ok := o["data"]; ok && json.Unmarshal(raw, &m) != nil {
		return false
	}
	for key := range m {
		// A Swift dictionary of strings has no place for null.
		if s, ok := strict(m).text(key); !ok || s == "" && string(m[key]) == "null" {
			return false
		}
	}
	return true
}

func (o strict) manifest() (entries []entry, present, ok bool) {
	raw, has := o["manifest"]
	if !has || string(raw) == "null" {
		return nil, false, true
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, true, false
	}
	for _, item := range list {
		e, ok := readStrict(item, []string{"file_name", "file_hash", "download_url"}, nil)
		if !ok {
			return nil, true, false
		}
		entries = append(entries, entry{e.must("file_name"), e.must("file_hash"), e.must("download_url")})
	}
	return entries, true, true
}

func parseIOS(can traits, status int, body []byte) answer {
	good := status >= 200 && status <= 299
	if len(body) == 0 && status != http.StatusNoContent && status != http.StatusResetContent || can.age != ageKind && !good {
		return refusal(status, "response_error", "Server error: "+strconv.Itoa(status))
	}
	o, ok := readStrict(body, []string{
		"version", "checksum", "url", "message", "error", "kind", "session_key", "link", "comment",
	}, []string{"major", "breaking"})
	if !ok || !o.data() {
		return refusal(status, "decode_error", "a field of the answer has the wrong type")
	}
	entries, delta, ok := o.manifest()
	if !ok && can.manifest {
		return refusal(status, "decode_error", "the manifest of the answer has a wrong type")
	}
	breaking, _ := o.flag("breaking")
	major, _ := o.flag("major")
	a := answer{
		status: status, kind: o.must("kind"), code: o.must("error"), message: o.must("message"),
		version: o.must("version"), breaking: breaking || major,
	}
	if !good {
		a.fill(status)
	}
	if can.age == ageKind {
		a.refused = a.code != "" || a.kind != ""
	} else {
		a.refused = can.refusedByAge(a.code != "", a.code, a.message != "")
	}
	a.kind = normalKind(a.kind)
	a.update = update{
		Version: a.version, URL: o.must("url"), Checksum: o.must("checksum"), Session: o.must("session_key"),
		Manifest: entries, Delta: delta,
	}
	_, err := url.Parse(a.URL)
	a.urlOK = a.URL != "" && err == nil
	return a
}

// fill completes an answer with a bad status (§3.4, iOS step 7).
func (a *answer) fill(status int) {
	for _, f := range []struct {
		s *string
		v string
	}{{&a.message, "Server error: " + strconv.Itoa(status)}, {&a.code, "response_error"}, {&a.kind, "failed"}} {
		if *f.s == "" {
			*f.s = f.v
		}
	}
}

// --- Electron: JavaScript, untyped --------------------------------------------

func parseElectron(status int, body []byte) answer {
	if status < 200 || status > 299 {
		return refusal(status, "HTTP "+strconv.Itoa(status)+": "+http.StatusText(status), "")
	}
	o, ok := readLenient(body)
	if !ok {
		return refusal(status, "parse_error", "the answer is not a JSON object")
	}
	a := o.offer(status)
	a.code, a.message, a.kind = o.text("error"), o.text("message"), o.text("kind")
	a.breaking = truthy(o["breaking"])
	a.refused = a.code == "no_new_version_available"
	a.Session = o.text("sessionKey") // not session_key (§3.4)
	a.Delta = len(a.Manifest) > 0
	return a
}

// truthy is JavaScript's idea of a condition.
func truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case json.Number:
		f, err := v.Float64()
		return err != nil || f != 0
	}
	return true
}
