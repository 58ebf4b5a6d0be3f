package capstan

import "time"

// ShareAll is the share, in basis points, of a finished release: everyone.
const ShareAll = 10_000

// EndReason says why a release was taken back. A release that a newer one has
// replaced is not ended: whether it is still live follows from the rows.
type EndReason string

const (
	EndRolledBack  EndReason = "rolled_back"
	EndQuarantined EndReason = "quarantined"
	EndAborted     EndReason = "aborted"
)

// Release is a bundle put on a channel at a moment. It is numbered within its
// app, never edited, only superseded, paused or ended.
type Release struct {
	App     string
	Number  int64 // 1, 2, 3 … within the app, over all its channels
	Channel string
	Bundle  string // bundle id; "" sends devices back to the web content of their store build
	Version string // of the bundle; "" for built-in

	// Rollout: how far the release reaches.
	ShareBP int    // 0–10 000 basis points of devices
	Salt    string // places devices, see internal/rollout
	Paused  bool   // no further device gets it; those that run it keep it

	At        time.Time
	By        string
	EndedAt   time.Time // zero while not ended
	EndReason EndReason
}

// Builtin reports whether r sends devices back to their store build.
func (r Release) Builtin() bool { return r.Bundle == "" }

// Ended reports whether r was taken back.
func (r Release) Ended() bool { return !r.EndedAt.IsZero() }

// Finished reports whether r reaches everyone.
func (r Release) Finished() bool { return r.ShareBP >= ShareAll && !r.Paused && !r.Ended() }

// AppState is everything the rows say about one app that can change a
// device's answer, as read in one transaction.
type AppState struct {
	Number   int64 // of the last change in the store when this was read
	App      App
	Channels []Channel
	Releases []Release               // per channel at least the live ones, the last ten and all ended ones
	Bundles  []Bundle                // every bundle that Releases name
	Files    map[string][]StoredFile // by bundle id, for bundles with DeltaOffered
}

// LiveWalk finds the releases of one channel that may still serve somebody: it
// is shown them newest first. A finished release covers, per platform, every
// native version from the lowest that its bundle can run; a release is live
// while there is a platform and a native version that it can serve and that no
// newer finished one covers. That a release is superseded is never written
// down: it follows from the rows.
type LiveWalk struct {
	covered PlatformSet // for every native version
	above   PlatformSet // from the version in from upwards
	from    [len(Platforms)]Version
}

// Done reports whether no older release can be live.
func (w *LiveWalk) Done() bool { return w.covered == AllPlatforms }

// Next takes the next older release and reports whether it is live. nativeMin
// belongs to its bundle; nil for built-in. A bound that is no version counts
// as none.
func (w *LiveWalk) Next(r Release, nativeMin map[Platform]string) bool {
	if w.Done() || r.Ended() {
		return false
	}
	live := false
	for i, p := range Platforms {
		lowest, bounded := ParseVersion(nativeMin[p])
		if w.covered.Has(p) || bounded && w.above.Has(p) && !lowest.Less(w.from[i]) {
			continue
		}
		live = true
		switch {
		case !r.Finished():
		case bounded:
			w.above, w.from[i] = w.above.With(p, true), lowest
		default:
			w.covered = w.covered.With(p, true)
		}
	}
	return live
}
