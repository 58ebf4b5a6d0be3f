package sim

import (
	"context"
	"encoding/json"
	"strconv"
	"time"
)

// maxBlock caps what a 429 can ask for (§3.6).
const maxBlock = 24 * time.Hour

// blocked says whether a 429 still forbids checks, channel calls and
// statistics.
func (d *Device) blocked() bool { return d.now().Before(d.proc.blockedUntil) }

// tooMany remembers a 429: as a deadline from 8.51.5 / x.51.15 on, before that
// as a latch that only the death of the process opens (§3.6).
func (d *Device) tooMany(ctx context.Context, r reply) {
	if d.can.latches {
		d.proc.latched = true
		d.saved.Queue = nil
		return
	}
	if !d.can.retryAfter {
		return
	}
	o, _ := readLenient(r.body)
	code, message := o.text("error"), o.text("message")
	if code == "" {
		code = "too_many_requests"
	}
	if message == "" {
		message = "Too many requests"
	}
	if wait := d.blockLength(r, o); wait > 0 {
		if until := d.now().Add(wait); until.After(d.proc.blockedUntil) {
			d.proc.blockedUntil, d.proc.blockCode, d.proc.blockMessage = until, code, message
		}
	}
	if code == "too_many_requests" && !d.proc.limited {
		d.proc.limited = true
		d.single(ctx, forStats, event{action: "rate_limit_reached", version: d.current().Version})
	}
}

// blockLength reads the hints in their order: header in seconds (a date falls
// through), retryAfterSeconds, rateLimitResetAt; each first in moreInfo.
func (d *Device) blockLength(r reply, o lenient) time.Duration {
	if s, err := strconv.ParseInt(r.header.Get("Retry-After"), 10, 64); err == nil && s >= 0 {
		return seconds(float64(s))
	}
	info, _ := o["moreInfo"].(map[string]any)
	for _, m := range []lenient{info, o} {
		if s, ok := number(m["retryAfterSeconds"]); ok {
			return seconds(s)
		}
	}
	for _, m := range []lenient{info, o} {
		if ms, ok := number(m["rateLimitResetAt"]); ok {
			return seconds((ms - float64(d.now().UnixMilli())) / 1000)
		}
	}
	return 0
}

func number(v any) (float64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}

// seconds caps at maxBlock, which also keeps a huge number from overflowing.
func seconds(s float64) time.Duration {
	return time.Duration(min(max(s, 0), maxBlock.Seconds()) * float64(time.Second))
}
