package control_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/control"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestNextCheckAfterPublishingSeesTheRelease(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		if got := w.serves(); got != string(capstan.ReasonNoRelease) {
			t.Errorf("before any release a phone gets %q, want no_release", got)
		}
		for _, version := range []string{"1.0.1", "1.0.2", "1.0.3"} {
			w.bundle(version)
			p := w.publish(version)
			if got := w.serves(); got != version {
				t.Errorf("after publishing %s a phone gets %q", version, got)
			}
			if p.Release.Version != version || p.Channel.Number == 0 {
				t.Errorf("Publish answered %+v", p)
			}
		}
	})
}

func TestPublishingSaysWhatAPhoneDownloads(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.bundle("1.0.1")
		w.bundle("1.0.2")
		w.publish("1.0.1")
		p := w.publish("1.0.2")
		if p.Previous == nil || p.Previous.Version != "1.0.1" || p.DeltaFiles != 1 || p.DeltaBytes == 0 {
			t.Errorf("only app.js changed, got previous %+v, %d files, %d bytes", p.Previous, p.DeltaFiles, p.DeltaBytes)
		}
	})
}

func TestPublishingWhatIsServedWritesNothing(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.bundle("1.0.1")
		first := w.publish("1.0.1")
		number := w.number()
		again := w.publish("1.0.1")
		if !again.Unchanged || again.Release.Number != first.Release.Number || w.number() != number {
			t.Errorf("publishing the same again answered %+v and moved the number from %d to %d", again, number, w.number())
		}
	})
}

func TestPublishRefuses(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.bundle("1.0.1")
		w.publish("1.0.1")
		w.bundle("1.0.2")
		ctx, n, channel := t.Context(), w.number(), w.channelNumber()

		_, err := w.Publish(ctx, w.admin, app, "production", channel-1, "1.0.2", false)
		w.refused(err, capstan.CodeStale, n)
		if e, ok := errors.AsType[*capstan.Error](err); !ok || e.Number != channel {
			t.Errorf("a stale refusal must carry the current number %d, got %+v", channel, err)
		}
		_, err = w.Publish(ctx, w.admin, app, "production", channel, "9.9.9", false)
		w.refused(err, capstan.CodeBundleNotFound, n)
		_, err = w.Publish(ctx, w.admin, app, "nowhere", channel, "1.0.2", false)
		w.refused(err, capstan.CodeChannelNotFound, n)
		_, err = w.Publish(ctx, w.admin, "com.example.other", "production", channel, "1.0.2", false)
		w.refused(err, capstan.CodeAppNotFound, n)
		_, err = w.Publish(ctx, w.admin, app, "production", channel, "1.0.2", true)
		w.refused(err, capstan.CodeInvalid, n)
		stranger := auth.Principal{Org: "elsewhere", Scopes: []string{capstan.ScopeAdmin}}
		_, err = w.Publish(ctx, stranger, app, "production", channel, "1.0.2", false)
		w.refused(err, capstan.CodeAppNotFound, n)
		uploader := auth.Principal{Org: capstan.DefaultOrg, Scopes: []string{string(auth.UploadBundle)}}
		_, err = w.Publish(ctx, uploader, app, "production", channel, "1.0.2", false)
		w.refused(err, capstan.CodeForbidden, n)
		if got := w.serves(); got != "1.0.1" {
			t.Errorf("after the refusals a phone gets %q, want 1.0.1", got)
		}
	})
}

func TestOfTwoWhoPublishAtOnceOneIsStale(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		const people = 8
		for i := range people {
			w.bundle("1.0." + string(rune('1'+i)))
		}
		channel := w.channelNumber()
		errs := make(chan error, people)
		for i := range people {
			go func() {
				_, err := w.Publish(t.Context(), w.admin, app, "production", channel, "1.0."+string(rune('1'+i)), false)
				errs <- err
			}()
		}
		won, stale := 0, 0
		for range people {
			switch err := <-errs; {
			case err == nil:
				won++
			case capstan.CodeOf(err) == capstan.CodeStale:
				stale++
			default:
				t.Errorf("unexpected error %v", err)
			}
		}
		if won != 1 || stale != people-1 {
			t.Errorf("%d won and %d were stale, want 1 and %d", won, stale, people-1)
		}
	})
}

