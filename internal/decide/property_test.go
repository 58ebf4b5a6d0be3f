package decide

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/rollout"
)

var versions = []string{"0.9.0", "1.0.0-rc.1", "1.0.0", "1.2.0", "1.3.0-beta.1", "1.3.0", "2.0.0"}

// anyRig draws an app with up to six releases on production, and a query.
func anyRig(t *rapid.T) *rig {
	r := newRig()
	r.state.Releases, r.state.Bundles = nil, nil
	c := r.production()
	c.Policy = rapid.SampledFrom(capstan.Policies[:]).Draw(t, "policy")
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	c.UnderNative, c.Prod, c.Dev, c.Device, c.Emulator = flag("under"), flag("prod"), flag("dev"), flag("device"), flag("emulator")
	for i := range rapid.IntRange(0, 6).Draw(t, "releases") {
		r.release(rapid.SampledFrom(append(versions, "")).Draw(t, "version"), func(x *capstan.Release) {
			x.ShareBP = rapid.SampledFrom([]int{0, 1, 5000, 9999, 10_000, 10_000}).Draw(t, "share")
			x.Paused = rapid.IntRange(0, 5).Draw(t, "paused") == 0
		})
		if rapid.IntRange(0, 4).Draw(t, "ended") == 0 {
			r.end(int64(i + 1))
		}
	}
	for i := range r.state.Bundles {
		if rapid.IntRange(0, 2).Draw(t, "needs") == 0 {
			r.needs(i, rapid.SampledFrom(versions).Draw(t, "minimum"))
		}
		if rapid.IntRange(0, 6).Draw(t, "gone") == 0 {
			r.bundle(i).State = capstan.BundleGone
		}
	}
	r.q.Device = device(rapid.IntRange(0, 1000).Draw(t, "id"))
	r.q.Platform = rapid.SampledFrom(capstan.Platforms[:]).Draw(t, "platform")
	r.q.Native = rapid.SampledFrom(versions).Draw(t, "native")
	r.q.Running = rapid.SampledFrom(append(versions, r.q.Native)).Draw(t, "running")
	r.q.Prod, r.q.Emulator = flag("is prod"), flag("is emulator")
	r.q.Plugin = Plugin{NoBuiltin: flag("no builtin"), ChecksKeyID: true, Form: Form(rapid.IntRange(0, Forms-1).Draw(t, "form"))}
	r.q.Channel = rapid.SampledFrom([]string{"", "", "", "production", "nowhere"}).Draw(t, "names")
	for range rapid.IntRange(0, 2).Draw(t, "failures") {
		r.failed(rapid.SampledFrom(versions).Draw(t, "failed"), rapid.Int64Range(0, 6).Draw(t, "up to"))
	}
	return r
}

func compiled(t *rapid.T, r *rig) *App {
	a, err := Compile(r.state)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	r.q.NativeVersion, _ = capstan.ParseVersion(r.q.Native)
	return a
}

func TestDecideEqualsExplainAndKeepsItsWord(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := anyRig(t)
		a := compiled(t, r)
		d, steps := Explain(a, r.over, &r.q)
		if quiet := Decide(a, r.over, &r.q); quiet != d {
			t.Fatalf("Decide %+v, Explain %+v", got(quiet), got(d))
		}
		if len(steps) == 0 || d.Reason.Outcome() != d.Outcome {
			t.Fatalf("outcome %s with reason %s after %d steps", d.Outcome, d.Reason, len(steps))
		}
		switch d.Outcome {
		case capstan.Offer:
			if d.Bundle == nil || d.Release == nil || d.Bundle.State != capstan.BundleReady {
				t.Fatalf("offer of %+v", d.Bundle)
			}
			if d.Bundle.Version == r.q.Running {
				t.Fatalf("offered %s to a device that runs it", d.Bundle.Version)
			}
			for _, f := range r.over.Failures {
				if f.Version == d.Bundle.Version && d.Release.Number <= f.Release {
					t.Fatalf("offered %s, which the device reported as failed", f.Version)
				}
			}
			if d.Release.Ended() {
				t.Fatalf("offered release %d, which was taken back", d.Release.Number)
			}
		case capstan.Builtin:
			if r.q.Platform == capstan.Electron || r.q.Builtin() || r.q.Plugin.NoBuiltin {
				t.Fatalf("sent to built-in: %s, running %s on native %s", r.q.Platform, r.q.Running, r.q.Native)
			}
		}
	})
}

