package capgo

import (
	"net/http"
	"net/url"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

// channelCall is a channel request whose app is known.
type channelCall struct {
	question
	snapshot *decide.App
	overlay  decide.Overlay
}

// fromBody reads a channel request with a JSON body. When it returns false it
// has answered.
func (h *handler) fromBody(w http.ResponseWriter, r *http.Request, c *channelCall) bool {
	good := false
	readBody(w, r, func(raw []byte) {
		var b body
		if e := parse(raw, &b); e != nil {
			writeRefused(w, e)
			return
		}
		good = h.open(w, r, &b, setBody, c)
	})
	return good
}

// open normalises b and finds its app.
func (h *handler) open(w http.ResponseWriter, r *http.Request, b *body, s strictness, c *channelCall) bool {
	c.At = h.Now()
	if e := b.normalise(s, &c.question); e != nil {
		writeRefused(w, e)
		return false
	}
	app, known, err := h.App(c.app)
	switch {
	case err != nil:
		h.unavailable(w, r, err)
		return false
	case !known:
		write(w, http.StatusOK, unknownApp(c.app))
		return false
	}
	c.snapshot, c.overlay = app, h.Overlay(c.app, c.Device)
	return true
}

// setChannel answers a device that chooses its channel: POST channelUrl
// (device-clients.md §4.1). Refusals go with 200; every one says "error" as its
// status, since Electron stores the channel of an answer whose status is absent
// or ok even beside an error (§4.6).
func (h *handler) setChannel(w http.ResponseWriter, r *http.Request) {
	var c channelCall
	if !h.fromBody(w, r, &c) {
		return
	}
	if c.plugin.electron && c.action == "unset" {
		ok(w, r)
		return
	}
	if c.channel == "" {
		writeError(w, http.StatusOK, "missing_channel", "channel is missing")
		return
	}
	chosen := c.snapshot.Channel(c.channel)
	if chosen == nil {
		h.refuseChannel(w, &c, "channel_not_found", "There is no such channel")
		return
	}
	isDefault := chosen.Default.Has(c.Platform)
	switch {
	case !chosen.Platforms.Has(c.Platform):
		h.refuseChannel(w, &c, "disabled_platform_"+string(c.Platform), "The channel does not serve this platform")
	case isDefault && c.plugin.has(understandsUnset):
		write(w, http.StatusOK, []byte(`{"status":"ok","unset":true,"message":"That is the default: the device follows it without naming it"}`))
	case !chosen.SelfAssign && isDefault && c.plugin.has(keepsChannel):
		h.refuseChannel(w, &c, "public_channel_self_set_not_allowed", "That is the default; devices need not choose it")
	case !chosen.SelfAssign && !isDefault:
		h.refuseChannel(w, &c, "channel_self_set_not_allowed", "Devices may not choose this channel")
	case c.plugin.has(keepsChannel):
		write(w, http.StatusOK, []byte(`{"status":"ok","allowSet":true}`))
	case isDefault:
		h.rememberChannel(w, r, &c, "")
	default:
		h.rememberChannel(w, r, &c, chosen.Name)
	}
}

func (h *handler) refuseChannel(w http.ResponseWriter, c *channelCall, code, message string) {
	b := append([]byte(nil), `{"error":"`...)
	b = append(b, code...)
	b = append(b, `","message":`...)
	b = appendString(b, message)
	b = append(b, `,"status":"error","channel":`...)
	b = appendString(b, clip(c.channel, maxName))
	b = append(b, `,"app_id":`...)
	b = appendString(b, c.app)
	write(w, http.StatusOK, append(b, '}'))
}

// rememberChannel records the choice of a plugin that cannot keep it; "" takes
// the choice back. An app must allow such unauthenticated writes.
func (h *handler) rememberChannel(w http.ResponseWriter, r *http.Request, c *channelCall, name string) {
	switch {
	case c.overlay.PinKind == capstan.PinOperator:
		h.refuseChannel(w, c, "cannot_override", "An operator chose the channel of this device")
	case !c.snapshot.Row.SelfSet:
		h.refuseChannel(w, c, "channel_self_set_not_allowed", "The app does not let plugins of this version choose a channel")
	default:
		if err := h.SetSelfPin(r.Context(), c.app, c.Device, name); err != nil {
			h.unavailable(w, r, err)
			return
		}
		ok(w, r)
	}
}

// unsetChannel takes the choice of an old plugin back: DELETE with a body, or
// with the arguments in the query (device-clients.md §4.2). Newer ones never
// ask; they are told that all is well.
func (h *handler) unsetChannel(w http.ResponseWriter, r *http.Request) {
	var c channelCall
	if len(r.URL.RawQuery) > 0 && r.ContentLength <= 0 {
		b, e := fromQuery(r.URL.Query())
		if e != nil {
			writeRefused(w, e)
			return
		}
		if !h.open(w, r, &b, strictness{device: true, emptyCode: queryBody.emptyCode}, &c) {
			return
		}
	} else if !h.fromBody(w, r, &c) {
		return
	}
	if c.plugin.has(keepsChannel) {
		ok(w, r)
		return
	}
	h.rememberChannel(w, r, &c, "")
}

// getChannel tells a device its channel: PUT channelUrl (device-clients.md
// §4.3). From 8.47.9 on a plugin keeps the name for ever, so only the channel
// that decisions are made on is ever named; 400 channel_not_found lets the
// plugin answer with its own.
func (h *handler) getChannel(w http.ResponseWriter, r *http.Request) {
	var c channelCall
	if h.fromBody(w, r, &c) {
		h.tellChannel(w, &c)
	}
}

func (h *handler) tellChannel(w http.ResponseWriter, c *channelCall) {
	found, resolved := decide.Resolve(c.snapshot, c.overlay, &c.Query)
	if !resolved {
		writeError(w, http.StatusBadRequest, "channel_not_found", "No channel for this device")
		return
	}
	status := "default"
	if c.overlay.Pin == found.Name || c.Channel == found.Name && !found.Default.Has(c.Platform) {
		status = "override"
	}
	allow := `,"allowSet":`
	if c.plugin.electron {
		allow = `,"allow_set":`
	}
	b := append([]byte(nil), `{"channel":`...)
	b = appendString(b, found.Name)
	b = append(b, `,"status":"`+status+`"`+allow...)
	b = appendBool(b, found.SelfAssign)
	write(w, http.StatusOK, append(b, '}'))
}

// listChannels lists what a device may choose: GET channelUrl. Electron's plugin
// uses GET without action=list for what others do by PUT (device-clients.md
// §4.4, §4.6).
func (h *handler) listChannels(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	b, e := fromQuery(query)
	if e != nil {
		writeRefused(w, e)
		return
	}
	var c channelCall
	if !h.open(w, r, &b, queryBody, &c) {
		return
	}
	if c.plugin.electron && c.action != "list" {
		h.tellChannel(w, &c)
		return
	}
	list := []byte{'['}
	for _, ch := range c.snapshot.Channels() {
		if !c.mayChoose(ch) {
			continue
		}
		if len(list) > 1 {
			list = append(list, ',')
		}
		list = c.appendChannel(list, ch, query.Has("plugin_version"))
	}
	list = append(list, ']')
	if c.plugin.electron {
		list = append(append([]byte(`{"channels":`), list...), '}')
	}
	write(w, http.StatusOK, list)
}

// mayChoose reports whether a channel belongs in a device's list.
func (c *channelCall) mayChoose(ch *decide.Channel) bool {
	kind := ch.Device
	if c.Emulator {
		kind = ch.Emulator
	}
	build := ch.Dev
	if c.Prod {
		build = ch.Prod
	}
	return (ch.SelfAssign || ch.Default.Has(c.Platform)) && ch.Platforms.Has(c.Platform) && kind && build
}

// appendChannel appends one channel. Its id is an integer, except to plugins
// that fail on one; the oldest send no version, and they take a string.
func (c *channelCall) appendChannel(b []byte, ch *decide.Channel, versioned bool) []byte {
	b = append(b, `{"id":`...)
	if versioned && c.plugin.has(readsNumericID) {
		b = appendInt(b, ch.Seq)
	} else {
		b = append(b, '"')
		b = appendInt(b, ch.Seq)
		b = append(b, '"')
	}
	b = append(b, `,"name":`...)
	b = appendString(b, ch.Name)
	b = append(b, `,"public":`...)
	b = appendBool(b, ch.Default.Has(c.Platform))
	b = append(b, `,"allow_self_set":`...)
	b = appendBool(b, ch.SelfAssign)
	return append(b, '}')
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, "true"...)
	}
	return append(b, "false"...)
}

// fromQuery reads a device description from query parameters. Booleans are the
// text "true" or "false".
func fromQuery(v url.Values) (body, *refusedBody) {
	b := body{
		Platform: v.Get("platform"), DeviceID: v.Get("device_id"), AppID: v.Get("app_id"), CustomID: v.Get("custom_id"),
		VersionBuild: v.Get("version_build"), VersionCode: v.Get("version_code"), VersionOS: v.Get("version_os"),
		VersionName: v.Get("version_name"), PluginVersion: v.Get("plugin_version"), InstallSource: v.Get("install_source"),
		DefaultChannel: v.Get("defaultChannel"), KeyID: v.Get("key_id"), Channel: v.Get("channel"), Action: v.Get("action"),
	}
	for name, field := range map[string]**bool{"is_emulator": &b.IsEmulator, "is_prod": &b.IsProd} {
		switch value := v.Get(name); value {
		case "":
		case "true", "false":
			is := value == "true"
			*field = &is
		default:
			return b, &refusedBody{code: queryBody.emptyCode, message: name + " is neither true nor false", field: "field", value: name}
		}
	}
	return b, nil
}
