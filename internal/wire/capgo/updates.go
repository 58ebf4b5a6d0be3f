package capgo

import (
	"net/http"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/ingest"
)

// updates answers "what should I run?" (device-clients.md §3). It is the hot
// path: no database, no disk, and as little memory as decoding needs.
func (h *Handler) updates(w http.ResponseWriter, r *http.Request) {
	s := h.borrow()
	defer h.giveBack(s)
	q, bad := h.question(s, r)
	if bad != nil {
		h.fault(w, bad)
		return
	}
	app, known, err := h.deps.App(q.app)
	switch {
	case err != nil:
		h.unavailable(w, r, err)
		return
	case !known:
		h.unknownApp(w, q.app, checkRules)
		return
	}
	d := decide.Decide(app, h.deps.Overlay(app.Row.ID, q.Device), &q.Query)
	// Before the answer: a device that fails at once must find its offer on record.
	h.deps.Seen(ingest.Sighting{Device: q.sighting(&s.fields), Decision: d})
	if d.Outcome == capstan.Offer {
		a := &d.Bundle.Answers[d.Form]
		if a.Identity == nil {
			made := encode(d.Bundle, d.Form, h.deps.PublicURL)
			a = &made
		}
		h.sendPrepared(w, r, a)
		return
	}
	s.out = appendAnswer(s.out, &d, &q.Query, q.sentRunning)
	h.send(w, http.StatusOK, s.out)
}

// question reads an update check.
func (h *Handler) question(s *scratch, r *http.Request) (*question, *fault) {
	var bad *fault
	if s.in, bad = readBody(r, s.in, maxBody); bad != nil {
		return nil, bad
	}
	found, bad := decode(s.in, &s.fields, &s.fields, nil)
	if bad != nil {
		return nil, bad
	}
	isEmpty := s.fields.DeviceID == "" && empty(s.in)
	return &s.q, s.q.normalise(&s.fields, checkRules, found, isEmpty, h.deps.Now())
}

// unknownApp answers a device whose app is not here: 200 and blocked, which
// every plugin takes for "not now". An id that no app can have is told apart.
func (h *Handler) unknownApp(w http.ResponseWriter, id string, by rules) {
	if err := capstan.ValidateAppID(id); err != nil {
		h.fault(w, issues{{"app_id", "Expected a reverse-domain name"}}.fault(by.invalid))
		return
	}
	h.send(w, http.StatusOK, appendUnknownApp(nil, id))
}

// appendAnswer appends what a device is told that is not offered anything.
func appendAnswer(b []byte, d *decide.Decision, q *decide.Query, sentRunning string) []byte {
	if d.Outcome == capstan.Builtin {
		return append(b, builtinAnswer...)
	}
	return appendRefusal(b, d, q, sentRunning)
}
