package capgo

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-ota/capstan"
)

const (
	maxStats    = 1 << 20 // bytes that are read of a batch
	maxEvents   = 500     // that are kept of a batch; the rest is counted
	maxAction   = 64      // bytes
	maxFile     = 512     // bytes of the path in "version:path"
	maxMetadata = 30      // entries
	maxKey      = 64      // bytes of a metadata key
	maxValue    = 2048    // bytes of a metadata value
)

type statsBody struct {
	body
	OldVersionName string         `json:"old_version_name"`
	Timestamp      jsontext.Value `json:"timestamp"`
	Metadata       jsontext.Value `json:"metadata"`
	Message        string         `json:"message"`   // Electron
	BundleID       string         `json:"bundle_id"` // Electron
}

// result is what one item of a batch is told.
type result struct{ code, message string }

// stats takes one event or an array: POST statsUrl (device-clients.md §5).
// Events are durable before the 200. An item that makes no sense is told so in
// its own result: a 4xx would make the plugin throw the whole batch away.
func (h *handler) stats(w http.ResponseWriter, r *http.Request) {
	items, single, dropped, err := readItems(r.Body)
	if err != nil {
		writeRefused(w, &refusedBody{code: "invalid_json_parse_body", message: "The body is not JSON"})
		return
	}
	now := h.Now()
	events := make([]capstan.Event, 0, len(items))
	results := make([]result, len(items))
	for i, item := range items {
		event, res, err := h.event(item, now)
		if err != nil {
			h.unavailable(w, r, err)
			return
		}
		if results[i] = res; res.code == "" {
			events = append(events, event)
		}
	}
	if dropped > 0 {
		h.Log.WarnContext(r.Context(), "events above the limit of one batch were dropped", "kept", len(items), "dropped", dropped)
	}
	if len(events) > 0 {
		if err := h.Events(r.Context(), events); err != nil {
			h.unavailable(w, r, err)
			return
		}
	}
	if single {
		write(w, http.StatusOK, appendResult(nil, results[0], -1))
		return
	}
	write(w, http.StatusOK, appendResults(nil, results, dropped))
}

// readItems reads an object or an array of them, at most maxStats bytes and
// maxEvents items. What breaks off after a whole item keeps the items before.
func readItems(r io.Reader) (items []jsontext.Value, single bool, dropped int, err error) {
	d := jsontext.NewDecoder(io.LimitReader(r, maxStats), decodeOptions)
	switch d.PeekKind() {
	case '{':
		v, err := d.ReadValue()
		return []jsontext.Value{v}, true, 0, err
	case '[':
	default:
		return nil, false, 0, errors.New("neither an object nor an array")
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, false, 0, err
	}
	for d.PeekKind() != ']' {
		v, err := d.ReadValue()
		switch {
		case err != nil && len(items) == 0:
			return nil, false, 0, err
		case err != nil:
			return items, false, dropped + 1, nil
		case len(items) == maxEvents:
			dropped++
		default:
			items = append(items, v.Clone())
		}
	}
	return items, false, dropped, nil
}

// event reads one item. err is set when the store cannot be asked.
func (h *handler) event(item jsontext.Value, now time.Time) (capstan.Event, result, error) {
	var b statsBody
	if depth(item) > maxDepth {
		return capstan.Event{}, result{"invalid_json_body", "The event is nested too deeply"}, nil
	}
	if err := json.Unmarshal(item, &b, decodeOptions); err != nil {
		return capstan.Event{}, result{"invalid_json_body", "A field of the event has the wrong type"}, nil
	}
	id, ok := capstan.ParseDeviceID(b.DeviceID)
	switch {
	case capstan.ValidateAppID(b.AppID) != nil:
		return capstan.Event{}, result{"invalid_app_id", "app_id is missing or has the wrong form"}, nil
	case !ok:
		return capstan.Event{}, result{"missing_device_id", "device_id is missing or is not a UUID"}, nil
	case b.Action == "" || len(b.Action) > maxAction:
		return capstan.Event{}, result{"invalid_json_body", "action is missing or too long"}, nil
	}
	if _, known, err := h.App(b.AppID); err != nil {
		return capstan.Event{}, result{}, err
	} else if !known {
		return capstan.Event{}, result{"app_not_found", "This server has no app " + b.AppID}, nil
	}
	e := capstan.Event{
		ID: h.NewID(), App: b.AppID, Device: id, Action: b.Action,
		OldVersion: clip(b.OldVersionName, maxVersion), Platform: capstan.Platform(clip(b.Platform, maxName)),
		Native: clip(b.VersionBuild, maxVersion), Plugin: clip(b.PluginVersion, maxName),
		Prod: b.IsProd == nil || *b.IsProd, Emulator: b.IsEmulator != nil && *b.IsEmulator,
		At: timestamp(b.Timestamp), ReceivedAt: now, Metadata: metadata(&b),
	}
	// "1.2.3:assets/main.js" is about a file of 1.2.3.
	name, file, _ := strings.Cut(b.VersionName, ":")
	e.Version, e.File = clip(name, maxVersion), clip(file, maxFile)
	if e.Version == "builtin" && b.VersionBuild != "" {
		if canonical, _, ok := canonicalNative(b.VersionBuild); ok {
			e.Version = canonical
		}
	}
	return e, result{}, nil
}

// timestamp reads the device's clock, zero when it sent none that makes sense.
func timestamp(v jsontext.Value) time.Time {
	ms, err := strconv.ParseFloat(string(v), 64)
	const year10000 = 253402300800000
	if err != nil || ms <= 0 || ms >= year10000 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// metadata keeps what is in bounds of an event's metadata, as a JSON object of
// strings with sorted keys, "" when nothing is left.
func metadata(b *statsBody) string {
	sent := map[string]jsontext.Value{}
	if len(b.Metadata) > 0 && json.Unmarshal(b.Metadata, &sent, decodeOptions) != nil {
		sent = nil
	}
	kept := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(sent)) {
		if len(kept) == maxMetadata || len(key) > maxKey || sent[key].Kind() == 'n' {
			continue
		}
		var s string
		if json.Unmarshal(sent[key], &s, decodeOptions) != nil {
			s = string(sent[key]) // numbers and the like, as they were sent
		}
		kept[key] = clip(s, maxValue)
	}
	for key, value := range map[string]string{"message": b.Message, "bundle_id": b.BundleID} {
		if value != "" {
			kept[key] = clip(value, maxValue)
		}
	}
	if len(kept) == 0 {
		return ""
	}
	out, err := json.Marshal(kept, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return ""
	}
	return string(out)
}

// appendResult appends what became of one item; index -1 leaves it out.
func appendResult(b []byte, r result, index int) []byte {
	if r.code == "" {
		b = append(b, `{"status":"ok"`...)
	} else {
		b = append(b, `{"status":"error","error":"`...)
		b = append(b, r.code...)
		b = append(b, `","message":`...)
		b = appendString(b, r.message)
	}
	if index >= 0 {
		b = append(b, `,"index":`...)
		b = appendInt(b, int64(index))
	}
	return append(b, '}')
}

func appendResults(b []byte, results []result, dropped int) []byte {
	b = append(b, `{"status":"ok","results":[`...)
	for i, r := range results {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendResult(b, r, i)
	}
	b = append(b, ']')
	if dropped > 0 {
		b = append(b, `,"dropped":`...)
		b = appendInt(b, int64(dropped))
	}
	return append(b, '}')
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }
