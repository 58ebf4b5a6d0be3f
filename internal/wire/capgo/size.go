package capgo

import (
	"io"
	"net/http"

	"github.com/capstan-ota/capstan"
)

// maxSizeBody bounds a manifest_size body: a manifest of 1 000 entries has
// about 240 kB, and old ones may be larger.
const maxSizeBody = 4 << 20

type sizeBody struct {
	body
	Manifest []sizeEntry `json:"manifest"`
	Files    []sizeEntry `json:"files"` // older name
}

type sizeEntry struct {
	FileName    string `json:"file_name"`
	FileHash    string `json:"file_hash"`
	DownloadURL string `json:"download_url"`
}

// manifestSize says how many bytes the given entries take to download: POST
// updateUrl/manifest_size (device-clients.md §3.8). It is answered from the
// digests of the app's bundles; nothing is fetched.
func (h *handler) manifestSize(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxSizeBody+1))
	if err != nil || len(raw) > maxSizeBody {
		writeRefused(w, errTooLarge)
		return
	}
	var b sizeBody
	if e := parse(raw, &b); e != nil {
		writeRefused(w, e)
		return
	}
	var q question
	if e := b.normalise(checkBody, &q); e != nil {
		writeRefused(w, e)
		return
	}
	app, known, err := h.App(q.app)
	switch {
	case err != nil:
		h.unavailable(w, r, err)
		return
	case !known:
		write(w, http.StatusOK, unknownApp(q.app))
		return
	}
	sizes := map[capstan.Digest]int64{} // stored bytes by plain digest
	for _, bundle := range app.Bundles {
		for _, f := range bundle.Files {
			sizes[f.Digest] = f.BlobBytes
		}
	}
	write(w, http.StatusOK, appendSizes(nil, append(b.Manifest, b.Files...), sizes))
}

// appendSizes appends the answer; entries without a hash are left out, and of
// equal ones the first is kept.
func appendSizes(out []byte, entries []sizeEntry, sizes map[capstan.Digest]int64) []byte {
	var total, knownFiles, unknown int64
	seen := map[sizeEntry]bool{}
	files := []byte{}
	for _, e := range entries {
		if e.FileHash == "" || seen[e] {
			continue
		}
		seen[e] = true
		if len(files) > 0 {
			files = append(files, ',')
		}
		files = append(files, `{"file_name":`...)
		files = appendString(files, e.FileName)
		files = append(files, `,"file_hash":`...)
		files = appendString(files, e.FileHash)
		files = append(files, `,"download_url":`...)
		files = appendString(files, e.DownloadURL)
		if size, ok := sizes[capstan.Digest(e.FileHash)]; ok {
			total, knownFiles = total+size, knownFiles+1
			files = append(files, `,"size":`...)
			files = appendInt(files, size)
		} else {
			unknown++
			files = append(files, `,"error":"size_unknown"`...)
		}
		files = append(files, '}')
	}
	out = append(out, `{"totalSize":`...)
	out = appendInt(out, total)
	out = append(out, `,"knownFiles":`...)
	out = appendInt(out, knownFiles)
	out = append(out, `,"unknownFiles":`...)
	out = appendInt(out, unknown)
	out = append(out, `,"files":[`...)
	out = append(out, files...)
	return append(out, "]}"...)
}