// Raising the share of the newest release moves a device once, when the share
// passes the device's place, and never back. Finishing the release takes it
// from nobody either; it may free those whom the release refuses, since what
// they run is then no longer served to anyone.
func TestDecideIsMonotonicInShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := anyRig(t)
		r.release("1.2.5", nil)
		place := rollout.Bucket(r.newest().Salt, r.q.Device)
		at := func(share int) want {
			r.newest().ShareBP = share
			return got(Decide(compiled(t, r), r.over, &r.q))
		}
		outside, inside, all := at(0), at(min(place+1, capstan.ShareAll)), at(capstan.ShareAll)
		share := rapid.IntRange(0, capstan.ShareAll-1).Draw(t, "share")
		want := outside
		if share > place {
			want = inside
		}
		if d := at(share); d != want {
			t.Fatalf("at %d the device at place %d gets %+v, want %+v", share, place, d, want)
		}
		freed := inside.outcome != capstan.Offer && all == builtin(capstan.ReasonWithdrawn)
		if all != inside && !freed && r.q.Platform != capstan.Electron {
			t.Fatalf("inside it gets %+v, once the release is finished %+v", inside, all)
		}
		if inside == offer("1.2.5") && all != inside {
			t.Fatalf("the finished release is taken from a device: %+v", all)
		}
	})
}

// Time alone decides nothing yet: without windows, when a device asks does not
// matter.
func TestDecideIsMonotonicInTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := anyRig(t)
		a := compiled(t, r)
		before := Decide(a, r.over, &r.q)
		r.q.At = r.q.At.Add(time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(t, "later")))
		if after := Decide(a, r.over, &r.q); after != before {
			t.Fatalf("before %+v, later %+v", got(before), got(after))
		}
	})
}

func TestPinBeatsEverything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := anyRig(t)
		r.channel("pinned", nil)
		r.release("1.2.5", func(x *capstan.Release) { x.Channel = "pinned" })
		r.channel("old", func(c *capstan.Channel) { c.FormerDefault = capstan.AllPlatforms })
		r.channel("free", func(c *capstan.Channel) { c.SelfAssign = true })
		r.over.Pin = "pinned"
		r.q.Channel = ""
		a := compiled(t, r)
		want := Decide(a, r.over, &r.q)
		r.q.Channel = rapid.SampledFrom([]string{"production", "old", "free", "pinned", "nowhere"}).Draw(t, "named")
		c, ok := Resolve(a, r.over, &r.q)
		if !ok || c.Name != "pinned" {
			t.Fatalf("a device tied to pinned and naming %q resolves to %+v", r.q.Channel, c)
		}
		if d := Decide(a, r.over, &r.q); d != want || d.Channel != c {
			t.Fatalf("naming %q it gets %+v, naming nothing %+v", r.q.Channel, got(d), got(want))
		}
	})
}

func TestUnrelatedChannelChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := anyRig(t)
		before := Decide(compiled(t, r), r.over, &r.q)
		set := func(name string) capstan.PlatformSet {
			return capstan.PlatformSet(rapid.IntRange(0, int(capstan.AllPlatforms)).Draw(t, name))
		}
		r.channel("unrelated", func(c *capstan.Channel) {
			c.SelfAssign = rapid.Bool().Draw(t, "self")
			c.FormerDefault, c.Platforms = set("former"), set("platforms")
		})
		for range rapid.IntRange(0, 3).Draw(t, "unrelated releases") {
			r.release(rapid.SampledFrom(append(versions, "", "9.9.9")).Draw(t, "of"), func(x *capstan.Release) { x.Channel = "unrelated" })
			if rapid.Bool().Draw(t, "taken back") {
				r.end(r.newest().Number)
			}
		}
		after := Decide(compiled(t, r), r.over, &r.q)
		if got(after) != got(before) || number(after) != number(before) || (after.Channel == nil) != (before.Channel == nil) {
			t.Fatalf("before %+v of release %d, with another channel %+v of release %d", got(before), number(before), got(after), number(after))
		}
	})
}

