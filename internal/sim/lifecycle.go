package sim

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/capstan-ota/capstan"
)

// Launch starts the app's process anew, which ends one that still runs: the
// running bundle gets its chance to call notifyAppReady, and Android and iOS
// ask for an update. Electron does not (device-clients.md §3.1, §14).
func (d *Device) Launch(ctx context.Context) (Report, error) {
	return d.report(ctx, func() (Outcome, string, string, error) {
		d.proc = process{running: true, started: d.now()}
		d.note(Entry{What: WhatLaunch, Name: d.profile.String(), Version: d.current().Version})
		if !d.can.requeues {
			d.saved.Queue = nil
		}
		if err := d.noticeNative(ctx); err != nil {
			return Failed, "", "", err
		}
		if d.profile.Platform == capstan.Electron {
			if err := d.install(ctx); err != nil {
				return Failed, "", "", err
			}
			outcome, err := d.page(ctx)
			return orNoCheck(outcome), "", "", err
		}
		if d.can.launchStats {
			d.stat(ctx, event{action: "app_launch_start", version: d.current().Version, metadata: map[string]string{
				"launch_started_at": millis(d.proc.started), "source": "plugin_load",
			}})
		}
		d.stat(ctx, event{action: "app_moved_to_foreground", version: d.current().Version})
		proved, err := d.page(ctx)
		if err != nil {
			return proved, "", "", err
		}
		outcome, version, detail, err := d.check(ctx)
		if proved == RolledBack && (outcome == NoCheck || outcome == UpToDate) {
			outcome, detail = RolledBack, "notifyAppReady was not called in time"
		}
		return outcome, version, detail, err
	})
}

// Foreground brings the running app back; it asks for an update as a launch
// does. A device that does not run is launched.
func (d *Device) Foreground(ctx context.Context) (Report, error) {
	if !d.proc.running {
		return d.Launch(ctx)
	}
	return d.report(ctx, func() (Outcome, string, string, error) {
		if d.profile.Platform == capstan.Electron {
			return NoCheck, "", "", nil
		}
		d.stat(ctx, event{action: "app_moved_to_foreground", version: d.current().Version})
		return d.check(ctx)
	})
}

// orNoCheck hides that nothing but a confirmation happened.
func orNoCheck(o Outcome) Outcome {
	if o == Updated {
		return NoCheck
	}
	return o
}

// Background puts the app in the background, where a staged bundle is applied
// and then has to confirm itself (§9.1). The outcome is no_check when nothing
// was staged.
func (d *Device) Background(ctx context.Context) (Report, error) {
	return d.report(ctx, func() (Outcome, string, string, error) {
		if d.profile.Platform != capstan.Electron {
			d.stat(ctx, event{action: "app_moved_to_background", version: d.current().Version})
		}
		if d.saved.Next == "" {
			return NoCheck, "", "", nil
		}
		before := d.saved.Current
		if d.saved.Next == builtinID {
			d.saved.Next = ""
			outcome, err := d.reset(ctx)
			if before == builtinID {
				outcome = UpToDate // a reset all the same: the client does not look
			}
			return outcome, d.current().Version, "back to the store build", err
		}
		if err := d.install(ctx); err != nil {
			return Failed, "", "", err
		}
		version := d.current().Version
		if d.saved.Current == before {
			return Failed, version, "the staged bundle could not be activated", nil
		}
		outcome, err := d.page(ctx)
		return outcome, version, "", err
	})
}

// UpdateNative installs another store build. The device notices at its next
// launch, where by default every bundle is deleted (§9.1).
func (d *Device) UpdateNative(version, build string, builtin map[string][]byte) {
	d.proc = process{}
	d.native.version, d.native.build = version, build
	d.opt.Builtin = builtin
}

