package sim

import (
	"context"
	"errors"
	"net/http"

	"github.com/capstan-ota/capstan"
)

// Check asks the server for an update and acts on the answer, as the period
// timer and JavaScript's triggerUpdateCheck do (device-clients.md §3).
func (d *Device) Check(ctx context.Context) (Report, error) {
	return d.report(ctx, func() (Outcome, string, string, error) { return d.check(ctx) })
}

func (d *Device) check(ctx context.Context) (Outcome, string, string, error) {
	if d.opt.URLs.Updates == "" || d.opt.Mode == Off {
		return NoCheck, "", "auto update is off", nil
	}
	a := d.ask(ctx)
	if err := ctx.Err(); err != nil {
		return Failed, "", "", err
	}
	direct := d.direct()
	d.proc.checked, d.saved.Fresh = true, false
	d.proc.offered, d.proc.offeredVersion = a.Manifest, a.version
	if d.profile.Platform == capstan.Electron {
		outcome, detail, err := d.actElectron(ctx, a)
		return outcome, a.version, detail, err
	}
	outcome, detail, err := d.act(ctx, a, direct)
	return outcome, a.version, detail, err
}

// direct says whether an update of this check is applied at once (§9.2).
func (d *Device) direct() bool {
	switch d.opt.Mode {
	case Always:
		return true
	case OnLaunch:
		return !d.proc.checked
	case AtInstall:
		return d.saved.Fresh
	}
	return false
}

// ask makes the request, unless a 429 forbids it.
func (d *Device) ask(ctx context.Context) answer {
	if d.blocked() {
		a := refusal(0, d.proc.blockCode, d.proc.blockMessage)
		d.note(Entry{What: WhatCheck, Detail: "not sent: " + a.code})
		return a
	}
	r := d.call(ctx, http.MethodPost, d.opt.URLs.Updates, d.info(forCheck, d.current().Version, d.channel()))
	if r.err == nil {
		r.err = d.withinLimit(r.took)
	}
	a := d.parse(r)
	// iOS takes an empty 429 for a transport error and never sees the header.
	if r.err == nil && r.status == http.StatusTooManyRequests && (len(r.body) > 0 || d.profile.Platform != capstan.IOS) {
		d.tooMany(ctx, r)
	}
	d.note(Entry{
		What: WhatCheck, Version: bounded(a.version), Status: r.status, Bytes: int64(len(r.body)), Took: r.took,
		Detail: bounded(a.summary()),
	})
	return a
}

func (a answer) summary() string {
	switch {
	case a.refused && a.message != "" && a.message != a.code:
		return a.code + ": " + a.message
	case a.refused || a.code != "":
		return a.code
	case a.Delta:
		return "offer by manifest"
	case a.URL != "":
		return "offer by zip"
	}
	return "offer"
}

// act does what §3.5 says, row by row.
func (d *Device) act(ctx context.Context, a answer, direct bool) (Outcome, string, error) {
	current := d.current().Version
	switch {
	case a.refused:
		return d.refused(ctx, a)
	case a.version == "builtin" && d.can.builtin:
		return d.toBuiltin(ctx, direct)
	case !a.urlOK:
		if a.breaking {
			d.event("breakingAvailable", "majorAvailable")
		}
		return d.downloadFailed(ctx, "the answer has no url")
	case a.version == "" || a.version == current:
		d.event("noNeedUpdate", "appReady")
		return UpToDate, "", nil
	case a.badManifest && d.can.manifest:
		return d.downloadFailed(ctx, "the manifest of the answer cannot be read")
	}
	if !d.can.manifest {
		a.Delta, a.Manifest = false, nil
	}
	return d.obtain(ctx, a, direct)
}

