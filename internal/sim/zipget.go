package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-ota/capstan"
)

// trouble is a failed download with the statistics that it leads to.
type trouble struct {
	detail string
	stats  []event // queued before the platform's own
	after  bool    // Android: the bytes had arrived, finishDownload failed
	remove bool    // the bundle was on the disk and is reported as deleted
}

func (t *trouble) Error() string { return t.detail }

// diskError is the one thing that is the simulator's fault.
type diskError struct{ err error }

func (e *diskError) Error() string { return "write to device: " + e.err.Error() }
func (e *diskError) Unwrap() error { return e.err }

func onDisk(err error) error {
	if err == nil {
		return nil
	}
	return &diskError{err}
}

// failAndroid reports what §5.5 lists: in the worker a download_fail without
// version, after it one with the running version and finish_download_fail.
func (d *Device) failAndroid(ctx context.Context, b Bundle, err error) (Outcome, string, error) {
	current := d.current().Version
	t := &trouble{detail: err.Error()}
	errors.As(err, &t)
	for _, s := range t.stats {
		d.stat(ctx, s)
	}
	if err := d.forget(b.ID); err != nil {
		return Failed, "", err
	}
	switch {
	case t.remove:
		d.note(Entry{What: WhatDelete, Version: b.Version})
		d.stat(ctx, event{action: "delete", version: b.Version})
		fallthrough
	case t.after:
		d.stat(ctx, event{action: "download_fail", version: current})
		d.stat(ctx, event{action: "finish_download_fail", version: b.Version})
	default:
		d.stat(ctx, event{action: "download_fail", noVersion: true})
	}
	d.event("downloadFailed", "noNeedUpdate", "appReady")
	d.note(Entry{What: WhatRefuse, Version: b.Version, Detail: bounded(t.detail)})
	return Failed, bounded(t.detail), nil
}

func (d *Device) failIOS(ctx context.Context, b Bundle, err error) (Outcome, string, error) {
	t := &trouble{detail: err.Error()}
	errors.As(err, &t)
	for _, s := range t.stats {
		d.stat(ctx, s)
	}
	if err := d.forget(b.ID); err != nil {
		return Failed, "", err
	}
	if t.remove {
		d.note(Entry{What: WhatDelete, Version: b.Version})
		d.stat(ctx, event{action: "delete", version: b.Version})
	}
	return d.downloadFailed(ctx, bounded(t.detail))
}

// maxWorkerInput is what Android's WorkManager takes (§12 rule 10).
const maxWorkerInput = 10240

// work is a zip download of Android's worker. It survives the process.
type work struct {
	ID          string
	Update      update
	NullSession bool
	Direct      bool // apply at once
	Attempts    int
	Due         time.Time
}

func (w *work) inputBytes(d *Device) int {
	const keysAndNumbers = 400
	return keysAndNumbers + len(w.Update.URL) + len(w.Update.Checksum) + len(w.Update.Session) + len(w.Update.Version) +
		len(d.opt.PublicKey) + len(d.opt.AppID) + len(d.saved.Device) + len(w.ID)
}

// backoff is WorkManager's waiting time after the n-th attempt (§6.1).
func (w *work) backoff(emulator bool) time.Duration {
	const longest = 5 * time.Hour
	if !emulator {
		return min(time.Duration(w.Attempts)*10*time.Second, longest)
	}
	if w.Attempts > 10 {
		return longest
	}
	return min(30*time.Second<<(w.Attempts-1), longest)
}

// resume runs Android's worker for as long as one call watches it.
func (d *Device) resume(ctx context.Context) (Outcome, string, string, error) {
	return d.resumeUntil(ctx, d.now().Add(d.opt.Patience))
}

