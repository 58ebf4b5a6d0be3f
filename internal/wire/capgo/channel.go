package capgo

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

type channelFields struct {
	fields
	Channel string `json:"channel"`
	Action  string `json:"action"` // Electron
}

func (f *channelFields) more(each func(name string, value *string)) {
	each("channel", &f.Channel)
	each("action", &f.Action)
}

// channelCall is a channel request whose app is known.
type channelCall struct {
	question
	asked   string // the channel that the request is about
	action  string
	row     *decide.App
	overlay decide.Overlay
}

// channelSelf answers everything that devices do about their channel
// (device-clients.md §4). Electron sends GET where the others send PUT, and
// POST with an action where they send nothing (§4.6).
func (h *Handler) channelSelf(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		if c := h.call(w, r, channelRules); c != nil {
			if c.action == "unset" {
				h.unsetChannel(w, r, c)
			} else {
				h.setChannel(w, r, c)
			}
		}
	case http.MethodPut:
		if c := h.call(w, r, channelRules); c != nil {
			h.tellChannel(w, c)
		}
	case http.MethodDelete:
		if c := h.call(w, r, queryRules); c != nil {
			h.unsetChannel(w, r, c)
		}
	default:
		c := h.call(w, r, listRules)
		switch {
		case c == nil:
		case c.plugin.electron && c.action != "list":
			h.tellChannel(w, c)
		default:
			h.listChannels(w, c)
		}
	}
}

// call reads a channel request; when it returns nil it has answered. DELETE
// comes with a body from old plugins, and with a query from others.
func (h *Handler) call(w http.ResponseWriter, r *http.Request, by rules) *channelCall {
	var f channelFields
	var found issues
	var isEmpty bool
	byQuery := by.invalid == queryRules.invalid
	if !byQuery || r.Method == http.MethodDelete && r.ContentLength != 0 {
		raw, bad := readBody(r, nil, maxBody)
		if bad == nil {
			found, bad = decode(raw, &f, &f.fields, f.more)
		}
		if bad != nil {
			h.fault(w, bad)
			return nil
		}
		isEmpty = f.DeviceID == "" && empty(raw)
	} else {
		values, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			h.fault(w, issues{{"", "Expected a query string"}}.fault(by.invalid))
			return nil
		}
		found = fromQuery(values, &f.fields)
		f.more(func(name string, value *string) { *value = values.Get(name) })
		isEmpty = len(values) == 0
	}
	c := &channelCall{asked: f.Channel, action: f.Action}
	if bad := c.normalise(&f.fields, by, found, isEmpty, h.deps.Now()); bad != nil {
		h.fault(w, bad)
		return nil
	}
	return h.open(w, r, c, by)
}

// open finds the app of a call.
func (h *Handler) open(w http.ResponseWriter, r *http.Request, c *channelCall, by rules) *channelCall {
	app, known, err := h.deps.App(c.app)
	switch {
	case err != nil:
		h.unavailable(w, r, err)
		return nil
	case !known && capstan.ValidateAppID(c.app) != nil:
		h.unknownApp(w, c.app, by)
		return nil
	case !known:
		h.refuse(w, http.StatusOK, "app_not_found", unknownApp(c.app), `,"kind":"blocked"`)
		return nil
	}
	c.row, c.overlay = app, h.deps.Overlay(app.Row.ID, c.Device)
	return c
}

// refuse answers a channel call that is not granted. Status "error" is for
// Electron, which stores the channel of an answer whose status is absent or ok
// even beside an error (device-clients.md §4.6).
func (h *Handler) refuse(w http.ResponseWriter, status int, code, message, more string) {
	b := append([]byte(nil), `{"error":`...)
	b = appendString(b, code)
	b = append(b, `,"message":`...)
	b = appendString(b, message)
	b = append(b, `,"status":"error"`...)
	b = append(b, more...)
	w.Header()["Cache-Control"] = noStore
	h.send(w, status, append(b, '}'))
}

// refuseChannel names what was asked for.
func (h *Handler) refuseChannel(w http.ResponseWriter, c *channelCall, code, message string) {
	more := append([]byte(nil), `,"channel":`...)
	more = appendString(more, clip(c.asked, maxID))
	more = append(more, `,"app_id":`...)
	more = appendString(more, c.app)
	h.refuse(w, http.StatusOK, code, message, string(more))
}

// setChannel answers a device that chooses its channel (decisions.md §2.2). A
// plugin that keeps its channel itself only has its choice checked; for older
// ones it is recorded, if the app allows such unauthenticated writes.
func (h *Handler) setChannel(w http.ResponseWriter, r *http.Request, c *channelCall) {
	if c.asked == "" {
		h.refuse(w, http.StatusOK, "missing_channel", "channel is missing", "")
		return
	}
	keeps := c.plugin.has(keepsChannel)
	if !keeps && c.overlay.PinKind == capstan.PinOperator {
		h.refuse(w, http.StatusOK, "cannot_override", "An operator chose the channel of this device", "")
		return
	}
	channel := c.row.Channel(c.asked)
	switch {
	case channel == nil:
		h.refuseChannel(w, c, "channel_not_found", fmt.Sprintf("There is no channel %q", clip(c.asked, maxID)))
	case !channel.Platforms.Has(c.Platform):
		h.refuseChannel(w, c, "disabled_platform_"+string(c.Platform), fmt.Sprintf("Channel %q does not serve this platform", channel.Name))
	case c.leadsToDefault(channel) && c.plugin.has(understandsUnset):
		// Not naming the default keeps the device with it when it moves.
		h.send(w, http.StatusOK, []byte(`{"status":"ok","unset":true,"message":"That is the default channel, which needs no choosing"}`))
	case c.leadsToDefault(channel) && !keeps:
		h.remember(w, r, c, "")
	case !channel.SelfAssign && channel.Default != 0:
		h.refuseChannel(w, c, "public_channel_self_set_not_allowed", "Devices need not choose this channel: it is a default")
	case !channel.SelfAssign:
		h.refuseChannel(w, c, "channel_self_set_not_allowed", "Devices may not choose this channel")
	case keeps:
		h.send(w, http.StatusOK, []byte(`{"status":"ok","allowSet":true}`))
	default:
		h.remember(w, r, c, channel.Name)
	}
}

