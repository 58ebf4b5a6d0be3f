package capstan

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// walked returns the numbers of the releases that are live, newest first. A
// release is written as "share" or "share>native", "end" when it was taken
// back, for every platform alike.
func walked(newestFirst ...string) (live []int) {
	var w LiveWalk
	for i, text := range newestFirst {
		r := Release{Number: int64(len(newestFirst) - i)}
		var native string
		if _, err := fmt.Sscanf(text, "%d>%s", &r.ShareBP, &native); err != nil && text == "end" {
			r.EndedAt = time.Unix(1, 0)
		}
		var bounds map[Platform]string
		if native != "" {
			bounds = map[Platform]string{IOS: native, Android: native, Electron: native}
		}
		if w.Next(r, bounds) {
			live = append(live, int(r.Number))
		}
	}
	return live
}

func TestLiveReleases(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		releases []string
		want     string
	}{
		{"nothing", nil, "[]"},
		{"a finished release replaces all before it", []string{"10000", "10000", "10000"}, "[3]"},
		{"a rollout leaves the one before it", []string{"500", "10000", "10000"}, "[3 2]"},
		{"one that was taken back serves nobody", []string{"end", "10000"}, "[1]"},
		{"older native builds keep the older one", []string{"10000>2.0.0", "10000", "10000"}, "[3 2]"},
		{"a bound at or below covers the older range", []string{"10000>2.0.0", "10000>2.0.0", "10000"}, "[3 1]"},
		{"a higher bound does not", []string{"10000>2.0.0", "10000>1.5.0", "10000>1.0.0"}, "[3 2 1]"},
		{"a rollout covers nothing", []string{"500>1.0.0", "10000>1.0.0"}, "[2 1]"},
	} {
		if got := fmt.Sprint(walked(tt.releases...)); got != tt.want {
			t.Errorf("%s: live of %v are %s, want %s", tt.name, tt.releases, got, tt.want)
		}
	}
}

// A release is live exactly while there is a platform and a native version that
// it can serve and no newer finished release can.
func TestLiveWalkIsWhatTheWordsSay(t *testing.T) {
	t.Parallel()
	bounds := []string{"", "1.0.0", "1.5.0", "2.0.0-rc.1", "2.0.0"}
	natives := []string{"0.0.0", "1.0.0", "1.5.0", "2.0.0-rc.1", "2.0.0"}
	type row struct {
		release Release
		min     map[Platform]string
	}
	serves := func(r row, p Platform, native string) bool {
		lowest, bounded := ParseVersion(r.min[p])
		v, _ := ParseVersion(native)
		return !r.release.Ended() && (!bounded || !v.Less(lowest))
	}
	rapid.Check(t, func(t *rapid.T) {
		var walk LiveWalk
		var newer []row
		for n := range rapid.IntRange(0, 6).Draw(t, "releases") {
			r := row{Release{Number: int64(100 - n), ShareBP: rapid.SampledFrom([]int{500, ShareAll, ShareAll}).Draw(t, "share")}, map[Platform]string{}}
			r.release.Paused = rapid.IntRange(0, 4).Draw(t, "paused") == 0
			if rapid.IntRange(0, 4).Draw(t, "ended") == 0 {
				r.release.EndedAt = time.Unix(1, 0)
			}
			for _, p := range Platforms {
				if b := rapid.SampledFrom(bounds).Draw(t, string(p)); b != "" {
					r.min[p] = b
				}
			}
			want := false
			for _, p := range Platforms {
				for _, native := range natives {
					covered := false
					for _, o := range newer {
						covered = covered || o.release.Finished() && serves(o, p, native)
					}
					want = want || serves(r, p, native) && !covered
				}
			}
			done := walk.Done()
			if got := walk.Next(r.release, r.min); got != want || done && got {
				t.Fatalf("release %+v with minimum %v after %+v: live %v (done %v), want %v", r.release, r.min, newer, got, done, want)
			}
			newer = append(newer, r)
		}
	})
}
