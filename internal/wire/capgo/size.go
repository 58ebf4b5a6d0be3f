package capgo

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

// maxSizeBody bounds a manifest_size body: 1 000 entries are about 240 kB, and
// manifests of other servers may be larger.
const maxSizeBody = 4 << 20

type sizeFields struct {
	fields
	Manifest []sizeEntry `json:"manifest"`
	Files    []sizeEntry `json:"files"` // another name for it (decisions.md §1.6)
}

type sizeEntry struct {
	FileName    string `json:"file_name"`
	FileHash    string `json:"file_hash"`
	DownloadURL string `json:"download_url"`
}

// manifestSize says how many bytes the given entries are to download
// (device-clients.md §3.8). It is answered from the digests of the app's
// bundles; nothing is fetched.
func (h *Handler) manifestSize(w http.ResponseWriter, r *http.Request) {
	raw, bad := readBody(r, nil, maxSizeBody)
	if bad != nil {
		h.fault(w, bad)
		return
	}
	var b sizeFields
	found, bad := decode(raw, &b, &b.fields, nil)
	if bad != nil {
		h.fault(w, bad)
		return
	}
	var q question
	if bad := q.normalise(&b.fields, checkRules, found, b.DeviceID == "" && empty(raw), h.deps.Now()); bad != nil {
		h.fault(w, bad)
		return
	}
	app, known, err := h.deps.App(q.app)
	switch {
	case err != nil:
		h.unavailable(w, r, err)
	case !known:
		h.unknownApp(w, q.app, checkRules)
	default:
		h.send(w, http.StatusOK, appendSizes(nil, append(b.Manifest, b.Files...), app))
	}
}

// content is a plain digest as it is sent: brotli bytes carry a suffix.
type content struct {
	digest capstan.Digest
	brotli bool
}

// sizesOf finds how many bytes each wanted content has on the wire. It walks
// the snapshot once, so that it costs no memory while nobody asks.
func sizesOf(entries []sizeEntry, app *decide.App) map[content]int64 {
	sizes := make(map[content]int64, len(entries))
	for _, e := range entries {
		sizes[e.content()] = -1
	}
	for _, b := range app.Bundles {
		if b.State != capstan.BundleReady {
			continue
		}
		for _, f := range b.Files {
			key := content{f.Digest, f.Encoding == capstan.Brotli}
			if _, wanted := sizes[key]; wanted {
				sizes[key] = f.BlobBytes
			}
		}
	}
	return sizes
}

func (e sizeEntry) content() content {
	return content{capstan.Digest(strings.ToLower(e.FileHash)), strings.HasSuffix(e.FileName, ".br")}
}

// appendSizes appends the answer. Entries without a hash are left out, and of
// equal ones the first is kept (decisions.md §1.6).
func appendSizes(out []byte, entries []sizeEntry, app *decide.App) []byte {
	sizes := sizesOf(entries, app)
	var total, known, unknown int64
	files := make([]byte, 0, 256*len(entries))
	seen := make(map[sizeEntry]bool, len(entries))
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
		if size := sizes[e.content()]; size >= 0 {
			total, known = total+size, known+1
			files = append(files, `,"size":`...)
			files = strconv.AppendInt(files, size, 10)
		} else {
			unknown++
			files = append(files, `,"error":"size_unknown"`...)
		}
		files = append(files, '}')
	}
	out = append(out, `{"totalSize":`...)
	out = strconv.AppendInt(out, total, 10)
	out = append(out, `,"knownFiles":`...)
	out = strconv.AppendInt(out, known, 10)
	out = append(out, `,"unknownFiles":`...)
	out = strconv.AppendInt(out, unknown, 10)
	out = append(out, `,"files":[`...)
	out = append(out, files...)
	return append(out, "]}"...)
}