func (d *Device) resumeUntil(ctx context.Context, deadline time.Time) (Outcome, string, string, error) {
	w := d.saved.Work
	if w == nil {
		return NoCheck, "", "", nil
	}
	for {
		if wait := w.Due.Sub(d.now()); wait > 0 {
			if w.Due.After(deadline) {
				return Retrying, w.Update.Version, "the worker tries again at " + w.Due.UTC().Format(time.TimeOnly), nil
			}
			d.pass(wait)
			d.note(Entry{What: WhatWait, Took: wait, Detail: "before attempt " + strconv.Itoa(w.Attempts+1)})
		}
		data, again, err := d.attempt(ctx, w)
		if ctx.Err() != nil {
			return Failed, w.Update.Version, "", ctx.Err()
		}
		if again && d.can.zipRetry {
			w.Attempts++
			w.Due = d.now().Add(w.backoff(d.opt.Emulator))
			continue
		}
		b := d.bundle(w.ID)
		if err == nil {
			err = d.finishAndroid(ctx, &b, w, data)
		}
		d.saved.Work = nil
		outcome, detail, err := d.settle(ctx, b, err, w.Direct)
		return outcome, w.Update.Version, detail, err
	}
}

// attempt is one run of the worker. again says that the same work is to run
// again, from what is in its temporary file (§6.1).
func (d *Device) attempt(ctx context.Context, w *work) (data []byte, again bool, err error) {
	d.worker(ctx, "download_zip_start", w.Update.Version)
	d.progress(ctx, w.Update.Version, 10, 20, 30, 40, 50, 60)
	var part []byte
	if d.can.zipRetry {
		part, _ = d.disk.read(tempName(w.ID)) // a missing one is an empty one
	}
	start := d.now()
	note := Entry{What: WhatZip, Version: w.Update.Version}
	defer func() {
		note.Took = d.now().Sub(start)
		if err != nil {
			note.Detail = bounded(err.Error())
		}
		d.note(note)
	}()
	resp, err := d.download(ctx, w.Update.URL, dalvikAgent, int64(len(part)), d.sameScheme)
	if err != nil {
		return nil, true, err
	}
	defer resp.Body.Close()
	note.Status = resp.StatusCode
	if s := resp.StatusCode; s != http.StatusOK && s != http.StatusPartialContent {
		again = s == http.StatusRequestTimeout || s == http.StatusTooManyRequests || s >= 500
		return nil, again, fmt.Errorf("HTTP %d on the zip", s)
	}
	span, err := placeBody(resp, int64(len(part)), d.can.zipRetry)
	if err != nil {
		return nil, true, err // the file stays as it is: a wrong start loops for ever
	}
	body, readErr := d.readBody(resp, d.limits.zip)
	d.transfer(int64(len(body)), 1)
	note.Bytes = int64(len(body))
	data = append(part[:span.start:span.start], body...)
	if d.can.zipRetry {
		if err := d.disk.write(tempName(w.ID), data); err != nil {
			return nil, false, onDisk(err)
		}
	}
	switch {
	case errors.Is(readErr, errTooLarge):
		return nil, false, readErr
	case readErr != nil:
		return nil, true, fmt.Errorf("read zip: %w", readErr)
	case span.length >= 0 && span.length != int64(len(body)):
		return nil, true, fmt.Errorf("%d bytes arrived, Content-Range names %d", len(body), span.length)
	case span.total >= 0 && span.total != int64(len(data)) || span.open:
		return nil, true, fmt.Errorf("the file has %d bytes, the server does not say that this is all", len(data))
	}
	d.worker(ctx, "download_zip_complete", w.Update.Version)
	d.progress(ctx, w.Update.Version, 70, 80, 90)
	return data, false, nil
}

// span says where a body belongs. -1 is unknown.
type span struct {
	start, length, total int64
	open                 bool // a 206 whose total is "*": never complete
}

// placeBody reads Content-Range as the worker does: the start must be the one
// asked for, or 0 for the whole file. Older workers do not look.
func placeBody(resp *http.Response, offset int64, checks bool) (span, error) {
	if resp.StatusCode == http.StatusOK || !checks {
		return span{start: 0, length: -1, total: -1}, nil
	}
	value := resp.Header.Get("Content-Range")
	rest, ok := strings.CutPrefix(value, "bytes ")
	place, totalText, ok2 := strings.Cut(rest, "/")
	first, last, ok3 := strings.Cut(place, "-")
	a, errA := strconv.ParseInt(first, 10, 64)
	b, errB := strconv.ParseInt(last, 10, 64)
	if !ok || !ok2 || !ok3 || errA != nil || errB != nil || b < a || a != offset && a != 0 {
		return span{}, fmt.Errorf("206 with Content-Range %q does not continue at byte %d", bounded(value), offset)
	}
	total, err := strconv.ParseInt(totalText, 10, 64)
	if err != nil {
		return span{start: a, length: b - a + 1, total: -1, open: true}, nil
	}
	return span{start: a, length: b - a + 1, total: total}, nil
}

