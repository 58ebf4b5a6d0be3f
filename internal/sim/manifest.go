package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/capstan-ota/capstan"
)

// Where a reused file came from.
const (
	fromBuiltin = "builtin"
	fromCache   = "cache"
)

// job is one entry of a manifest on its way to the disk.
type job struct {
	entry
	target string // path in the bundle
	brotli bool
	hash   string // of the final content, hex, decrypted
	err    error
}

// got is what became of a job.
type got struct {
	data    []byte
	from    string // fromBuiltin, fromCache or "" for the network
	status  int
	bytes   int64
	took    time.Duration
	err     error
	actions []string // statistics, each about version:file
}

// installManifest is the flow of §7: every file from the store build, the
// cache or the network; there is no fallback to the zip.
func (d *Device) installManifest(ctx context.Context, b *Bundle, u update) error {
	d.manifestStat(ctx, "download_manifest_start", b.Version)
	d.purgePartials()
	jobs, err := d.plan(u)
	if err != nil {
		return d.planFailed(ctx, b, err)
	}
	results := d.runAll(ctx, u, jobs)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := d.noteAll(ctx, b, jobs, results); err != nil {
		return err
	}
	files := newTree(d.limits)
	for i, j := range jobs {
		if err := files.add(j.target, false, results[i].data); err != nil {
			return err
		}
	}
	d.manifestProgress(ctx, b.Version)
	d.manifestStat(ctx, "download_manifest_complete", b.Version)
	if d.profile.Platform == capstan.Android {
		if files, err = files.flattenAndroid(); err != nil {
			return &trouble{detail: err.Error(), after: true}
		}
	}
	if err := d.store(b.ID, files); err != nil {
		return err
	}
	b.Status = Pending
	d.put(*b)
	d.stat(ctx, event{action: "download_complete", version: b.Version})
	if d.profile.Platform == capstan.IOS {
		return d.compareIOS(*b, u)
	}
	return nil
}

// manifestStat is sent by Android's worker and queued by iOS (§5.1).
func (d *Device) manifestStat(ctx context.Context, action, version string) {
	if d.profile.Platform == capstan.Android {
		d.worker(ctx, action, version)
		return
	}
	d.stat(ctx, event{action: action, version: version})
}

func (d *Device) manifestProgress(ctx context.Context, version string) {
	if d.profile.Platform == capstan.Android {
		d.progress(ctx, version, 10, 20, 30, 40, 50, 60, 70, 80, 90)
		return
	}
	d.progress(ctx, version, 0, 10, 20, 30, 40, 50, 60, 70)
}

// badEntry is an entry that stops the bundle before it is fetched.
type badEntry struct {
	file, action string
	why          error
}

func (e *badEntry) Error() string { return fmt.Sprintf("%s: %v", bounded(e.file), e.why) }

