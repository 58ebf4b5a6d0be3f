package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/capstan-ota/capstan"
)

// ChannelInfo is one channel that a device may choose.
type ChannelInfo struct {
	ID           string `json:"id"` // as text, whatever the wire had
	Name         string `json:"name"`
	Public       bool   `json:"public"`
	AllowSelfSet bool   `json:"allow_self_set"`
}

// ChannelReply is what a channel call told the app. A refusal is in Error.
type ChannelReply struct {
	Channel  string        `json:"channel,omitempty"`
	Status   string        `json:"status,omitempty"`
	AllowSet bool          `json:"allow_set,omitempty"`
	Channels []ChannelInfo `json:"channels,omitempty"`
	Error    string        `json:"error,omitempty"`
	Message  string        `json:"message,omitempty"`
}

// SetChannel ties the device to a channel (device-clients.md §4.1).
func (d *Device) SetChannel(ctx context.Context, name string) (ChannelReply, error) {
	electron := d.profile.Platform == capstan.Electron
	body := d.info(forChannel, d.current().Version, d.channel()).with("channel", name)
	if electron {
		body = body.with("action", "set")
	}
	return d.channelCall(ctx, "set", http.MethodPost, d.opt.URLs.ChannelSelf, body, func(r reply, o lenient) ChannelReply {
		answer := d.channelAnswer(r, o)
		if electron {
			// An error beside a good status does not count (§4.6).
			if s := answer.Status; r.ok() && (s == "" || s == "ok" || s == "success") {
				d.saved.Channel, answer.Error = name, ""
			}
			return answer
		}
		switch {
		case answer.Error != "":
			if strings.Contains(answer.Error, "cannot_update_via_private_channel") || strings.Contains(answer.Error, "channel_self_set_not_allowed") {
				d.event("channelPrivate")
			}
		case d.can.unsetField && o.flag("unset"):
			d.saved.Channel = ""
		case d.can.keepsChannel:
			d.saved.Channel = name
		}
		return answer
	})
}

// UnsetChannel forgets the channel: locally, or on old plugins by a DELETE with
// a body (§4.2).
func (d *Device) UnsetChannel(ctx context.Context) (ChannelReply, error) {
	body := d.info(forChannel, d.current().Version, d.channel())
	switch {
	case d.profile.Platform == capstan.Electron:
		r, err := d.channelCall(ctx, "unset", http.MethodPost, d.opt.URLs.ChannelSelf, body.with("action", "unset"), d.channelAnswer)
		d.saved.Channel = ""
		if saveErr := d.save(); err == nil {
			err = saveErr
		}
		return r, err
	case d.can.deletes:
		return d.channelCall(ctx, "unset", http.MethodDelete, d.opt.URLs.ChannelSelf, body, d.channelAnswer)
	case !d.can.keepsChannel && !d.can.defaultChannel:
		return ChannelReply{Error: "not_supported", Message: "this plugin cannot unset a channel"}, nil
	}
	d.saved.Channel = ""
	d.note(Entry{What: WhatChannel, Name: "unset", Detail: "locally"})
	return ChannelReply{Status: "ok"}, d.save()
}

// GetChannel asks for the channel; newer plugins keep the answer, and send it
// from then on (§4.3).
func (d *Device) GetChannel(ctx context.Context) (ChannelReply, error) {
	sent := d.channel()
	info := d.info(forChannel, d.current().Version, sent)
	if d.profile.Platform == capstan.Electron {
		return d.channelCall(ctx, "get", http.MethodGet, d.opt.URLs.ChannelSelf+"?"+info.query().Encode(), nil, func(r reply, o lenient) ChannelReply {
			answer := d.channelAnswer(r, o)
			answer.AllowSet = o.flag("allow_set")
			if answer.Error != "" {
				answer.Channel = sent // on any error the local value
			}
			return answer
		})
	}
	return d.channelCall(ctx, "get", http.MethodPut, d.opt.URLs.ChannelSelf, info, func(r reply, o lenient) ChannelReply {
		answer := d.channelAnswer(r, o)
		if r.status == http.StatusBadRequest && sent != "" && d.saysNotFound(r, answer) {
			return ChannelReply{Channel: sent, Status: "default", AllowSet: true}
		}
		if answer.Error != "" {
			return answer
		}
		answer.AllowSet = o.flag("allowSet") || !o.has("allowSet") && d.profile.Platform == capstan.IOS
		if d.can.getKeeps && answer.Channel != "" && answer.Channel != "builtin" {
			d.saved.Channel = answer.Channel
		}
		return answer
	})
}

// saysNotFound: Android looks for the words in the body, iOS compares the code.
func (d *Device) saysNotFound(r reply, answer ChannelReply) bool {
	if d.profile.Platform == capstan.IOS {
		return answer.Error == "channel_not_found"
	}
	return bytes.Contains(r.body, []byte("channel_not_found"))
}

