package decide

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
)

var at = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// rig is an app that tests change before it is compiled: channel production,
// default for every platform, serving bundle 1.2.0 as release 1.
type rig struct {
	state capstan.AppState
	over  Overlay
	q     Query
}

func newRig() *rig {
	r := &rig{
		state: capstan.AppState{App: capstan.App{ID: "com.example.app"}},
		q: Query{
			At: at, Device: device(1), Platform: capstan.Android, Running: "1.1.0", Native: "1.0.0", Prod: true,
			Plugin: Plugin{ChecksKeyID: true, Form: FormDelta},
		},
	}
	r.channel("production", func(c *capstan.Channel) { c.Default = capstan.AllPlatforms })
	r.release("1.2.0", nil)
	return r
}

func device(n int) capstan.DeviceID {
	return capstan.DeviceID{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 0x40, 0x80}
}

func (r *rig) channel(name string, edit func(*capstan.Channel)) {
	c := capstan.NewChannel("com.example.app", name)
	c.Seq = int64(len(r.state.Channels) + 1)
	if edit != nil {
		edit(&c)
	}
	r.state.Channels = append(r.state.Channels, c)
}

func (r *rig) production() *capstan.Channel { return &r.state.Channels[0] }
func (r *rig) bundle(n int) *capstan.Bundle { return &r.state.Bundles[n] }
func (r *rig) newest() *capstan.Release     { return &r.state.Releases[len(r.state.Releases)-1] }
func (r *rig) native(v string)              { r.q.Native = v }
func (r *rig) onBuiltin(v string)           { r.q.Native, r.q.Running = v, v }
func (r *rig) failed(v string, release int64) {
	r.over.Failures = append(r.over.Failures, capstan.Failure{Version: v, Release: release})
}

// release puts a bundle on production; "" is built-in.
func (r *rig) release(version string, edit func(*capstan.Release)) {
	n := int64(len(r.state.Releases) + 1)
	rel := capstan.Release{Number: n, Channel: "production", Version: version, ShareBP: capstan.ShareAll, Salt: fmt.Sprint("salt", n)}
	if version != "" {
		rel.Bundle = "id-" + version
		if !slices.ContainsFunc(r.state.Bundles, func(b capstan.Bundle) bool { return b.ID == rel.Bundle }) {
			r.state.Bundles = append(r.state.Bundles, capstan.Bundle{
				ID: rel.Bundle, Version: version, State: capstan.BundleReady, Archive: "zip", DeltaOffered: true,
			})
		}
	}
	if edit != nil {
		edit(&rel)
	}
	r.state.Releases = append(r.state.Releases, rel)
}

func (r *rig) end(number int64) {
	r.state.Releases[number-1].EndedAt, r.state.Releases[number-1].EndReason = at, capstan.EndRolledBack
}

func (r *rig) needs(bundle int, native string) {
	r.bundle(bundle).NativeMin = map[capstan.Platform]string{capstan.IOS: native, capstan.Android: native, capstan.Electron: native}
}

func (r *rig) compile(t testing.TB) *App {
	t.Helper()
	a, err := Compile(r.state)
	if err != nil {
		t.Fatal(err)
	}
	var ok bool
	if r.q.NativeVersion, ok = capstan.ParseVersion(r.q.Native); !ok {
		t.Fatalf("native version %q", r.q.Native)
	}
	return a
}

// want names a decision: outcome, reason, and the version that is offered.
type want struct {
	outcome capstan.Outcome
	reason  capstan.Reason
	version string
}

func blocked(r capstan.Reason) want  { return want{capstan.Blocked, r, ""} }
func failed(r capstan.Reason) want   { return want{capstan.Failed, r, ""} }
func upToDate(r capstan.Reason) want { return want{capstan.UpToDate, r, ""} }
func offer(v string) want            { return want{capstan.Offer, capstan.ReasonNewRelease, v} }
func builtin(r capstan.Reason) want  { return want{capstan.Builtin, r, ""} }

func got(d Decision) want {
	w := want{d.Outcome, d.Reason, ""}
	if d.Outcome == capstan.Offer {
		w.version = d.Bundle.Version
	}
	return w
}

func TestDecisionTable(t *testing.T) {
	t.Parallel()
	for _, tt := range table {
		t.Run(fmt.Sprintf("%d %s", tt.row, tt.name), func(t *testing.T) {
			t.Parallel()
			r := newRig()
			tt.edit(r)
			a := r.compile(t)
			d, steps := Explain(a, r.over, &r.q)
			if got(d) != tt.want {
				t.Errorf("got %+v, want %+v", got(d), tt.want)
				for _, s := range steps {
					t.Logf("%-14s %v %s", s.Gate, s.Pass, s.Detail)
				}
			}
			if quiet := Decide(a, r.over, &r.q); quiet != d {
				t.Errorf("Decide %+v differs from Explain %+v", quiet, d)
			}
		})
	}
}