// refused reacts to an answer without update (§3.5, §3.7).
func (d *Device) refused(ctx context.Context, a answer) (Outcome, string, error) {
	detail := bounded(a.summary())
	if d.can.age != ageKind {
		return d.refusedByAge(ctx, a), detail, nil
	}
	d.event("updateCheckResult")
	switch a.kind {
	case "up_to_date":
		d.event("noNeedUpdate", "appReady")
		return UpToDate, detail, nil
	case "blocked":
		if a.code == "disable_auto_update_to_major" || a.message == "store_update_required" ||
			a.breaking && d.profile.Platform == capstan.IOS {
			d.event("breakingAvailable", "majorAvailable")
		}
		d.event("noNeedUpdate", "appReady")
		return Blocked, detail, nil
	}
	return d.downloadFailed(ctx, detail)
}

func (d *Device) refusedByAge(ctx context.Context, a answer) Outcome {
	current := d.current().Version
	outcome := Blocked
	switch {
	case a.noServer:
		outcome = Failed
	case a.code == "no_new_version_available":
		outcome = UpToDate
	}
	switch d.can.age {
	case ageMessage:
		if a.breaking && a.version != "" {
			d.event("majorAvailable")
		}
		if d.can.messageFails || a.noServer && d.can.messageErrors {
			d.stat(ctx, event{action: "download_fail", version: current})
		}
		d.event("noNeedUpdate")
	case ageRefusal:
		if a.noServer {
			d.event("downloadFailed")
			d.stat(ctx, event{action: "download_fail", version: current})
			break
		}
		d.event("backendRefused")
		d.stat(ctx, event{action: "backend_refusal", version: current})
	case ageFail:
		d.event("downloadFailed")
		d.stat(ctx, event{action: "download_fail", version: current})
	case ageQuiet:
		d.event("downloadFailed")
		if a.noServer {
			d.stat(ctx, event{action: "download_fail", version: current})
		}
	}
	return outcome
}

// downloadFailed is the common end of what went wrong, seen by the plugin
// itself and not by Android's worker.
func (d *Device) downloadFailed(ctx context.Context, detail string) (Outcome, string, error) {
	d.event("downloadFailed", "noNeedUpdate", "appReady")
	d.stat(ctx, event{action: "download_fail", version: d.current().Version})
	d.note(Entry{What: WhatRefuse, Detail: detail})
	return Failed, detail, nil
}

// toBuiltin goes back to the store build. Nothing spares a device that is on
// it already (§3.5).
func (d *Device) toBuiltin(ctx context.Context, direct bool) (Outcome, string, error) {
	switch {
	case direct:
		outcome, err := d.reset(ctx)
		return outcome, "back to the store build", err
	case d.opt.Mode == OnlyDownload && d.can.onlyDownload:
		d.event("updateAvailable")
		return Downloaded, "back to the store build", nil
	}
	d.stage(ctx, d.builtinBundle())
	return Staged, "back to the store build", nil
}

// obtain gets the offered bundle onto the disk, unless it is there, and
// applies it.
func (d *Device) obtain(ctx context.Context, a answer, direct bool) (Outcome, string, error) {
	u := a.update
	old, have := d.named(u.Version)
	if have && old.Status == Error {
		return d.downloadFailed(ctx, "this version failed on this device and is still on its disk")
	}
	if d.can.failsClosed && d.key != nil && !validSession(u.Session) {
		return d.gate(ctx, u, "session_key_required")
	}
	if have && old.Status == Downloading {
		switch {
		case d.saved.Work != nil && d.saved.Work.ID == old.ID:
			outcome, _, detail, err := d.resume(ctx)
			return outcome, detail, err
		case d.profile.Platform == capstan.IOS && !d.can.refetches:
			return Failed, "a bundle left half loaded is taken for ready and never applied", nil
		}
		if err := d.forget(old.ID); err != nil {
			return Failed, "", err
		}
		have = false
	}
	if have {
		return d.reuse(ctx, old, u, direct)
	}
	if d.can.failsClosed && !u.Delta && u.Checksum == "" {
		return d.gate(ctx, u, "checksum_required")
	}
	return d.fetch(ctx, a, direct)
}