// leadsToDefault reports whether a device that names the channel gets what it
// gets without naming one: it is its platform's default, or once was.
func (c *channelCall) leadsToDefault(channel *decide.Channel) bool {
	return channel.Default.Has(c.Platform) ||
		channel.FormerDefault.Has(c.Platform) && c.row.Default(c.Platform) != nil
}

// remember records the choice of a plugin that cannot keep it; "" takes it
// back, which needs no leave of the app.
func (h *Handler) remember(w http.ResponseWriter, r *http.Request, c *channelCall, name string) {
	switch {
	case name == "" && c.overlay.PinKind != capstan.PinSelf, name != "" && c.overlay.Pin == name:
		h.ok(w) // nothing to change
		return
	case name != "" && !c.row.Row.SelfSet:
		h.refuseChannel(w, c, "channel_self_server_storage_unavailable",
			"This plugin version cannot keep its channel, and the app does not let the server keep it")
		return
	}
	if err := h.deps.SetSelfPin(r.Context(), c.app, c.Device, name); err != nil {
		h.unavailable(w, r, err)
		return
	}
	h.ok(w)
}

// unsetChannel takes a choice back (decisions.md §2.4). Plugins that keep their
// channel themselves do not need us for that.
func (h *Handler) unsetChannel(w http.ResponseWriter, r *http.Request, c *channelCall) {
	switch {
	case c.plugin.has(keepsChannel):
		h.ok(w)
	case c.overlay.PinKind == capstan.PinOperator:
		h.refuse(w, http.StatusOK, "cannot_override", "An operator chose the channel of this device", "")
	case c.overlay.PinKind != capstan.PinSelf:
		h.refuse(w, http.StatusOK, "cannot_override", "This device has no channel of its own", "")
	default:
		h.remember(w, r, c, "")
	}
}

// tellChannel tells a device its channel. From 8.47.9 / x.50.1 on a plugin
// keeps the name for ever (device-clients.md §4.3), so no other channel is ever
// named than the one that decisions are made on.
func (h *Handler) tellChannel(w http.ResponseWriter, c *channelCall) {
	channel, ok := decide.Resolve(c.row, c.overlay, &c.Query)
	if !ok {
		h.refuse(w, http.StatusBadRequest, "channel_not_found", "There is no channel for this device", "")
		return
	}
	status := "default"
	if c.overlay.Pin == channel.Name {
		status = "override"
	}
	b := append([]byte(nil), `{"channel":`...)
	b = appendString(b, channel.Name)
	b = append(b, `,"status":"`...)
	b = append(b, status...)
	if c.plugin.electron {
		b = append(b, `","allow_set":`...)
	} else {
		b = append(b, `","allowSet":`...)
	}
	b = strconv.AppendBool(b, c.maySet())
	w.Header()["Cache-Control"] = noStore
	h.send(w, http.StatusOK, append(b, '}'))
}

// maySet reports whether choosing a channel would have an effect.
func (c *channelCall) maySet() bool {
	return c.overlay.PinKind != capstan.PinOperator && (c.plugin.has(keepsChannel) || c.row.Row.SelfSet)
}

// listChannels lists what a device can be on: a bare array, for Electron an
// object (device-clients.md §4.4, §4.6).
func (h *Handler) listChannels(w http.ResponseWriter, c *channelCall) {
	var b []byte
	if c.plugin.electron {
		b = append(b, `{"channels":`...)
	}
	b = append(b, '[')
	first := true
	for _, channel := range c.row.Channels() {
		if !c.lists(channel) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = c.appendChannel(b, channel)
	}
	b = append(b, ']')
	if c.plugin.electron {
		b = append(b, '}')
	}
	w.Header()["Cache-Control"] = noStore
	h.send(w, http.StatusOK, b)
}

// lists reports whether the channel is for this device (decisions.md §2.5).
func (c *channelCall) lists(channel *decide.Channel) bool {
	kind, build := channel.Device, channel.Dev
	if c.Emulator {
		kind = channel.Emulator
	}
	if c.Prod {
		build = channel.Prod
	}
	return (channel.SelfAssign || channel.Default.Has(c.Platform)) && channel.Platforms.Has(c.Platform) && kind && build
}

// appendChannel appends one channel. Its id is an integer or a text by plugin:
// the newer ones fail on a text, older iOS fails on a number.
func (c *channelCall) appendChannel(b []byte, channel *decide.Channel) []byte {
	b = append(b, `{"id":`...)
	if c.plugin.has(readsNumericID) {
		b = strconv.AppendInt(b, channel.Seq, 10)
	} else {
		b = append(b, '"')
		b = strconv.AppendInt(b, channel.Seq, 10)
		b = append(b, '"')
	}
	b = append(b, `,"name":`...)
	b = appendString(b, channel.Name)
	b = append(b, `,"public":`...)
	b = strconv.AppendBool(b, channel.Default.Has(c.Platform))
	b = append(b, `,"allow_self_set":`...)
	b = strconv.AppendBool(b, channel.SelfAssign)
	return append(b, '}')
}
