package decide

import (
	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/rollout"
)

// Decide returns what the device gets. It does not allocate.
func Decide(a *App, o Overlay, q *Query) Decision {
	w := walk{app: a, q: q, overlay: o}
	return w.decide()
}

// Explain is Decide with every gate it passed, in order.
func Explain(a *App, o Overlay, q *Query) (Decision, []Step) {
	var steps []Step
	w := walk{app: a, q: q, overlay: o, steps: &steps}
	d := w.decide()
	return d, steps
}

// Resolve returns the channel that Decide would look at; false when there is
// none.
func Resolve(a *App, o Overlay, q *Query) (*Channel, bool) {
	w := walk{app: a, q: q, overlay: o}
	w.resolve()
	return w.channel, w.channel != nil
}

// walk is one decision on its way.
type walk struct {
	look
	overlay Overlay
	steps   *[]Step // nil: nobody wants to read them
}

// look is what a gate looks at. It is passed by value, so that a walk stays on
// the stack although gates are called through their table.
type look struct {
	app     *App
	q       *Query
	channel *Channel
	target  *candidate
	// skipped is why the target is only walked for the record: no release is
	// meant for this device. It refuses at its place among the gates.
	skipped capstan.Reason
}

// decide walks the gates; the first that refuses decides.
func (w *walk) decide() Decision {
	if w.q.Plugin.Unsupported {
		w.note("plugin_supported", false, "the plugin cannot be served")
		return w.refused(capstan.ReasonPluginOld)
	}
	w.note("plugin_supported", true, "the plugin can be served")
	w.resolve()
	if w.channel == nil {
		return w.refused(capstan.ReasonNoChannel)
	}
	w.choose()
	if w.target == nil {
		w.note("release", false, "the channel serves nothing")
		return w.unstranded(capstan.ReasonNoRelease)
	}
	if reason := w.gates(); reason != "" {
		return w.unstranded(reason)
	}
	return w.offered()
}

// resolve finds the channel (decisions.md §1.2). A pin wins and no rule of the
// channel but its platform gate can undo it. A name that a device gives must
// be right, or it gets nothing: there is no way back from a bad name but the
// former default, which devices keep for ever because they were told it.
func (w *walk) resolve() {
	q := w.q
	if w.overlay.Pin != "" {
		if c := w.app.channels[w.overlay.Pin]; c != nil {
			w.channel = c
			w.notef("pin", true, "the device is tied to channel %q (%s)", c.Name, string(w.overlay.PinKind))
			return
		}
		w.notef("pin", true, "the device is tied to channel %q, which does not exist any more", w.overlay.Pin)
	}
	byDefault := w.app.Default(q.Platform)
	if q.Channel == "" {
		w.channel = byDefault
		if byDefault == nil {
			w.notef("channel", false, "the device names no channel and none is the default for %s", string(q.Platform))
		} else {
			w.notef("channel", true, "channel %q is the default for %s", byDefault.Name, string(q.Platform))
		}
		return
	}
	c := w.app.channels[q.Channel]
	switch {
	case c == nil:
		w.notef("channel", false, "the device names channel %q, which does not exist", q.Channel)
	case c.FormerDefault.Has(q.Platform) && !c.Default.Has(q.Platform) && byDefault != nil:
		w.notef("former_default", true, "the device names channel %q, once the default for its platform: it gets today's, %q", c.Name, byDefault.Name)
		w.channel = byDefault
	case !c.Platforms.Has(q.Platform):
		w.notef("channel", false, "the device names channel %q, which does not serve %s", c.Name, string(q.Platform))
	case !c.Default.Has(q.Platform) && !c.SelfAssign:
		w.notef("channel", false, "the device names channel %q, which devices may not choose", c.Name)
	default:
		w.notef("channel", true, "the device names channel %q", c.Name)
		w.channel = c
	}
}

// choose finds the release that is meant for this device: the newest live one
// that its native build can run, that it has not failed, and that the rollout
// gives it. The live ones end with one that is for everybody, so that only a
// device that failed that one comes to what it replaced. Where nothing is left,
// the newest is walked all the same, so that the device is told what an
// operator can change.
func (w *walk) choose() {
	for i, c := range w.channel.releases {
		if !c.live && !w.goodFallback(c) {
			continue
		}
		reason := w.unsuitable(c)
		if reason == "" {
			w.aim(c, w.channel.releases[i+1:])
			return
		}
		if w.target == nil {
			w.target, w.skipped = c, reason
		}
		w.noteSkipped(c, reason)
	}
}

// aim makes c the target. Electron cannot be sent to built-in: it gets the
// newest bundle released before it instead (device-clients.md §3.5, §8.10).
func (w *walk) aim(c *candidate, older []*candidate) {
	w.target, w.skipped = c, ""
	if c.bundle != nil || w.q.Platform != capstan.Electron {
		return
	}
	for _, e := range older {
		if w.goodFallback(e) && w.unsuitable(e) == "" {
			w.notef("electron", true, "a desktop app has no built-in to go back to: it gets the newest earlier release, %s", e.release.Version)
			w.target = e
			return
		}
	}
}

