package capgo

import (
	"bytes"
	"encoding/json/jsontext"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/capstan-ota/capstan"
)

const (
	maxStats  = 1 << 20 // bytes that are read of a request
	maxEvents = 500     // that are kept of a request; the rest is counted
	// maxDrain is how much more of a body is taken and thrown away: a client
	// that is cut off while it sends does not read the answer, and sends the same
	// again a second later.
	maxDrain = 16 << 20
)

// batch is what one request brings.
type batch struct {
	single  bool
	events  []capstan.Event
	results []result // one per item that was looked at
	dropped int64    // items that were not
	refused int64
}

// result is what became of one item; no code means kept.
type result struct{ code, message string }

// stats takes one event or an array of them (device-clients.md §5). Events are
// durable before the 200. An item that makes no sense is told so in its own
// result, since a 4xx makes plugins throw the whole batch away.
func (h *Handler) stats(w http.ResponseWriter, r *http.Request) {
	raw, whole, err := readPrefix(r, maxStats)
	if err != nil {
		h.unavailable(w, r, err) // the plugin keeps the batch
		return
	}
	b, bad, err := h.readBatch(raw, whole)
	switch {
	case err != nil:
		h.unavailable(w, r, err)
		return
	case bad != nil:
		h.fault(w, bad)
		return
	}
	if len(b.events) > 0 {
		if err := h.deps.Events(r.Context(), b.events); err != nil {
			h.unavailable(w, r, err)
			return
		}
	}
	h.droppedEvents.Add(b.dropped)
	h.refusedEvents.Add(b.refused)
	if b.dropped > 0 {
		// Not a warning: anybody can make us write it.
		h.deps.Log.Debug("events above the limit of one request were dropped", "kept", len(b.events), "dropped", b.dropped)
	}
	h.send(w, http.StatusOK, b.appendAnswer(nil))
}

// readPrefix reads up to limit bytes of the body and throws away what follows;
// whole says that nothing did. The error is a body that broke off.
func readPrefix(r *http.Request, limit int) (raw []byte, whole bool, err error) {
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 {
		buf.Grow(int(min(n, int64(limit))) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(io.LimitReader(r.Body, int64(limit))); err != nil {
		return nil, false, err
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxDrain))
	return buf.Bytes(), rest == 0, err
}

// readBatch reads an object or an array of objects, one item after another, so
// that what fits is kept of a body that is too long. err is set when the store
// cannot be asked.
func (h *Handler) readBatch(raw []byte, whole bool) (*batch, *fault, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw), statsOptions)
	read := reader{h: h, now: h.deps.Now(), batch: &batch{}}
	switch dec.PeekKind() {
	case '{':
		read.batch.single = true
		item, err := dec.ReadValue()
		switch {
		case err != nil && !whole:
			read.refuse("event_too_large", "The event is larger than 1 MiB")
			return read.batch, nil, nil
		case err != nil:
			return nil, notJSON(), nil
		}
		if err := read.item(item); err != nil {
			return nil, nil, err
		}
	case '[':
		bad, err := read.array(dec, whole)
		if bad != nil || err != nil {
			return nil, bad, err
		}
	default:
		if _, err := dec.ReadValue(); err != nil {
			return nil, notJSON(), nil
		}
		return nil, issues{{"", "Expected an object or an array of objects"}}.fault("invalid_json_body"), nil
	}
	if _, err := dec.ReadToken(); whole && err != io.EOF {
		return nil, notJSON(), nil
	}
	return read.batch, nil, nil
}

// reader turns items into events.
type reader struct {
	h     *Handler
	now   time.Time
	batch *batch
	app   string // the one that was looked up last
	known bool
}

func (r *reader) array(dec *jsontext.Decoder, whole bool) (*fault, error) {
	if _, err := dec.ReadToken(); err != nil {
		return notJSON(), nil
	}
	for {
		kind := dec.PeekKind()
		if kind == ']' {
			_, err := dec.ReadToken()
			if err != nil {
				return notJSON(), nil
			}
			return nil, nil
		}
		full := len(r.batch.results) >= maxEvents
		var item jsontext.Value
		var err error
		if full {
			err = dec.SkipValue()
		} else {
			item, err = dec.ReadValue()
		}
		switch {
		case err != nil && !whole:
			r.batch.dropped++ // at least the one that was cut
			return nil, nil
		case err != nil:
			return notJSON(), nil
		case full:
			r.batch.dropped++
		default:
			if err := r.item(item); err != nil {
				return nil, err
			}
		}
	}
}

// item reads one event, or notes why it was refused.
func (r *reader) item(raw jsontext.Value) error {
	e, bad := r.event(raw)
	if bad.code == "" {
		known, err := r.knows(e.App)
		if err != nil {
			return err
		}
		if !known {
			bad = result{"app_not_found", unknownApp(e.App)}
		}
	}
	if bad.code != "" {
		r.refuse(bad.code, bad.message)
		return nil
	}
	if r.h.deps.NewID != nil {
		e.ID = r.h.deps.NewID()
	}
	r.batch.events = append(r.batch.events, e)
	r.batch.results = append(r.batch.results, bad)
	return nil
}

func (r *reader) refuse(code, message string) {
	r.batch.refused++
	r.batch.results = append(r.batch.results, result{code, message})
}

func (r *reader) knows(app string) (bool, error) {
	if app == r.app {
		return r.known, nil
	}
	_, known, err := r.h.deps.App(app)
	if err != nil {
		return false, err
	}
	r.app, r.known = app, known
	return known, nil
}

// appendAnswer appends what the plugin is told (decisions.md §3.1). It is never
// empty: iOS takes an empty 200 for a failure and sends the batch again, for
// ever.
func (b *batch) appendAnswer(out []byte) []byte {
	if b.single {
		return b.results[0].append(out, -1)
	}
	out = append(out, `{"status":"ok","results":[`...)
	for i, one := range b.results {
		if i > 0 {
			out = append(out, ',')
		}
		out = one.append(out, i)
	}
	out = append(out, ']')
	if b.dropped > 0 {
		out = append(out, `,"dropped":`...)
		out = strconv.AppendInt(out, b.dropped, 10)
	}
	return append(out, '}')
}

// append appends one result; a negative index is not told.
func (r result) append(out []byte, index int) []byte {
	if r.code == "" {
		out = append(out, `{"status":"ok"`...)
	} else {
		out = append(out, `{"status":"error","error":`...)
		out = appendString(out, r.code)
		out = append(out, `,"message":`...)
		out = appendString(out, r.message)
	}
	if index >= 0 {
		out = append(out, `,"index":`...)
		out = strconv.AppendInt(out, int64(index), 10)
	}
	return append(out, '}')
}
