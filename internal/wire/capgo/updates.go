package capgo

import (
	"net/http"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/ingest"
)

// updates answers an update check: POST updateUrl (device-clients.md §3).
func (h *handler) updates(w http.ResponseWriter, r *http.Request) {
	readBody(w, r, func(raw []byte) {
		var b body
		var q question
		if e := parse(raw, &b); e != nil {
			writeRefused(w, e)
			return
		}
		q.At = h.Now()
		if e := b.normalise(checkBody, &q); e != nil {
			writeRefused(w, e)
			return
		}
		app, known, err := h.App(q.app)
		switch {
		case err != nil:
			h.unavailable(w, r, err)
			return
		case !known:
			write(w, http.StatusOK, unknownApp(q.app))
			return
		}
		d := decide.Decide(app, h.Overlay(q.app, q.Device), &q.Query)
		h.answer(w, r, &d, &q)
		h.Seen(ingest.Sighting{Device: *b.describe(&q), Decision: d})
	})
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request, d *decide.Decision, q *question) {
	switch d.Outcome {
	case capstan.Offer:
		writeAnswer(w, r, h.offer(d))
	case capstan.Builtin:
		write(w, http.StatusOK, builtinAnswer)
	default:
		var space [512]byte
		write(w, http.StatusOK, appendRefusal(space[:0], d, q))
	}
}

// offer returns the prepared answer. A form that Prepare left out is encoded
// here, so that no plugin goes without.
func (h *handler) offer(d *decide.Decision) decide.Answer {
	if a := d.Bundle.Answers[d.Form]; a.Identity != nil {
		return a
	}
	return encode(d.Bundle, d.Form, h.PublicURL)
}

// Answer is the body that a device is sent for a decision: what `capstan why`
// shows.
func Answer(d decide.Decision, a Asked, publicURL string) []byte {
	switch d.Outcome {
	case capstan.Offer:
		return appendOffer(nil, d.Bundle, d.Form, publicURL)
	case capstan.Builtin:
		return builtinAnswer
	}
	return appendRefusal(nil, &d, &a.question)
}

// Asked is what somebody wants explained: a device's question.
type Asked struct{ question }

// AskedByBody reads a body as a plugin sends it to updateUrl. The error has
// code invalid.
func AskedByBody(raw []byte, appID string) (Asked, error) {
	var b body
	var a Asked
	if e := parse(raw, &b); e != nil {
		return a, asInvalid(e)
	}
	if b.AppID == "" {
		b.AppID = appID
	}
	if b.DeviceID == "" {
		b.DeviceID = capstan.DeviceID{}.String()
	}
	if e := b.normalise(checkBody, &a.question); e != nil {
		return a, asInvalid(e)
	}
	return a, nil
}

func asInvalid(e *refusedBody) error {
	err := capstan.Errorf(capstan.CodeInvalid, "%s (%s)", e.message, e.code).On("query")
	if e.value != "" {
		err.Hint("look at the field " + e.value)
	}
	return err
}

// AskedByDevice is the question that a device asked last.
func AskedByDevice(d capstan.Device) (Asked, error) {
	prod, emulator := d.Prod, d.Emulator
	b := body{
		Platform: string(d.Platform), DeviceID: d.ID.String(), AppID: d.App, CustomID: d.CustomID, VersionBuild: d.NativeVersion,
		VersionCode: d.NativeBuild, VersionOS: d.OSVersion, VersionName: d.Running, PluginVersion: d.PluginVersion,
		IsEmulator: &emulator, IsProd: &prod, InstallSource: d.InstallSource, DefaultChannel: d.Channel, KeyID: d.KeyID,
	}
	var a Asked
	if e := b.normalise(checkBody, &a.question); e != nil {
		return a, asInvalid(e)
	}
	return a, nil
}
