package sim

import (
	"context"
	"time"

	"github.com/capstan-ota/capstan"
)

// Result is a whole update as [Device.Update] saw it.
type Result struct {
	From    string  `json:"from"` // names of the bundles that ran before and after
	To      string  `json:"to"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail,omitempty"`
	Version string  `json:"version,omitempty"` // that the server's answer named

	BytesDownloaded int64         `json:"bytes_downloaded"` // of zips and files, not of API answers
	ZipBytes        int64         `json:"zip_bytes"`
	DeltaBytes      int64         `json:"delta_bytes"`
	FilesFetched    int           `json:"files_fetched"`
	FilesReused     int           `json:"files_reused"` // from the store build or the cache
	ViaDelta        bool          `json:"via_delta"`
	Took            time.Duration `json:"took_ns"` // on the device clock
	Entries         []Entry       `json:"entries"`
}

// Update is what a user does in a minute: open the app, which checks and
// downloads, put it in the background, where the new bundle is applied and
// confirms itself or is rolled back; the statistics go out. Errors as for
// [Report].
func (d *Device) Update(ctx context.Context) (Result, error) {
	from, start := d.mark(), d.now()
	before := d.current().Version
	report, err := d.updateSteps(ctx)
	entries := d.since(from)
	t := Sum(entries)
	result := Result{
		From: before, To: d.current().Version, Outcome: report.Outcome, Detail: report.Detail, Version: report.Version,
		BytesDownloaded: t.ZipBytes + t.DeltaBytes, ZipBytes: t.ZipBytes, DeltaBytes: t.DeltaBytes,
		FilesFetched: t.FilesFetched, FilesReused: t.FilesBuiltin + t.FilesCached,
		Took: d.now().Sub(start), Entries: entries,
	}
	result.ViaDelta = t.FilesFetched+result.FilesReused > 0 && t.ZipBytes == 0
	return result, err
}

func (d *Device) updateSteps(ctx context.Context) (Report, error) {
	report, err := d.Foreground(ctx)
	if err != nil {
		return report, err
	}
	if d.profile.Platform == capstan.Electron {
		if report, err = d.Check(ctx); err != nil {
			return report, err
		}
	}
	background, err := d.Background(ctx)
	if err != nil {
		return background, err
	}
	if report.Outcome == Staged {
		version := report.Version
		report = background
		report.Version = version
	}
	return report, d.FlushStats(ctx)
}