// finishAndroid is everything after the bytes arrived (§6.2).
func (d *Device) finishAndroid(ctx context.Context, b *Bundle, w *work, data []byte) error {
	u, current := w.Update, d.current().Version
	after := func(action, version, detail string) error {
		t := &trouble{detail: detail, after: true}
		if action != "" {
			t.stats = []event{{action: action, version: version}}
		}
		return t
	}
	if w.NullSession && !d.can.failsClosed && d.can.age == ageKind {
		return after("", "", "session_key is null: NullPointerException in finishDownload")
	}
	if d.key != nil && u.Checksum == "" {
		return after("checksum_required", current, "a public key is set and the zip has no checksum")
	}
	plain, encrypted, err := d.plainZip(u, data)
	if err != nil {
		return after("", "", err.Error())
	}
	want := u.Checksum
	if d.key != nil && u.Session != "" {
		if want, err = d.openChecksum(u.Checksum); err != nil {
			return after("", "", "decrypt checksum: "+err.Error())
		}
	}
	sum := d.sum(plain, encrypted)
	if want != "" && want != sum {
		return &trouble{
			detail: "checksum_fail: the zip has " + sum, after: true, remove: true,
			stats: []event{{action: "checksum_fail", version: current}},
		}
	}
	files, err := unzipStream(plain, d.can.strictPaths, d.limits)
	if err == nil {
		files, err = files.flattenAndroid()
	}
	if err != nil {
		return after(unzipStat(err), current, err.Error())
	}
	b.Checksum = sum
	return d.keepZip(ctx, b, files)
}

// plainZip decrypts the file where the plugin does. encrypted says that a V2
// session key was used, which makes the checksum a SHA-256 in every age.
func (d *Device) plainZip(u update, data []byte) (plain []byte, encrypted bool, err error) {
	switch {
	case u.Session == "":
		return data, false, nil
	case d.key == nil && d.can.v1Key:
		return nil, false, errors.New("decrypt_fail: the session key does not fit the plugin's V1 key")
	case d.key == nil || !validSession(u.Session):
		return data, false, nil // silently skipped (§8.2)
	}
	plain, err = d.decrypt(u.Session, data)
	return plain, true, err
}

// sum is the checksum of a plain zip in the form of the plugin's age (§6.4).
func (d *Device) sum(plain []byte, encrypted bool) string {
	if d.can.crc && !encrypted {
		return fmt.Sprintf("%08x", crc32.ChecksumIEEE(plain))
	}
	return string(capstan.DigestOf(plain))
}

// unzipStat is the action for a zip that cannot be unpacked.
func unzipStat(err error) string {
	if p, ok := errors.AsType[*pathError](err); ok {
		return p.action
	}
	return "unzip_fail"
}

// store writes the files of a bundle.
func (d *Device) store(id string, files *tree) error {
	for name := range files.files {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if files.isFile(dir) {
				return &trouble{detail: fmt.Sprintf("%s is a file and a folder", bounded(dir)), after: true}
			}
		}
	}
	for name, data := range files.files {
		if err := d.disk.write(bundleName(id, name), data); err != nil {
			return onDisk(err)
		}
	}
	return nil
}

// keepZip writes an unpacked zip and marks the bundle as pending.
func (d *Device) keepZip(ctx context.Context, b *Bundle, files *tree) error {
	if err := d.store(b.ID, files); err != nil {
		return err
	}
	for name, data := range files.files {
		if !d.can.zipCache {
			break
		}
		if err := d.disk.write(cacheName(string(capstan.DigestOf(data)), name), data); err != nil {
			return onDisk(err)
		}
	}
	if err := d.disk.remove(tempName(b.ID)); err != nil {
		return onDisk(err)
	}
	b.Status = Pending
	d.put(*b)
	d.stat(ctx, event{action: "download_complete", version: b.Version})
	return nil
}

