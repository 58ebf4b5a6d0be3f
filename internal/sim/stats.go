package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/capstan-ota/capstan"
)

// event is a statistic before it is put into words.
type event struct {
	action    string
	version   string // of the bundle it is about
	noVersion bool   // Android: a null drops the key (§5.2)
	old       string
	metadata  map[string]string
	bundle    string // Electron's bundle_id
}

// maxQueue is the cap of the persistent queue; the oldest goes (§5.3).
const maxQueue = 200

// stat records a statistic: into the queue where the plugin has one, else out
// at once.
func (d *Device) stat(ctx context.Context, e event) {
	if d.opt.URLs.Stats == "" {
		return
	}
	if !d.can.batches || d.profile.Platform == capstan.Electron {
		d.single(ctx, forStats, e)
		return
	}
	if d.proc.latched {
		return
	}
	d.noteStat(e, "queued")
	body := d.eventBody(forStats, e).with("timestamp", d.now().UnixMilli())
	if len(e.metadata) > 0 && d.can.metadata {
		body = body.with("metadata", e.metadata)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return // strings, booleans and numbers: cannot happen
	}
	d.saved.Queue = append(d.saved.Queue, raw)
	d.capQueue()
}

func (d *Device) capQueue() {
	if over := len(d.saved.Queue) - maxQueue; over > 0 && d.can.requeues {
		d.saved.Queue = d.saved.Queue[over:]
	}
}

func (d *Device) noteStat(e event, detail string) {
	d.note(Entry{What: WhatStat, Name: e.action, Version: bounded(e.version), Detail: detail})
}

// eventBody is the info object with what the event adds (§5.2).
func (d *Device) eventBody(use purpose, e event) object {
	body := d.info(use, e.version, d.channel())
	if e.noVersion {
		for i := range body {
			if body[i].key == "version_name" {
				body = append(body[:i:i], body[i+1:]...)
				break
			}
		}
	}
	if d.can.oldName || d.profile.Platform == capstan.Electron {
		body = body.with("old_version_name", e.old)
	}
	body = body.with("action", e.action)
	if e.bundle != "" {
		body = body.with("bundle_id", e.bundle)
	}
	return body
}

// single sends one object at once and forgets it, whatever comes back (§5.1).
func (d *Device) single(ctx context.Context, use purpose, e event) {
	if d.opt.URLs.Stats == "" || d.proc.latched {
		return
	}
	r := d.call(ctx, http.MethodPost, d.opt.URLs.Stats, d.eventBody(use, e))
	d.noteStat(e, "sent alone")
	d.note(Entry{What: WhatStats, Status: r.status, Took: r.took, Detail: errorText(r.err)})
	if r.err == nil && r.status == http.StatusTooManyRequests && e.action != "rate_limit_reached" {
		d.tooMany(ctx, r)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return bounded(err.Error())
}

// FlushStats is one tick of the plugin's one-second timer: it posts the whole
// queue as one array (§5.3). What has to wait stays in the queue; only a
// cancelled context and an unusable disk are errors.
func (d *Device) FlushStats(ctx context.Context) error {
	if len(d.saved.Queue) == 0 || d.opt.URLs.Stats == "" || d.blocked() {
		return d.save()
	}
	batch := d.saved.Queue
	d.saved.Queue = nil
	if !d.can.requeues {
		d.post(ctx, batch) // lost on any error
		return d.end(ctx)
	}
	r := d.post(ctx, batch)
	if again := d.retryable(r); again {
		d.saved.Queue = append(batch[:len(batch):len(batch)], d.saved.Queue...)
		d.capQueue()
	}
	return d.end(ctx)
}

func (d *Device) end(ctx context.Context) error {
	if err := d.save(); err != nil {
		return err
	}
	return ctx.Err()
}

func (d *Device) post(ctx context.Context, batch []json.RawMessage) reply {
	r := d.call(ctx, http.MethodPost, d.opt.URLs.Stats, batch)
	detail := errorText(r.err)
	if detail == "" && d.can.requeues && d.retryable(r) {
		detail = "kept for another try"
	}
	d.note(Entry{What: WhatStats, Name: fmt.Sprintf("%d events", len(batch)), Status: r.status, Took: r.took, Detail: detail})
	if r.err == nil && r.status == http.StatusTooManyRequests {
		d.tooMany(ctx, r)
	}
	return r
}

// retryable says which answers put events back: no connection, 429, 408, 5xx,
// and on iOS a success without body, which its serialiser calls a failure.
func (d *Device) retryable(r reply) bool {
	switch {
	case r.err != nil, r.status == http.StatusTooManyRequests, r.status == http.StatusRequestTimeout, r.status >= 500:
		return true
	case d.profile.Platform == capstan.IOS && r.ok() && len(r.body) == 0:
		return r.status != http.StatusNoContent && r.status != http.StatusResetContent
	}
	return false
}