func number(d Decision) int64 {
	if d.Release == nil {
		return 0
	}
	return d.Release.Number
}

// A device that runs what was taken back is never told to stay there, as long
// as it has a channel and can go back at all.
func TestGoingBackNeverStrands(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := anyRig(t)
		r.q.Channel, r.q.Plugin.NoBuiltin = "", false
		r.q.Platform = rapid.SampledFrom([]capstan.Platform{capstan.IOS, capstan.Android}).Draw(t, "phone")
		r.release("1.2.5", nil)
		r.end(r.newest().Number)
		r.q.Running = "1.2.5"
		if d := Decide(compiled(t, r), r.over, &r.q); d.Outcome != capstan.Offer && d.Outcome != capstan.Builtin {
			t.Fatalf("a device on a bundle that was taken back gets %+v", got(d))
		}
	})
}

// Whatever a device sends and however little the app has.
func TestDecideNeverPanics(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := anyRig(t)
		a := compiled(t, r)
		if rapid.Bool().Draw(t, "empty app") {
			a, _ = Compile(capstan.AppState{})
		}
		text := rapid.OneOf(rapid.Just(""), rapid.Just("production"), rapid.Just("1.2.0"), rapid.String())
		r.over.Pin, r.q.Channel, r.q.KeyID = text.Draw(t, "pin"), text.Draw(t, "channel"), text.Draw(t, "key")
		r.q.Running, r.q.Native = text.Draw(t, "running"), text.Draw(t, "native")
		r.q.Platform = capstan.Platform(rapid.OneOf(rapid.SampledFrom([]string{"ios", "electron", "web", ""}), rapid.String()).Draw(t, "platform"))
		r.q.Plugin.Form = Form(rapid.Byte().Draw(t, "any form"))
		r.q.Plugin.Unsupported = rapid.Bool().Draw(t, "unsupported")
		if rapid.Bool().Draw(t, "unparsed") {
			r.q.NativeVersion = capstan.Version{}
		}
		d, _ := Explain(a, r.over, &r.q)
		if quiet := Decide(a, r.over, &r.q); quiet != d {
			t.Fatalf("Decide %+v, Explain %+v", got(quiet), got(d))
		}
		if c, ok := Resolve(a, r.over, &r.q); !r.q.Plugin.Unsupported && (c != d.Channel || ok != (c != nil)) {
			t.Fatalf("Resolve %+v, Decide looks at %+v", c, d.Channel)
		}
	})
}

// Without native ranges, rollouts and failures there is exactly one release
// per channel, as Capgo has it.
func TestWithoutRangesAChannelServesItsNewestRelease(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := anyRig(t)
		r.over = Overlay{}
		for i := range r.state.Releases {
			r.state.Releases[i].ShareBP, r.state.Releases[i].Paused = capstan.ShareAll, false
		}
		for i := range r.state.Bundles {
			r.bundle(i).NativeMin = nil
		}
		a := compiled(t, r)
		live := a.Channel("production").Live()
		if len(live) > 1 {
			t.Fatalf("%d live releases", len(live))
		}
		d := Decide(a, r.over, &r.q)
		if d.Outcome == capstan.Offer && r.q.Platform != capstan.Electron && d.Release.Number != live[0].Number {
			t.Fatalf("offered release %d, live is %d", d.Release.Number, live[0].Number)
		}
	})
}

// What a device is told depends on nothing but snapshot, overlay and query, so
// other devices' ids do not matter once a release reaches everybody.
func TestFinishedReleaseReachesEveryDevice(t *testing.T) {
	t.Parallel()
	r := newRig()
	a := r.compile(t)
	for n := range 1000 {
		r.q.Device = device(n * 7919)
		if d := got(Decide(a, r.over, &r.q)); d != offer("1.2.0") {
			t.Fatalf("device %d gets %s", n, fmt.Sprint(d))
		}
	}
}