// installZipIOS downloads, decrypts, unpacks, and only then compares (§6.2).
func (d *Device) installZipIOS(ctx context.Context, b *Bundle, u update) error {
	d.stat(ctx, event{action: "download_zip_start", version: b.Version})
	d.progress(ctx, b.Version, 0)
	data, err := d.getZip(ctx, u)
	if err != nil {
		return err
	}
	d.progress(ctx, b.Version, 70)
	plain, encrypted, err := d.plainZip(u, data)
	if err != nil {
		return &trouble{detail: err.Error(), stats: []event{{action: "decrypt_fail", version: b.Version}}}
	}
	d.progress(ctx, b.Version, 80)
	files, err := unzipCentral(plain, func(name string) (string, error) { return landing(name, d.can.strictPaths) }, d.limits)
	if err != nil {
		return &trouble{detail: err.Error(), stats: []event{{action: unzipStat(err), version: d.current().Version}}}
	}
	d.progress(ctx, b.Version, 90)
	d.stat(ctx, event{action: "download_zip_complete", version: b.Version})
	b.Checksum = d.sum(plain, encrypted)
	if err := d.keepZip(ctx, b, files.flattenIOS()); err != nil {
		return err
	}
	return d.compareIOS(*b, u)
}

// getZip is a GET that starts from zero and is not repeated: iOS and Electron.
func (d *Device) getZip(ctx context.Context, u update) (data []byte, err error) {
	start := d.now()
	note := Entry{What: WhatZip, Version: u.Version}
	defer func() {
		note.Took = d.now().Sub(start)
		if err != nil {
			note.Detail = bounded(err.Error())
		}
		d.note(note)
	}()
	var resp *http.Response
	if d.profile.Platform == capstan.Electron {
		resp, err = d.electronDownload(ctx, u.URL)
	} else {
		resp, err = d.download(ctx, u.URL, d.userAgent(), 0, d.followAny)
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	note.Status = resp.StatusCode
	electron := d.profile.Platform == capstan.Electron
	if s := resp.StatusCode; s < 200 || s > 299 || electron && s != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d on the zip", s)
	}
	data, err = d.readBody(resp, d.limits.zip)
	note.Bytes = int64(len(data))
	took := d.transfer(int64(len(data)), 1)
	if err == nil {
		err = d.withinLimit(max(took, d.now().Sub(start)))
	}
	return data, err
}

// compareIOS holds an answer's checksum against that of the bundle (§3.5).
func (d *Device) compareIOS(b Bundle, u update) error {
	want := u.Checksum
	if u.Delta && (d.key == nil || d.can.ignoresTop) {
		return nil
	}
	if d.key != nil {
		var err error
		if want, err = d.openChecksum(u.Checksum); err != nil {
			return &trouble{detail: "decrypt checksum: " + err.Error()}
		}
		if u.Delta {
			return nil
		}
	}
	if want == b.Checksum || want == "" && !d.can.failsClosed {
		return nil
	}
	return &trouble{
		detail: "checksum_fail: the bundle has " + b.Checksum, remove: true,
		stats: []event{{action: "checksum_fail", version: b.Version}},
	}
}

// worker sends a statistic of Android's download worker: single, at once,
// without timestamp (§5.1). Plugins before manifests had no such worker.
func (d *Device) worker(ctx context.Context, action, version string) {
	if d.can.manifest {
		d.single(ctx, forWorker, event{action: action, version: version})
	}
}

// progress queues download_<n>. Android does it for the first download of a
// process only (§5.4).
func (d *Device) progress(ctx context.Context, version string, percents ...int) {
	if d.profile.Platform == capstan.Android && d.proc.progress {
		return
	}
	for _, n := range percents {
		d.stat(ctx, event{action: "download_" + strconv.Itoa(n), version: version})
		if n == 90 {
			d.proc.progress = true
		}
	}
}