// gate refuses before any GET (§3.5, §8.5): Android with one statistic and no
// event, iOS also with a failure.
func (d *Device) gate(ctx context.Context, u update, action string) (Outcome, string, error) {
	if d.profile.Platform == capstan.Android {
		d.stat(ctx, event{action: action, version: d.current().Version})
		d.note(Entry{What: WhatRefuse, Version: bounded(u.Version), Detail: action})
		return Failed, action, nil
	}
	d.stat(ctx, event{action: action, version: u.Version})
	return d.downloadFailed(ctx, action)
}

// reuse applies a bundle that is on the disk already. iOS first holds the
// answer's checksum against the stored one.
func (d *Device) reuse(ctx context.Context, b Bundle, u update, direct bool) (Outcome, string, error) {
	if d.profile.Platform == capstan.IOS {
		if err := d.compareIOS(b, u); err != nil {
			return d.failIOS(ctx, b, err)
		}
	}
	d.event("updateAvailable")
	return d.apply(ctx, b, direct)
}

// fetch downloads the offer under a new id.
func (d *Device) fetch(ctx context.Context, a answer, direct bool) (Outcome, string, error) {
	b := Bundle{ID: d.newID(), Version: a.update.Version, Status: Downloading, Delta: a.Delta}
	if d.profile.Platform == capstan.Android {
		if !recordable(b.Version) {
			return d.downloadFailed(ctx, "the version cannot be stored in a bundle record")
		}
		if !a.Delta {
			w := &work{ID: b.ID, Update: a.update, NullSession: a.nullSession, Direct: direct, Due: d.now()}
			if w.inputBytes(d) > maxWorkerInput {
				return d.downloadFailed(ctx, "the download's data exceed 10 240 bytes")
			}
			if old := d.saved.Work; old != nil { // of another version: cancelled
				if err := d.forget(old.ID); err != nil {
					return Failed, "", err
				}
			}
			d.put(b)
			d.saved.Work = w
			outcome, _, detail, err := d.resume(ctx)
			return outcome, detail, err
		}
	}
	d.put(b)
	var err error
	if a.Delta {
		err = d.installManifest(ctx, &b, a.update)
	} else {
		err = d.installZipIOS(ctx, &b, a.update)
	}
	return d.settle(ctx, b, err, direct)
}

// settle ends a download: the bundle is applied, or forgotten with a failure.
// A cancelled context is the death of the process: the record stays behind.
func (d *Device) settle(ctx context.Context, b Bundle, err error, direct bool) (Outcome, string, error) {
	if ctx.Err() != nil {
		return Failed, "", ctx.Err()
	}
	if err == nil {
		return d.apply(ctx, b, direct)
	}
	if disk, ok := errors.AsType[*diskError](err); ok {
		return Failed, "", disk
	}
	if d.profile.Platform == capstan.IOS {
		return d.failIOS(ctx, b, err)
	}
	return d.failAndroid(ctx, b, err)
}

// apply stages or activates a bundle that is ready on the disk (§9.2).
func (d *Device) apply(ctx context.Context, b Bundle, direct bool) (Outcome, string, error) {
	switch {
	case d.opt.Mode == OnlyDownload && d.can.onlyDownload:
		d.event("updateAvailable")
		return Downloaded, "", nil
	case direct:
		outcome, err := d.activate(ctx, b)
		return outcome, "", err
	case !d.complete(b):
		d.note(Entry{What: WhatRefuse, Version: b.Version, Detail: "no index.html at the root"})
		return Failed, "no index.html at the root of the bundle", nil
	}
	d.stage(ctx, b)
	return Staged, "", nil
}

// recordable says whether Android can store a version: its bundle records are
// made by joining strings (§12 rule 4).
func recordable(version string) bool {
	for _, r := range version {
		if r == '"' || r == '\\' || r < 0x20 {
			return false
		}
	}
	return true
}