// Every row that a device can reach has at least one line above.
func TestDecisionTableCoversEveryReachableRow(t *testing.T) {
	t.Parallel()
	reachable := []int{15, 18, 20, 21, 22, 23, 24, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38}
	for _, row := range reachable {
		if !slices.ContainsFunc(table, func(r tableRow) bool { return r.row == row }) {
			t.Errorf("row %d has no line", row)
		}
	}
	last := 0
	for _, g := range gates {
		if g.row != 0 && g.row < last {
			t.Errorf("gate %s of row %d stands after row %d", g.name, g.row, last)
		}
		last = max(last, g.row)
	}
	for _, e := range capstan.Reasons {
		if e.Reason != capstan.ReasonAppUnknown && !slices.ContainsFunc(table, func(r tableRow) bool { return r.want.reason == e.Reason }) {
			t.Errorf("reason %s has no line", e.Reason)
		}
	}
}

func TestTraceNamesTheGateThatDecided(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.native("0.9.0")
	_, steps := Explain(r.compile(t), r.over, &r.q)
	last := steps[len(steps)-1]
	if last.Gate != "major" || last.Pass || last.Detail != "policy major, bundle 1.2.0, native 0.9.0" {
		t.Errorf("last step %+v", last)
	}
	for _, s := range steps[:len(steps)-1] {
		if !s.Pass {
			t.Errorf("step %+v refuses although another decided", s)
		}
	}
}

// That a channel was a default once is no detour while it is one again.
func TestTraceTellsTheWayToTheChannel(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		edit func(*rig)
		want string
	}{
		{"pin", func(r *rig) { r.over.Pin, r.q.Channel = "production", "old" }, "pin"},
		{"pin to a channel that is gone", func(r *rig) { r.over.Pin = "gone" }, "pin channel"},
		{"default", func(*rig) {}, "channel"},
		{"named", func(r *rig) { r.q.Channel = "production" }, "channel"},
		{"former default", func(r *rig) { r.q.Channel = "old" }, "former_default"},
		{"default again", func(r *rig) { r.production().FormerDefault = capstan.AllPlatforms; r.q.Channel = "production" }, "channel"},
	}
	for _, tt := range tests {
		r := newRig()
		r.channel("old", func(c *capstan.Channel) { c.FormerDefault = capstan.AllPlatforms })
		tt.edit(r)
		_, steps := Explain(r.compile(t), r.over, &r.q)
		var way []string
		for _, s := range steps {
			if s.Gate == "pin" || s.Gate == "channel" || s.Gate == "former_default" {
				way = append(way, s.Gate)
			}
		}
		if got := strings.Join(way, " "); got != tt.want {
			t.Errorf("%s: steps %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestFormIsWhatPluginAndBundleShare(t *testing.T) {
	t.Parallel()
	all := FormDelta | FormCRC32 | FormMetadata
	tests := []struct {
		name string
		edit func(*rig)
		want Form
	}{
		{"everything", func(*rig) {}, all},
		{"plugin reads zip only", func(r *rig) { r.q.Plugin.Form = 0 }, 0},
		{"too many files", func(r *rig) { r.bundle(0).DeltaOffered = false }, all &^ FormDelta},
		{"app hides metadata", func(r *rig) { r.state.App.ExposeMetadata = false }, all &^ FormMetadata},
		{"nothing to expose", func(r *rig) { r.bundle(0).Link = "" }, all &^ FormMetadata},
	}
	for _, tt := range tests {
		r := newRig()
		r.state.App.ExposeMetadata, r.bundle(0).Link, r.q.Plugin.Form = true, "https://example.com", all
		tt.edit(r)
		if d := Decide(r.compile(t), r.over, &r.q); d.Form != tt.want {
			t.Errorf("%s: form %s, want %s", tt.name, d.Form, tt.want)
		}
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	for _, tt := range table {
		r := newRig()
		tt.edit(r)
		a := r.compile(t)
		if n := testing.AllocsPerRun(20, func() { Decide(a, r.over, &r.q) }); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, bench := range []struct {
		name string
		edit func(*rig)
	}{
		{"nothing new", func(r *rig) { r.q.Running = "1.2.0" }},
		{"offer", func(*rig) {}},
		{"offer inside a rollout", func(r *rig) { r.newest().ShareBP = 9_999 }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r := newRig()
			bench.edit(r)
			a := r.compile(b)
			b.ReportAllocs()
			for b.Loop() {
				Decide(a, r.over, &r.q)
			}
		})
	}
}
