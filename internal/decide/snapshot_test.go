package decide

import (
	"fmt"
	"testing"

	"github.com/capstan-ota/capstan"
)

func TestCompileRefusesContradictions(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*rig){
		"two defaults for a platform": func(r *rig) {
			r.channel("b", func(c *capstan.Channel) { c.Default = capstan.NewPlatformSet(capstan.IOS) })
		},
		"two channels of a name":        func(r *rig) { r.channel("production", nil) },
		"unknown policy":                func(r *rig) { r.production().Policy = "weekly" },
		"release on an unknown channel": func(r *rig) { r.newest().Channel = "nowhere" },
		"release of an unknown bundle":  func(r *rig) { r.newest().Bundle = "nothing" },
		"share above all":               func(r *rig) { r.newest().ShareBP = 10_001 },
		"share below nothing":           func(r *rig) { r.newest().ShareBP = -1 },
		"two releases of a number":      func(r *rig) { r.release("1.3.0", func(x *capstan.Release) { x.Number = 1 }) },
		"version that is not semver":    func(r *rig) { r.bundle(0).Version = "one" },
		"minimum that is not semver":    func(r *rig) { r.needs(0, "one") },
		"minimum for no platform":       func(r *rig) { r.bundle(0).NativeMin = map[capstan.Platform]string{"tv": "1.0.0"} },
		"two bundles of a version": func(r *rig) {
			r.state.Bundles = append(r.state.Bundles, capstan.Bundle{ID: "other", Version: "1.2.0"})
		},
		"two channels of a number":        func(r *rig) { r.channel("b", func(c *capstan.Channel) { c.Seq = 1 }) },
		"default of an unserved platform": func(r *rig) { r.production().Platforms = 0 },
		"bundle in an unknown state":      func(r *rig) { r.bundle(0).State = "half" },
		"release named unlike its bundle": func(r *rig) { r.newest().Version = "1.2.1" },
		"built-in release with a version": func(r *rig) { r.newest().Bundle = "" },
		"two bundles of an id": func(r *rig) {
			r.state.Bundles = append(r.state.Bundles, capstan.Bundle{ID: "id-1.2.0", Version: "1.2.9"})
		},
	}
	for name, edit := range tests {
		r := newRig()
		if _, err := Compile(r.state); err != nil {
			t.Fatalf("the rig itself: %v", err)
		}
		edit(r)
		if _, err := Compile(r.state); err == nil {
			t.Errorf("%s was compiled", name)
		}
	}
}

func TestSnapshotListsChannelsByName(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.channel("beta", nil)
	r.channel("alpha", nil)
	a := r.compile(t)
	var names []string
	for _, c := range a.Channels() {
		names = append(names, c.Name)
		if a.Channel(c.Name) != c {
			t.Errorf("Channel(%q) is another one than in the list", c.Name)
		}
	}
	if got := fmt.Sprint(names); got != "[alpha beta production]" {
		t.Errorf("channels %s", got)
	}
	if a.Channel("nowhere") != nil || a.Default(capstan.IOS).Name != "production" || a.Default("tv") != nil {
		t.Error("Channel or Default is wrong")
	}
}

func TestLiveReleasesOfAChannel(t *testing.T) {
	t.Parallel()
	rollout := func(x *capstan.Release) { x.ShareBP = 500 }
	tests := []struct {
		name string
		edit func(*rig)
		want string
	}{
		{"one", func(*rig) {}, "[1]"},
		{"a finished release replaces the others", func(r *rig) { r.release("1.3.0", nil) }, "[2]"},
		{"a rollout leaves the one before it", func(r *rig) { r.release("1.3.0", rollout) }, "[2 1]"},
		{"a paused release leaves the one before it", func(r *rig) {
			r.release("1.3.0", func(x *capstan.Release) { x.Paused = true })
		}, "[2 1]"},
		{"two rollouts", func(r *rig) { r.release("1.3.0", rollout); r.release("1.4.0", rollout) }, "[3 2 1]"},
		{"one that was taken back", func(r *rig) { r.release("1.3.0", nil); r.end(2) }, "[1]"},
		{"older native builds keep the older one", func(r *rig) { r.release("2.0.0", nil); r.needs(1, "2.0.0") }, "[2 1]"},
		{"until a newer finished one covers them too", func(r *rig) {
			r.release("2.0.0", nil)
			r.needs(1, "2.0.0")
			r.release("2.0.1", nil)
		}, "[3]"},
		{"a range for one platform leaves it to the others", func(r *rig) {
			r.release("2.0.0", nil)
			r.bundle(1).NativeMin = map[capstan.Platform]string{capstan.IOS: "2.0.0"}
		}, "[2 1]"},
		{"built-in replaces the others", func(r *rig) { r.release("", nil) }, "[2]"},
	}
	for _, tt := range tests {
		r := newRig()
		tt.edit(r)
		var numbers []int64
		for _, rel := range r.compile(t).Channel("production").Live() {
			numbers = append(numbers, rel.Number)
		}
		if got := fmt.Sprint(numbers); got != tt.want {
			t.Errorf("%s: live %s, want %s", tt.name, got, tt.want)
		}
	}
}

// What a decision can offer is prepared before the snapshot is published; what
// was taken back and nobody else carries is not.
func TestOfferableIsWhatADecisionCanOffer(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.release("1.3.0", nil)
	r.release("1.4.0", nil)
	r.end(2)
	r.release("1.2.0", nil)
	var versions []string
	for _, b := range r.compile(t).Channel("production").Offerable() {
		versions = append(versions, b.Version)
	}
	if got := fmt.Sprint(versions); got != "[1.2.0 1.4.0]" {
		t.Errorf("offerable %s", got)
	}
}