func TestRollback(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		for _, v := range []string{"1.0.1", "1.0.2", "1.0.3"} {
			w.bundle(v)
			w.publish(v)
		}
		back := func(to control.Target) control.Published {
			t.Helper()
			p, err := w.Rollback(t.Context(), w.admin, app, "production", 0, to)
			w.must(err)
			return p
		}
		p := back(control.Target{})
		if got := w.serves(); got != "1.0.2" || !slices.Equal(p.Ended, []int64{3}) {
			t.Errorf("back without a target serves %q and ended %v, want 1.0.2 and [3]", got, p.Ended)
		}
		p = back(control.Target{})
		if got := w.serves(); got != "1.0.1" {
			t.Errorf("back again serves %q and ended %v, want 1.0.1", got, p.Ended)
		}
		p = back(control.Target{Builtin: true})
		if got := w.serves(); got != "builtin" || !p.Release.Builtin() {
			t.Errorf("back to built-in serves %q", got)
		}
		w.publish("1.0.3")
		if got := w.serves(); got != "1.0.3" {
			t.Errorf("a version that was taken back can be released again, got %q", got)
		}
		back(control.Target{Release: 1})
		if got := w.serves(); got != "1.0.1" {
			t.Errorf("back to release 1 serves %q, want 1.0.1", got)
		}
	})
}

// Desktop apps cannot be sent to built-in; they get what the release that was
// taken back had replaced.
func TestRollbackToBuiltinLeavesDesktopAppsAWayBack(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		for _, v := range []string{"1.0.1", "1.0.2"} {
			w.bundle(v)
			w.publish(v)
		}
		p, err := w.Rollback(t.Context(), w.admin, app, "production", 0, control.Target{Builtin: true})
		w.must(err)
		if !slices.Equal(p.Ended, []int64{2}) {
			t.Errorf("ended %v, want what was served, [2]", p.Ended)
		}
		if got := w.servesOn(capstan.Electron); got != "1.0.1" {
			t.Errorf("a desktop app gets %q, want 1.0.1", got)
		}
		if got := w.serves(); got != "builtin" {
			t.Errorf("a phone gets %q, want builtin", got)
		}
	})
}

func TestRollbackRefuses(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		_, err := w.Rollback(ctx, w.admin, app, "production", 0, control.Target{})
		w.refused(err, capstan.CodeNothingEarlier, w.number())

		old := w.bundle("1.0.1")
		w.publish("1.0.1")
		_, err = w.Rollback(ctx, w.admin, app, "production", 0, control.Target{})
		w.refused(err, capstan.CodeNothingEarlier, w.number())

		w.bundle("1.0.2")
		w.publish("1.0.2")
		n := w.number()
		_, err = w.Rollback(ctx, w.admin, app, "production", w.channelNumber()-1, control.Target{})
		w.refused(err, capstan.CodeStale, n)
		_, err = w.Rollback(ctx, w.admin, app, "production", 0, control.Target{Release: 77})
		w.refused(err, capstan.CodeReleaseNotFound, n)
		_, err = w.Rollback(ctx, w.admin, app, "production", 0, control.Target{Release: 2})
		w.refused(err, capstan.CodeInvalid, n)

		ready, err := w.DB.Bundle(ctx, app, "1.0.1")
		w.must(err)
		w.must(w.DeleteBundle(ctx, w.admin, app, old.Version, ready.Number))
		_, err = w.Rollback(ctx, w.admin, app, "production", 0, control.Target{})
		w.refused(err, capstan.CodeBytesGone, w.number())
		if got := w.serves(); got != "1.0.2" {
			t.Errorf("after the refusals a phone gets %q, want 1.0.2", got)
		}
	})
}
