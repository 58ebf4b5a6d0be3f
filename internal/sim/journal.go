package sim

import (
	"fmt"
	"strings"
	"time"
)

// What names a kind of journal entry.
type What string

const (
	WhatLaunch   What = "launch"   // the process started
	WhatCheck    What = "check"    // the update check was answered
	WhatEvent    What = "event"    // an event to the app's JavaScript
	WhatZip      What = "zip"      // a GET of a zip
	WhatFile     What = "file"     // a GET of a file of a manifest
	WhatReuse    What = "reuse"    // a file of a manifest that was not fetched; Detail is builtin or cache
	WhatRefuse   What = "refuse"   // the device refused what it was given
	WhatWait     What = "wait"     // virtual time passed
	WhatStage    What = "stage"    // a bundle waits for the next background
	WhatActivate What = "activate" // a bundle was switched to
	WhatReady    What = "ready"    // the app called notifyAppReady
	WhatTimeout  What = "timeout"  // it did not
	WhatRollback What = "rollback" // back to the bundle that worked
	WhatDelete   What = "delete"   // a bundle was removed
	WhatChannel  What = "channel"  // a channel call was answered
	WhatStat     What = "stat"     // a statistic was recorded; Name is its action
	WhatStats    What = "stats"    // statistics were posted
	WhatSize     What = "size"     // /manifest_size was answered
)

// Entry is one thing that happened.
type Entry struct {
	At      time.Time     `json:"at"` // device clock
	What    What          `json:"what"`
	Name    string        `json:"name,omitempty"`    // file, action or event
	Version string        `json:"version,omitempty"` // of the bundle it is about
	Status  int           `json:"status,omitempty"`  // HTTP status
	Bytes   int64         `json:"bytes,omitempty"`   // that came over the network, or of a reused file
	Took    time.Duration `json:"took_ns,omitempty"` // on the device clock
	Detail  string        `json:"detail,omitempty"`
}

// String returns one line for people.
func (e Entry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-8s", e.At.UTC().Format("15:04:05.000"), e.What)
	for _, s := range []string{e.Name, e.Version} {
		if s != "" {
			b.WriteString(" " + s)
		}
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " HTTP %d", e.Status)
	}
	if e.Bytes != 0 {
		fmt.Fprintf(&b, " %d B", e.Bytes)
	}
	if e.Took != 0 {
		fmt.Fprintf(&b, " in %s", e.Took.Round(time.Microsecond))
	}
	if e.Detail != "" {
		b.WriteString(" (" + e.Detail + ")")
	}
	return b.String()
}

// Totals sums what entries say about downloads.
type Totals struct {
	ZipBytes     int64 `json:"zip_bytes"`     // that came as zips, failed attempts included
	DeltaBytes   int64 `json:"delta_bytes"`   // that came as files of manifests
	FilesFetched int   `json:"files_fetched"` // files of manifests that came over the network
	FilesBuiltin int   `json:"files_builtin"` // … were copied from the store build
	FilesCached  int   `json:"files_cached"`  // … were copied from the cache
}

// Sum returns the totals of entries.
func Sum(entries []Entry) Totals {
	var t Totals
	for _, e := range entries {
		switch {
		case e.What == WhatZip:
			t.ZipBytes += e.Bytes
		case e.What == WhatFile:
			t.DeltaBytes += e.Bytes
			if e.Detail == "" {
				t.FilesFetched++
			}
		case e.What == WhatReuse && e.Detail == fromBuiltin:
			t.FilesBuiltin++
		case e.What == WhatReuse:
			t.FilesCached++
		}
	}
	return t
}

// Journal returns everything that happened so far, oldest first.
func (d *Device) Journal() []Entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Entry(nil), d.journal...)
}

// note appends e to the journal, at the present time of the device.
func (d *Device) note(e Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e.At = d.opt.Now().Add(d.skew)
	d.journal = append(d.journal, e)
}

// event notes events to the app's JavaScript.
func (d *Device) event(names ...string) {
	for _, name := range names {
		d.note(Entry{What: WhatEvent, Name: name})
	}
}

// since returns the entries from index from on.
func (d *Device) since(from int) []Entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Entry(nil), d.journal[from:]...)
}

func (d *Device) mark() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.journal)
}

// Outcome says what a call led to.
type Outcome string

const (
	NoCheck    Outcome = "no_check"    // none was due
	UpToDate   Outcome = "up_to_date"  // nothing new
	Blocked    Outcome = "blocked"     // the server refused
	Failed     Outcome = "failed"      // the check or the download failed
	Retrying   Outcome = "retrying"    // Android's worker has not given up yet
	Downloaded Outcome = "downloaded"  // kept, not to be applied by itself
	Staged     Outcome = "staged"      // waits for the next background
	Updated    Outcome = "updated"     // another bundle runs and confirmed itself
	RolledBack Outcome = "rolled_back" // another bundle ran and did not
	Stuck      Outcome = "stuck"       // Electron: it did not, and stays
)

// Report says what one call made the device do. What went wrong on the wire or
// with a bundle is an Outcome; errors are kept for a cancelled context and a
// disk that cannot be used.
type Report struct {
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail,omitempty"`  // why, in the device's words
	Version string  `json:"version,omitempty"` // that the answer named
	Running string  `json:"running"`           // name of the bundle that runs now
	Entries []Entry `json:"entries"`           // what happened in this call
}