// ListChannels asks for the channels that may be chosen (§4.4, §4.6).
func (d *Device) ListChannels(ctx context.Context) (ChannelReply, error) {
	info := d.info(forChannel, d.current().Version, d.channel())
	if d.profile.Platform == capstan.Electron {
		address := d.opt.URLs.ChannelSelf + "?" + info.with("action", "list").query().Encode()
		return d.channelCall(ctx, "list", http.MethodGet, address, nil, d.electronList)
	}
	if !d.can.lists {
		return ChannelReply{Error: "not_supported", Message: "this plugin cannot list channels"}, nil
	}
	if !d.can.listsInfo {
		var short object
		for _, f := range info {
			if f.key == "app_id" || f.key == "platform" || f.key == "is_emulator" || f.key == "is_prod" {
				short = append(short, f)
			}
		}
		info = short
	}
	address := d.opt.URLs.ChannelSelf
	if u, err := url.Parse(address); err == nil && address != "" {
		q := u.Query() // parameters are added to those of the configuration
		maps.Copy(q, info.query())
		u.RawQuery = q.Encode()
		address = u.String()
	}
	return d.channelCall(ctx, "list", http.MethodGet, address, nil, d.list)
}

// list reads a bare array; an object can only be an error.
func (d *Device) list(r reply, o lenient) ChannelReply {
	if o != nil || !r.ok() {
		answer := d.channelAnswer(r, o)
		if answer.Error == "" {
			answer.Error, answer.Message = "parse_error", "Unexpected channels response format"
		}
		return answer
	}
	var items []json.RawMessage
	if json.Unmarshal(r.body, &items) != nil || items == nil {
		return ChannelReply{Error: "parse_error", Message: "Unexpected channels response format"}
	}
	answer := ChannelReply{Channels: []ChannelInfo{}}
	for _, item := range items {
		info, ok := d.channelInfo(item)
		if !ok {
			return ChannelReply{Error: "decode_error", Message: "a channel of the list has a field of the wrong type"}
		}
		answer.Channels = append(answer.Channels, info)
	}
	return answer
}

// channelInfo minds the type of the id: an integer from 8.47.7 / x.50.1 on, an
// optional string on older iOS, anything on older Android (§4.4).
func (d *Device) channelInfo(item json.RawMessage) (ChannelInfo, bool) {
	o, ok := readLenient(item)
	if !ok {
		return ChannelInfo{}, false
	}
	info := ChannelInfo{ID: o.text("id"), Name: o.text("name"), Public: o.flag("public"), AllowSelfSet: o.flag("allow_self_set")}
	ios := d.profile.Platform == capstan.IOS
	switch id := o["id"].(type) {
	case json.Number:
		_, err := id.Int64()
		ok = d.can.numericID && err == nil || !d.can.numericID && !ios
	case string:
		ok = !d.can.numericID
	default:
		ok = !d.can.numericID && id == nil
	}
	return info, ok
}

// electronList reads an object with channels; anything else is an empty list.
func (d *Device) electronList(r reply, o lenient) ChannelReply {
	answer := ChannelReply{Channels: []ChannelInfo{}}
	if !r.ok() {
		return d.channelAnswer(r, o)
	}
	items, _ := o["channels"].([]any)
	for _, item := range items {
		m, _ := item.(map[string]any)
		c := lenient(m)
		answer.Channels = append(answer.Channels, ChannelInfo{
			ID: c.text("id"), Name: c.text("name"), Public: c.flag("public"),
			AllowSelfSet: c.flag("allow_self_set") || c.flag("allow_set"),
		})
	}
	return answer
}

// channelCall makes a channel request unless configuration or a 429 forbids it,
// and lets read act on the answer.
func (d *Device) channelCall(ctx context.Context, name, method, address string, body any, read func(reply, lenient) ChannelReply) (ChannelReply, error) {
	switch {
	case d.opt.URLs.ChannelSelf == "":
		return ChannelReply{Error: "missing_config", Message: "channelUrl is empty"}, nil
	case d.proc.latched:
		return ChannelReply{Error: "rate_limit_exceeded", Message: "Rate limit exceeded"}, nil
	case d.blocked():
		return ChannelReply{Error: d.proc.blockCode, Message: d.proc.blockMessage}, nil
	}
	r := d.call(ctx, method, address, body)
	if r.err == nil && r.status == http.StatusTooManyRequests {
		d.tooMany(ctx, r)
	}
	o, _ := readLenient(r.body)
	answer := read(r, o)
	d.note(Entry{What: WhatChannel, Name: name, Status: r.status, Bytes: int64(len(r.body)), Took: r.took, Detail: bounded(answer.Error)})
	if err := d.save(); err != nil {
		return answer, err
	}
	return answer, ctx.Err()
}

// channelAnswer reads the fields that all answers share. On Android the key
// error counts even when it is null, and reads "null" (§4.3).
func (d *Device) channelAnswer(r reply, o lenient) ChannelReply {
	a := ChannelReply{Channel: o.text("channel"), Status: o.text("status"), Error: o.text("error"), Message: o.text("message")}
	switch {
	case r.err != nil:
		a.Error, a.Message = "network_error", bounded(r.err.Error())
	case !r.ok() && a.Error == "":
		a.Error = "response_error"
	case o == nil:
		a.Error = "parse_error"
	case d.profile.Platform == capstan.Android && o.has("error") && a.Error == "":
		a.Error = "null"
	}
	return a
}