// goodFallback reports whether an earlier release can stand in for a newer
// one: its bytes are there, and its version was not taken back since.
func (w *walk) goodFallback(c *candidate) bool {
	return c.bundle != nil && c.bundle.State == capstan.BundleReady && !w.channel.withdrawn[c.bundle.Version]
}

// unsuitable says why a release is not meant for this device, "" if it is.
// Who has it keeps it, paused or not. That a device on built-in has a built-in
// release can only be told by its share.
func (w *walk) unsuitable(c *candidate) capstan.Reason {
	switch {
	case w.nativeTooOld(c):
		return capstan.ReasonNative
	case w.failed(c):
		return capstan.ReasonFailedBefore
	case c.bundle != nil && w.q.Running == c.bundle.Version && !w.q.Builtin():
		return ""
	case c.bundle == nil && w.q.Builtin() && w.reached(c):
		return ""
	case c.release.Paused:
		return capstan.ReasonRolloutPaused
	case !w.reached(c):
		return capstan.ReasonOutsideRollout
	}
	return ""
}

func (w *walk) reached(c *candidate) bool {
	return rollout.In(c.release.Salt, w.q.Device, c.release.ShareBP)
}

func (w look) nativeTooOld(c *candidate) bool {
	i := platformIndex(w.q.Platform)
	return c.bundle != nil && i >= 0 && w.q.NativeVersion.Less(c.bundle.NativeMin[i])
}

// failed reports whether the device reported this release's version as failed.
// A later release of the same version is a new chance.
func (w *walk) failed(c *candidate) bool {
	if c.bundle == nil {
		return false
	}
	for i := range w.overlay.Failures {
		f := &w.overlay.Failures[i]
		if f.Version == c.bundle.Version && c.release.Number <= f.Release {
			return true
		}
	}
	return false
}

// gates returns the reason of the first gate that refuses the target, "" when
// it passes all of them.
func (w *walk) gates() capstan.Reason {
	for i := range gates {
		g := &gates[i]
		if w.target.bundle == nil && !g.builtin {
			continue
		}
		reason := g.refuse(w.look)
		if w.steps != nil {
			*w.steps = append(*w.steps, Step{Gate: g.name, Pass: reason == "", Detail: g.detail(w.look)})
		}
		if reason != "" {
			return reason
		}
	}
	return ""
}

// offered is the decision for a target that passed every gate.
func (w *walk) offered() Decision {
	d := w.decision()
	if w.target.bundle == nil {
		d.Outcome, d.Reason = capstan.Builtin, capstan.ReasonBuiltinRelease
		w.note("offer", true, "back to the web content of the store build")
		return d
	}
	d.Outcome, d.Reason, d.Form = capstan.Offer, capstan.ReasonNewRelease, w.form()
	if w.steps != nil {
		w.note("offer", true, "version "+w.target.bundle.Version+" as "+d.Form.String())
	}
	return d
}

// refused is the decision of a gate that said no.
func (w *walk) refused(reason capstan.Reason) Decision {
	d := w.decision()
	d.Outcome, d.Reason = reason.Outcome(), reason
	return d
}

func (w *walk) decision() Decision {
	d := Decision{Channel: w.channel}
	if w.target != nil {
		d.Release, d.Bundle = &w.target.release, w.target.bundle
	}
	return d
}

// unstranded refuses, except that going back never strands: a device that runs
// a version that was taken back, and for which every target is refused, goes
// back to built-in. Electron gets the newest earlier release that passes all
// gates, else nothing.
func (w *walk) unstranded(reason capstan.Reason) Decision {
	switch reason {
	case capstan.ReasonSameVersion, capstan.ReasonNamedLikeNative, capstan.ReasonOnBuiltin, capstan.ReasonPluginNoBuiltin:
		return w.refused(reason)
	}
	if w.q.Builtin() || !w.channel.withdrawn[w.q.Running] {
		return w.refused(reason)
	}
	if w.q.Platform == capstan.Electron {
		return w.electronBack()
	}
	if w.q.Plugin.NoBuiltin {
		w.notef("withdrawn", false, "the device runs %s, which was taken back, and its plugin cannot go back to built-in", w.q.Running)
		return w.refused(reason)
	}
	w.notef("withdrawn", true, "the device runs %s, which was taken back, and nothing else is for it: back to built-in", w.q.Running)
	w.target = nil
	d := w.decision()
	d.Outcome, d.Reason = capstan.Builtin, capstan.ReasonWithdrawn
	return d
}

func (w *walk) electronBack() Decision {
	for _, c := range w.channel.releases {
		if !w.goodFallback(c) || w.unsuitable(c) != "" {
			continue
		}
		quiet := walk{app: w.app, q: w.q, channel: w.channel, target: c}
		if quiet.gates() == "" {
			w.notef("withdrawn", true, "the device runs %s, which was taken back: it gets an earlier release, %s", w.q.Running, c.release.Version)
			w.target = c
			return w.offered()
		}
	}
	w.notef("withdrawn", false, "the device runs %s, which was taken back, and there is no earlier release for it", w.q.Running)
	return w.refused(capstan.ReasonNoEarlier)
}