// noticeNative compares with the last launch.
func (d *Device) noticeNative(ctx context.Context) error {
	s := &d.saved
	oldVersion, oldBuild := s.Native, s.Build
	s.Native, s.Build, s.OS = d.native.version, d.native.build, d.native.os
	if oldVersion == s.Native && oldBuild == s.Build {
		return nil
	}
	s.Fresh = true
	if oldBuild != s.Build && !d.opt.KeepOnUpdate && d.profile.Platform != capstan.Electron {
		gone := append([]Bundle{}, s.Bundles...)
		s.Current, s.Fallback, s.Next, s.Work = builtinID, builtinID, "", nil
		for _, b := range gone {
			if err := d.remove(ctx, b); err != nil {
				return err
			}
		}
	}
	if d.can.changeStats {
		d.stat(ctx, event{action: "native_app_version_changed", version: d.current().Version, metadata: map[string]string{
			"previous_version_build": oldVersion, "current_version_build": s.Native,
			"previous_version_code": oldBuild, "current_version_code": s.Build,
		}})
	}
	return nil
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// complete says whether a bundle can be activated: it needs index.html at its
// root (§6.3).
func (d *Device) complete(b Bundle) bool {
	return b.ID == builtinID || exists(d.disk, bundleName(b.ID, "index.html"))
}

// stage makes b the next bundle.
func (d *Device) stage(ctx context.Context, b Bundle) {
	d.saved.Next = b.ID
	d.note(Entry{What: WhatStage, Version: b.Version})
	if d.can.setNextStat {
		d.stat(ctx, event{action: "set_next", version: b.Version, old: d.current().Version})
	}
}

// install activates the staged bundle, if there is one that can be.
func (d *Device) install(ctx context.Context) error {
	if d.saved.Next == "" {
		return nil
	}
	next := d.bundle(d.saved.Next)
	d.saved.Next = ""
	d.switchTo(ctx, next)
	return nil
}

// switchTo makes b the running bundle and reports whether it could.
func (d *Device) switchTo(ctx context.Context, b Bundle) bool {
	if !d.complete(b) {
		d.note(Entry{What: WhatRefuse, Version: b.Version, Detail: "no index.html"})
		d.stat(ctx, event{action: "set_fail", version: b.Version})
		return false
	}
	old := d.current().Version
	d.saved.Current = b.ID
	d.note(Entry{What: WhatActivate, Version: b.Version, Detail: "before: " + old})
	if d.profile.Platform != capstan.Electron {
		d.stat(ctx, event{action: "set", version: b.Version, old: old})
	}
	return true
}

// activate applies b at once and lets it prove itself.
func (d *Device) activate(ctx context.Context, b Bundle) (Outcome, error) {
	d.saved.Next = ""
	if !d.switchTo(ctx, b) {
		return Failed, nil
	}
	return d.page(ctx)
}

// reset goes back to the store build (§5.4 row reset).
func (d *Device) reset(ctx context.Context) (Outcome, error) {
	old := d.current()
	d.saved.Current, d.saved.Next = builtinID, ""
	d.note(Entry{What: WhatActivate, Version: d.builtinVersion(), Detail: "before: " + old.Version})
	d.stat(ctx, event{action: "reset", version: d.builtinVersion(), old: old.Version})
	return d.page(ctx)
}

// page loads the running bundle: it calls notifyAppReady, or time runs out.
func (d *Device) page(ctx context.Context) (Outcome, error) {
	b := d.current()
	works := b.ID == builtinID || d.opt.Works(b, func(name string) ([]byte, error) {
		return d.disk.read(bundleName(b.ID, name))
	})
	if works {
		return Updated, d.ready(ctx, b)
	}
	wait := d.opt.AppReadyTimeout
	if d.can.patient && b.Status != Success {
		wait = max(wait, 30*time.Second)
	}
	d.pass(wait)
	d.note(Entry{What: WhatTimeout, Version: b.Version, Took: wait})
	switch {
	case d.profile.Platform == capstan.Electron:
		// It reports, loads the same bundle again and stays (§15).
		d.stat(ctx, event{action: "set_fail", version: b.Version, bundle: b.ID})
		return Stuck, nil
	case b.Status == Success:
		return Updated, nil // it proved itself once: no roll-back
	}
	return RolledBack, d.rollback(ctx, b, wait)
}

// ready is notifyAppReady: the bundle is good, it becomes the fallback, and the
// one before it is deleted (§9.1).
func (d *Device) ready(ctx context.Context, b Bundle) error {
	d.note(Entry{What: WhatReady, Version: b.Version})
	if d.profile.Platform == capstan.Electron {
		d.stat(ctx, event{action: "set", version: b.Version, bundle: b.ID})
	}
	if d.can.launchStats && !d.proc.ready {
		took := d.now().Sub(d.proc.started)
		d.stat(ctx, event{action: "app_launch_ready", version: b.Version, metadata: map[string]string{
			"duration_ms":       strconv.FormatInt(took.Milliseconds(), 10),
			"launch_started_at": millis(d.proc.started), "source": "notify_app_ready",
		}})
	}
	d.proc.ready = true
	if b.ID != builtinID && b.Status != Success {
		b.Status = Success
		d.put(b)
	}
	previous := d.saved.Fallback
	d.saved.Fallback = b.ID
	if previous == b.ID || previous == builtinID || previous == d.saved.Next || d.opt.KeepPrevious {
		return nil
	}
	return d.remove(ctx, d.bundle(previous))
}

// rollback goes back to the bundle that worked last (§5.5, §9.1).
func (d *Device) rollback(ctx context.Context, failed Bundle, waited time.Duration) error {
	d.event("updateFailed")
	quiet := d.profile.Platform == capstan.Android && (d.proc.ready || d.proc.timedOut)
	if d.can.launchStats && !quiet {
		d.stat(ctx, event{action: "app_launch_timeout", version: failed.Version, metadata: map[string]string{
			"duration_ms":       strconv.FormatInt(waited.Milliseconds(), 10),
			"launch_started_at": millis(d.proc.started), "source": "notify_app_ready",
			"timeout_ms": strconv.FormatInt(waited.Milliseconds(), 10),
		}})
	}
	d.proc.timedOut = true
	d.stat(ctx, event{action: "update_fail", version: failed.Version})
	failed.Status = Error
	d.put(failed)
	if d.saved.Next == failed.ID {
		d.saved.Next = ""
	}
	// The pointers are reset first, which is why set names the store build as
	// the bundle before (§5.4).
	back := d.bundle(d.saved.Fallback)
	d.saved.Current = builtinID
	if back.ID != builtinID && back.ID != failed.ID && d.complete(back) {
		d.saved.Current = back.ID
		d.stat(ctx, event{action: "set", version: back.Version, old: d.builtinVersion()})
	}
	d.note(Entry{What: WhatRollback, Version: d.current().Version, Detail: "from " + failed.Version})
	if !d.opt.KeepFailed {
		if err := d.remove(ctx, failed); err != nil {
			return err
		}
	}
	return d.ready(ctx, d.current()) // the page that is loaded in its place
}

// remove deletes a bundle and says so.
func (d *Device) remove(ctx context.Context, b Bundle) error {
	if b.ID == builtinID {
		return errors.New("the store build cannot be deleted")
	}
	if err := d.forget(b.ID); err != nil {
		return err
	}
	d.note(Entry{What: WhatDelete, Version: b.Version})
	if d.profile.Platform != capstan.Electron {
		d.stat(ctx, event{action: "delete", version: b.Version})
	}
	return nil
}