// plan checks the entries. From 8.51.22 on one bad entry fails the bundle at
// once; before, it fails alone, while others are fetched (§7.1).
func (d *Device) plan(u update) ([]job, error) {
	jobs := make([]job, 0, len(u.Manifest))
	seen := map[string]bool{}
	for _, e := range u.Manifest {
		j, err := d.planOne(e, u)
		if err == nil && seen[j.target] && (d.profile.Platform == capstan.Android || d.can.strictPaths) {
			err = &badEntry{e.Name, "manifest_path_fail", errors.New("two entries have the same target")}
		}
		seen[j.target] = true
		if err != nil && (d.can.strictPaths || err.action == "") {
			return nil, err
		}
		if err != nil {
			j.err, j.entry = err, e
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

func (d *Device) planOne(e entry, u update) (job, *badEntry) {
	j := job{entry: e, brotli: !d.can.suffix, hash: e.Hash}
	name := e.Name
	if d.can.suffix {
		name, j.brotli = strings.CutSuffix(e.Name, ".br")
	}
	var err error
	if j.target, err = landing(name, d.can.strictPaths); err == nil && j.target == "." {
		err = errors.New("the name means the bundle's folder")
	}
	if err != nil {
		return j, &badEntry{e.Name, "manifest_path_fail", err}
	}
	if e.Hash == "" {
		return j, &badEntry{e.Name, "", errors.New("no file_hash")}
	}
	if d.encrypted(u) {
		if j.hash, err = d.openChecksum(e.Hash); err != nil {
			return j, &badEntry{e.Name, "", fmt.Errorf("decrypt file_hash: %w", err)}
		}
	}
	return j, nil
}

// encrypted says whether an update's files are decrypted: key and session key
// (§7.2 step 4).
func (d *Device) encrypted(u update) bool { return d.key != nil && validSession(u.Session) }

func (d *Device) planFailed(ctx context.Context, b *Bundle, err error) error {
	bad, ok := errors.AsType[*badEntry](err)
	if ok && bad.action != "" && d.can.pathStat {
		d.manifestStat(ctx, bad.action, b.Version+":"+bad.file)
	}
	return err
}

// workers is the number of parallel GETs (§7.4).
func (d *Device) workers() int {
	if !d.can.coreLimit {
		return 64
	}
	return min(64, max(8, 2*d.profile.Cores))
}

// runAll fetches all jobs. iOS starts no new file after the first error,
// Android lets all finish.
func (d *Device) runAll(ctx context.Context, u update, jobs []job) []got {
	results := make([]got, len(jobs))
	parallel := min(d.workers(), max(1, len(jobs)))
	var failed atomic.Bool
	var wg sync.WaitGroup
	next := make(chan int)
	for range parallel {
		wg.Go(func() {
			for i := range next {
				if failed.Load() && d.profile.Platform == capstan.IOS {
					results[i].err = errNotStarted
					continue
				}
				results[i] = d.run(ctx, u, jobs[i], parallel)
				if results[i].err != nil {
					failed.Store(true)
				}
			}
		})
	}
	for i := range jobs {
		next <- i
	}
	close(next)
	wg.Wait()
	return results
}

var errNotStarted = errors.New("not started after the first error")

// noteAll writes journal and statistics in the order of the manifest, which
// parallel downloads do not have, fills the cache, and returns the first error.
func (d *Device) noteAll(ctx context.Context, b *Bundle, jobs []job, results []got) error {
	var first error
	for i, r := range results {
		j := jobs[i]
		if r.err == errNotStarted {
			continue
		}
		note := Entry{What: WhatFile, Name: bounded(j.Name), Version: b.Version, Status: r.status, Bytes: r.bytes, Took: r.took}
		if r.from != "" {
			note.What, note.Detail, note.Bytes = WhatReuse, r.from, int64(len(r.data))
		}
		if r.err != nil {
			note.Detail = bounded(r.err.Error())
		}
		d.note(note)
		if r.err != nil {
			for _, action := range r.actions {
				d.fileStat(ctx, action, b.Version, j)
			}
			if first == nil {
				first = fmt.Errorf("%s: %w", bounded(j.Name), r.err)
			}
			continue
		}
		if err := d.disk.write(cacheName(j.hash, j.target), r.data); err != nil {
			return onDisk(err)
		}
	}
	return first
}

// fileStat reports a failed file. Android says download_manifest_file_fail
// twice: with the base name and with the full path (§5.4).
func (d *Device) fileStat(ctx context.Context, action, version string, j job) {
	if action == "manifest_path_fail" && !d.can.pathStat {
		return
	}
	if action == "download_manifest_file_fail" && d.profile.Platform == capstan.Android {
		d.manifestStat(ctx, action, version+":"+path.Base(j.Name))
	}
	d.manifestStat(ctx, action, version+":"+j.Name)
}

// run gets one file, in the order of §7.2.
func (d *Device) run(ctx context.Context, u update, j job, parallel int) got {
	if bad, ok := errors.AsType[*badEntry](j.err); ok {
		return got{err: bad.why, actions: []string{bad.action}}
	}
	if data, ok := d.fromBuiltin(j); ok {
		return got{data: data, from: fromBuiltin}
	}
	if data, ok := d.fromCache(j); ok {
		return got{data: data, from: fromCache}
	}
	g := d.fetchFile(ctx, j, parallel)
	if g.err != nil {
		return g
	}
	data, action, err := d.finalContent(u, j, g.data)
	d.dropPartial(j) // verified or wrong, it is of no use any more
	g.data, g.err = data, err
	if err != nil {
		g.actions = []string{action}
	}
	return g
}

// sameHash compares as the platform does: iOS minds the case (§7.1).
func (d *Device) sameHash(hash string, data []byte) bool {
	sum := string(capstan.DigestOf(data))
	return hash == sum || d.profile.Platform == capstan.Android && strings.EqualFold(hash, sum)
}

func (d *Device) fromBuiltin(j job) ([]byte, bool) {
	if !d.can.builtinFiles {
		return nil, false
	}
	name := j.Name
	if d.can.builtinBrotli {
		name = j.target
	}
	data, ok := d.opt.Builtin[name]
	return data, ok && d.sameHash(j.hash, data)
}

// cacheName keys by hash and base name, so that a file that only moved is
// found (§7.2). The base name is hashed: with the hash before it, it could be
// too long for a file name.
func cacheName(hash, file string) string {
	base := sha256.Sum256([]byte(path.Base(file)))
	return path.Join(cacheDir, strings.ToLower(path.Base("/"+hash))+"_"+hex.EncodeToString(base[:8]))
}

// fromCache trusts a name of 64 hex digits without hashing again.
func (d *Device) fromCache(j job) ([]byte, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	data, err := d.disk.read(cacheName(j.hash, j.target))
	return data, err == nil && (len(j.hash) == 64 || d.sameHash(j.hash, data))
}

func partialKey(j job) string {
	name := sha256.Sum256([]byte(j.Name))
	return "partial_" + path.Base("/"+j.hash) + "_" + hex.EncodeToString(name[:8]) + ".tmp"
}

// partial returns what an earlier attempt left of a file.
func (d *Device) partial(j job) []byte {
	if !d.can.resumesFiles {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	data, _ := d.disk.read(path.Join(partialDir, partialKey(j))) // none is an empty one
	return data
}

func (d *Device) keepPartial(j job, data []byte) error {
	if !d.can.resumesFiles || len(data) == 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.saved.Partials[partialKey(j)] = d.opt.Now().Add(d.skew)
	return d.disk.write(path.Join(partialDir, partialKey(j)), data)
}

func (d *Device) dropPartial(j job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.saved.Partials[partialKey(j)]; ok {
		delete(d.saved.Partials, partialKey(j))
		_ = d.disk.remove(path.Join(partialDir, partialKey(j))) // a left-over is purged later
	}
}

// purgePartials removes those older than an hour (§7.2).
func (d *Device) purgePartials() {
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, at := range d.saved.Partials {
		if now.Sub(at) > time.Hour {
			delete(d.saved.Partials, key)
			_ = d.disk.remove(path.Join(partialDir, key))
		}
	}
}

// fetchFile is the GET with its partial file.
func (d *Device) fetchFile(ctx context.Context, j job, parallel int) (g got) {
	start := d.now()
	defer func() { g.took = d.now().Sub(start) }()
	fail := func(err error) got {
		g.err, g.actions = err, []string{"download_manifest_file_fail"}
		return g
	}
	part := d.partial(j)
	resp, err := d.download(ctx, j.URL, d.userAgent(), int64(len(part)), d.followAny)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	g.status = resp.StatusCode
	ios := d.profile.Platform == capstan.IOS
	switch s := resp.StatusCode; {
	case s == http.StatusRequestedRangeNotSatisfiable && len(part) > 0:
		g.data = part // taken as complete, and verified
		return g
	case s == http.StatusPartialContent:
	case s == http.StatusOK, ios && s > 200 && s <= 299:
		part = nil
	default:
		return fail(fmt.Errorf("HTTP %d", s))
	}
	body, err := d.readBody(resp, d.limits.file)
	g.bytes = int64(len(body))
	took := d.transfer(g.bytes, parallel)
	g.data = append(part[:len(part):len(part)], body...)
	if err == nil {
		err = d.withinLimit(max(took, d.now().Sub(start)))
	}
	if err == nil && ios && !d.can.resumesFiles && len(body) == 0 {
		err = errors.New("empty body") // Alamofire up to 8.51.12 (§7.3)
	}
	if err != nil {
		if keepErr := d.keepPartial(j, g.data); keepErr != nil {
			err = onDisk(keepErr)
		}
		return fail(err)
	}
	return g
}

// finalContent decrypts, decompresses and verifies (§7.2 steps 4 to 6).
func (d *Device) finalContent(u update, j job, data []byte) ([]byte, string, error) {
	var err error
	if d.encrypted(u) {
		if data, err = d.decrypt(u.Session, data); err != nil {
			action := "download_manifest_file_fail"
			if d.profile.Platform == capstan.IOS {
				action = "decrypt_fail"
			}
			return nil, action, err
		}
	}
	if j.brotli {
		if data, err = unbrotli(data, d.limits.file); err != nil {
			return nil, "download_manifest_brotli_fail", fmt.Errorf("brotli: %w", err)
		}
	}
	if !d.sameHash(j.hash, data) {
		return nil, "download_manifest_checksum_fail", fmt.Errorf("SHA-256 is %s, the manifest says %s", capstan.DigestOf(data), bounded(j.hash))
	}
	return data, "", nil
}

// unbrotli decodes with the special cases of the clients (§7.3): nothing and
// the three-byte form are an empty file; a stream that begins as an
// uncompressed block and ends in 03 is taken literally.
func unbrotli(data []byte, limit int64) ([]byte, error) {
	empty := []byte{0x1b, 0x00, 0x06}
	switch {
	case len(data) == 0, bytes.Equal(data, empty):
		return []byte{}, nil
	case len(data) > 3 && data[len(data)-1] == 0x03 &&
		(bytes.HasPrefix(data, empty) || bytes.HasPrefix(data, []byte{0x0b, 0x02, 0x80})):
		return data[3 : len(data)-1], nil
	}
	return readAllBounded(brotli.NewReader(bytes.NewReader(data)), limit)
}

// ManifestSize asks for the bytes of the files of the last offer, as
// JavaScript's getBundleDownloadSize does (§3.8). It returns the server's
// answer as text, or the one that the plugin makes up when that cannot be used.
func (d *Device) ManifestSize(ctx context.Context) (string, error) {
	var missing []entry
	for _, e := range d.proc.offered {
		if j, err := d.planOne(e, update{}); err == nil {
			_, builtin := d.fromBuiltin(j)
			_, cached := d.fromCache(j)
			if builtin || cached {
				continue
			}
		}
		missing = append(missing, e)
	}
	if len(missing) == 0 {
		return `{"totalSize":0,"knownFiles":0,"unknownFiles":0,"files":[]}`, nil
	}
	address, err := sizeURL(d.opt.URLs.Updates)
	if err != nil {
		return "", err
	}
	body := d.info(forCheck, d.current().Version, d.channel()).with("version", d.proc.offeredVersion).with("manifest", missing)
	r := d.call(ctx, http.MethodPost, address, body)
	d.note(Entry{What: WhatSize, Status: r.status, Bytes: int64(len(r.body)), Took: r.took})
	if _, ok := readLenient(r.body); ok && r.ok() {
		return string(r.body), ctx.Err()
	}
	return fmt.Sprintf(`{"totalSize":0,"knownFiles":0,"unknownFiles":%d}`, len(missing)), ctx.Err()
}
