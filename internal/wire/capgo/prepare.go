package capgo

import (
	"bytes"
	"compress/gzip"
	"slices"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

// Prepare encodes the offers of every bundle that a decision on app can offer,
// in each form that a plugin can ask for. What prev, the snapshot before, has
// encoded is taken from there; prev may be nil.
func Prepare(app, prev *decide.App, publicURL string) {
	for _, c := range app.Channels() {
		for _, b := range c.Offerable() {
			if b.Answers[0].Identity == nil && b.State == capstan.BundleReady {
				prepare(b, reusable(app, prev, b), app.Row.ExposeMetadata, publicURL)
			}
		}
	}
}

// reusable returns the bundle of prev whose answers hold for b too. A bundle's
// content never changes, but bytes that were collected and uploaded again may
// be stored under other digests.
func reusable(app, prev *decide.App, b *decide.Bundle) *decide.Bundle {
	if prev == nil || prev.Row.ExposeMetadata != app.Row.ExposeMetadata {
		return nil
	}
	old := prev.Bundles[b.ID]
	same := old != nil && old.Archive == b.Archive && old.ArchiveCRC32 == b.ArchiveCRC32 && old.Link == b.Link && old.Comment == b.Comment &&
		old.DeltaOffered == b.DeltaOffered && slices.Equal(old.Files, b.Files)
	if !same {
		return nil
	}
	return old
}

func prepare(b, old *decide.Bundle, metadata bool, publicURL string) {
	if old != nil && old.Answers[0].Identity != nil {
		b.Answers = old.Answers
		return
	}
	for f := range decide.Form(decide.Forms) {
		if f&decide.FormDelta != 0 && (!b.DeltaOffered || f&decide.FormCRC32 != 0) {
			continue // who reads single files compares SHA-256
		}
		if f&decide.FormMetadata != 0 && (!metadata || b.Link == "" && b.Comment == "") {
			continue
		}
		b.Answers[f] = encode(b, f, publicURL)
	}
}

// encode makes the answer that offers b in form f.
func encode(b *decide.Bundle, f decide.Form, publicURL string) decide.Answer {
	a := decide.Answer{Identity: appendOffer(nil, b, f, publicURL)}
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if err != nil {
		return a
	}
	if _, err := w.Write(a.Identity); err != nil || w.Close() != nil {
		return a
	}
	if z.Len() < len(a.Identity) {
		a.Gzip = z.Bytes()
	}
	return a
}

// noZip stands for the zip of a bundle that has none. Plugins never fetch it
// when there is a manifest, but it must parse (device-clients.md §3.2).
const noZip = "/blobs/none"

// appendOffer appends an update answer (device-clients.md §3.2): no error,
// kind or message, no null, no empty manifest, url always there.
func appendOffer(out []byte, b *decide.Bundle, f decide.Form, publicURL string) []byte {
	out = append(out, `{"version":`...)
	out = appendString(out, b.Version)
	out = append(out, `,"url":`...)
	if b.Archive == "" {
		out = appendString(out, publicURL+noZip)
	} else {
		out = appendString(out, blobURL(publicURL, b.Archive))
	}
	out = append(out, `,"session_key":"","checksum":`...)
	if f&decide.FormCRC32 != 0 {
		out = appendString(out, b.ArchiveCRC32)
	} else {
		out = appendString(out, string(b.Archive))
	}
	if f&decide.FormDelta != 0 && len(b.Files) > 0 {
		out = append(out, `,"manifest":[`...)
		for i, file := range b.Files {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, `{"file_name":`...)
			out = appendString(out, file.WireName())
			out = append(out, `,"file_hash":"`...)
			out = append(out, file.Digest...)
			out = append(out, `","download_url":`...)
			out = appendString(out, blobURL(publicURL, file.Blob))
			out = append(out, '}')
		}
		out = append(out, ']')
	}
	if f&decide.FormMetadata != 0 {
		if b.Link != "" {
			out = append(out, `,"link":`...)
			out = appendString(out, b.Link)
		}
		if b.Comment != "" {
			out = append(out, `,"comment":`...)
			out = appendString(out, b.Comment)
		}
	}
	return append(out, '}')
}

func blobURL(publicURL string, d capstan.Digest) string { return publicURL + "/blobs/" + string(d) }
