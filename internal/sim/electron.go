package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/capstan-ota/capstan"
)

// actElectron knows one refusal; any other answer with url and version is
// downloaded, even one that names the running bundle (§3.5).
func (d *Device) actElectron(ctx context.Context, a answer) (Outcome, string, error) {
	switch {
	case a.refused && a.noServer:
		d.event("downloadFailed")
		return Failed, a.code, nil
	case a.refused:
		d.event("noNeedUpdate")
		return UpToDate, a.code, nil
	case a.breaking:
		d.event("breakingAvailable", "majorAvailable")
		return Blocked, bounded(a.summary()), nil
	case a.URL == "" || a.update.Version == "":
		return Blocked, bounded(a.summary()), nil
	}
	d.event("updateAvailable")
	b := Bundle{ID: d.newID(), Version: a.update.Version, Status: Downloading}
	d.put(b)
	err := d.installElectron(ctx, &b, a.update)
	if ctx.Err() != nil {
		return Failed, "", ctx.Err()
	}
	if disk, ok := errors.AsType[*diskError](err); ok {
		return Failed, "", disk
	}
	if err != nil {
		d.event("downloadFailed")
		d.stat(ctx, event{action: "download_fail", version: b.Version, bundle: b.ID})
		d.note(Entry{What: WhatRefuse, Version: b.Version, Detail: bounded(err.Error())})
		return Failed, bounded(err.Error()), d.forget(b.ID)
	}
	d.stat(ctx, event{action: "download_complete", version: b.Version, bundle: b.ID})
	return d.apply(ctx, b, d.opt.Mode == Always)
}

// installElectron compares the zip as it came, unpacks it, and completes it
// with the entries of a manifest (§6.2, §7.5).
func (d *Device) installElectron(ctx context.Context, b *Bundle, u update) error {
	data, err := d.getZip(ctx, u)
	if err != nil {
		return err
	}
	if u.Checksum != "" && !strings.EqualFold(u.Checksum, string(capstan.DigestOf(data))) {
		return fmt.Errorf("checksum: the zip has %s", capstan.DigestOf(data))
	}
	if u.Session != "" {
		return errors.New("decrypt: the bundle is encrypted in a scheme of another client (§8.10)")
	}
	files, err := unzipCentral(data, electronLanding, d.limits)
	if err != nil {
		return err
	}
	for _, e := range u.Manifest {
		if err := d.electronFile(ctx, b, files, e); err != nil {
			return fmt.Errorf("%s: %w", bounded(e.Name), err)
		}
	}
	if err := d.store(b.ID, files); err != nil {
		return err
	}
	b.Status, b.Checksum = Pending, string(capstan.DigestOf(data))
	d.put(*b)
	return nil
}

// electronFile fetches one entry, tries brotli on whatever comes, and keeps the
// .br in its name.
func (d *Device) electronFile(ctx context.Context, b *Bundle, files *tree, e entry) error {
	name, err := electronLanding(e.Name)
	if err != nil {
		return err
	}
	matches := func(data []byte) bool { return strings.EqualFold(e.Hash, string(capstan.DigestOf(data))) }
	if data, ok := files.files[name]; ok && matches(data) {
		return nil
	}
	start := d.now()
	resp, err := d.electronDownload(ctx, e.URL)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := d.readBody(resp, d.limits.file)
	d.transfer(int64(len(data)), 1)
	note := Entry{What: WhatFile, Name: bounded(e.Name), Version: b.Version, Status: resp.StatusCode, Bytes: int64(len(data)), Took: d.now().Sub(start)}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	note.Detail = errorText(err)
	d.note(note)
	if err != nil {
		return err
	}
	if plain, err := readAllBounded(brotli.NewReader(strings.NewReader(string(data))), d.limits.file); err == nil {
		data = plain
	}
	if e.Hash != "" && !matches(data) {
		return fmt.Errorf("SHA-256 is %s", capstan.DigestOf(data))
	}
	return files.add(name, false, data)
}
