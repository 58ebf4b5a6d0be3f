package pack

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
)

// draft is a zip about to be written, canonical until a case spoils it.
type draft struct {
	entries []*draftEntry
	prefix  string
	gap     string // before the directory
	between string // between directory and end record
	suffix  string
	end     func(b []byte) // patches the end record
	reverse bool           // central headers in another order
	hidden  int            // central headers that are left out at the end
	count   int            // added to the counts of the end record
}

type draftEntry struct {
	header
	data    string
	local   func(b []byte) []byte // patches the local header
	central func(b []byte) []byte // patches the central header
	behind  string                // after the data
	shift   int64                 // added to the offset that the central header says
}

func stored(name, body string) *draftEntry {
	h := header{name: name, method: methodStore, crc32: crc32.ChecksumIEEE([]byte(body)), packed: uint32(len(body)), plain: uint32(len(body))}
	return &draftEntry{header: h, data: body}
}

func deflated(name, body string) *draftEntry {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	w.Write([]byte(body))
	w.Close()
	h := header{name: name, method: methodFlate, crc32: crc32.ChecksumIEEE([]byte(body)), packed: uint32(b.Len()), plain: uint32(len(body))}
	return &draftEntry{header: h, data: b.String()}
}

// canonical is a draft that is accepted: two entries, in order.
func canonical(more ...*draftEntry) *draft {
	d := &draft{entries: append([]*draftEntry{deflated("index.html", strings.Repeat("good ", 50)), stored("main.js", "notifyAppReady()")}, more...)}
	slices.SortStableFunc(d.entries, func(a, b *draftEntry) int { return strings.Compare(a.name, b.name) })
	return d
}

func (d *draft) bytes() []byte {
	b := []byte(d.prefix)
	for _, e := range d.entries {
		e.offset = uint32(int64(len(b)) + e.shift)
		local := appendLocal(nil, e.header)
		if e.local != nil {
			local = e.local(local)
		}
		b = append(append(append(b, local...), e.data...), e.behind...)
	}
	b = append(b, d.gap...)
	at := len(b)
	list := slices.Clone(d.entries[:len(d.entries)-d.hidden])
	if d.reverse {
		slices.Reverse(list)
	}
	for _, e := range list {
		c := appendCentral(nil, e.header)
		if e.central != nil {
			c = e.central(c)
		}
		b = append(b, c...)
	}
	size := len(b) - at
	b = append(b, d.between...)
	end := appendEnd(nil, len(list)+d.count, uint32(size), uint32(at))
	if d.end != nil {
		d.end(end)
	}
	return append(append(b, end...), d.suffix...)
}

// put16 and put32 overwrite a field; both keeps local and central header alike.
func put16(at int, v uint16) func([]byte) []byte {
	return func(b []byte) []byte { order.PutUint16(b[at:], v); return b }
}

func put32(at int, v uint32) func([]byte) []byte {
	return func(b []byte) []byte { order.PutUint32(b[at:], v); return b }
}

func both16(e *draftEntry, at int, v uint16) *draftEntry {
	e.local, e.central = put16(at, v), put16(at+2, v)
	return e
}

func both32(e *draftEntry, at int, v uint32) *draftEntry {
	e.local, e.central = put32(at, v), put32(at+2, v)
	return e
}

// on spoils the first entry of a canonical draft.
func on(change func(e *draftEntry)) *draft {
	d := canonical()
	change(d.entries[0])
	return d
}

// whole spoils the draft itself.
func whole(change func(d *draft)) *draft {
	d := canonical()
	change(d)
	return d
}

// insert appends an extra field or comment to a header and says its length.
func insert(lengthAt int, text string) func([]byte) []byte {
	return func(b []byte) []byte {
		order.PutUint16(b[lengthAt:], uint16(len(text)))
		return append(b, text...)
	}
}

func goZip(build func(z *zip.Writer)) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	build(z)
	z.Close()
	return b.Bytes()
}

type hostile struct {
	name, rule string
	zip        []byte
}

// corpus is what a hostile or careless tool may send; each zip with the rule
// that must refuse it.
func corpus() []hostile {
	var list []hostile
	add := func(name, rule string, d *draft) { list = append(list, hostile{name, rule, d.bytes()}) }
	raw := func(name, rule string, b []byte) { list = append(list, hostile{name, rule, b}) }
	good := canonical().bytes()

	// The end and the directory.
	raw("nothing", "too_short", nil)
	raw("not a zip", "no_end_record", bytes.Repeat([]byte("x"), 100))
	raw("only an end record", "no_index", appendEnd(nil, 0, 0, 0))
	raw("cut", "no_end_record", good[:len(good)-1])
	add("trailing byte", "no_end_record", whole(func(d *draft) { d.suffix = "x" }))
	add("comment", "no_end_record", whole(func(d *draft) { d.suffix = "note"; d.end = func(b []byte) { order.PutUint16(b[20:], 4) } }))
	add("announced comment", "comment", whole(func(d *draft) { d.end = func(b []byte) { order.PutUint16(b[20:], 4) } }))
	add("a second zip behind", "directory_place", whole(func(d *draft) { d.suffix = string(good) }))
	add("a second end record", "directory_place", whole(func(d *draft) { d.suffix = string(appendEnd(nil, 0, 0, 0)) }))
	add("this disk is 1", "multi_disk", whole(func(d *draft) { d.end = func(b []byte) { order.PutUint16(b[4:], 1) } }))
	add("directory on disk 1", "multi_disk", whole(func(d *draft) { d.end = func(b []byte) { order.PutUint16(b[6:], 1) } }))
	add("two counts", "multi_disk", whole(func(d *draft) { d.end = func(b []byte) { order.PutUint16(b[8:], 1) } }))
	add("zip64 count", "zip64", whole(func(d *draft) { d.end = func(b []byte) { order.PutUint32(b[8:], 0xffffffff) } }))
	add("zip64 offset", "zip64", whole(func(d *draft) { d.end = func(b []byte) { order.PutUint32(b[16:], 0xffffffff) } }))
	add("zip64 locator", "directory_place", whole(func(d *draft) { d.between = "PK\x06\x07" + strings.Repeat("\x00", 16) }))
	add("gap before the end record", "directory_place", whole(func(d *draft) { d.between = "x" }))
	add("directory is said to be elsewhere", "directory_place", whole(func(d *draft) { d.end = func(b []byte) { order.PutUint32(b[16:], 0) } }))
	add("hidden central header", "directory", whole(func(d *draft) { d.count = -1 }))
	add("missing central header", "directory", whole(func(d *draft) { d.count = 1 }))
	add("directory larger than its entries", "directory", whole(func(d *draft) { d.entries[1].central = insert(32, strings.Repeat("c", 3000)) }))
	add("central signature", "central_signature", on(func(e *draftEntry) { e.central = put32(0, localSignature) }))
	add("name beyond the directory", "directory", whole(func(d *draft) { d.entries[1].central = put16(28, 500) }))
	add("no entries but data", "gap", whole(func(d *draft) { d.hidden = 2 }))

	// Where entries stand.
	add("prefix", "prefix", whole(func(d *draft) { d.prefix = "#!/bin/sh\n" }))
	add("prefix that offsets do not count", "local_signature", whole(func(d *draft) {
		d.prefix = "#!/bin/sh\n"
		d.entries[0].shift, d.entries[1].shift = -10, -10
	}))
	add("gap between entries", "gap", on(func(e *draftEntry) { e.behind = "gap" }))
	add("gap before the directory", "gap", whole(func(d *draft) { d.gap = "gap" }))
	add("an entry that only Android sees", "gap", whole(func(d *draft) { d.hidden = 1 }))
	add("an unlisted entry between", "gap", on(func(e *draftEntry) { e.behind = string(appendLocal(nil, stored("evil.js", "").header)) }))
	add("two entries share their data", "overlap", whole(func(d *draft) { d.entries[1].shift = -int64(len(d.entries[0].data)) - d.entries[0].localSize() }))
	add("entry reaches into the directory", "overlap", whole(func(d *draft) {
		both32(d.entries[1], 18, 1000)
		d.entries[1].method = methodFlate
		d.entries[1].packed = 1000
	}))
	add("central headers out of order", "order", whole(func(d *draft) { d.reverse = true }))
	add("entries out of order", "order", whole(func(d *draft) { slices.Reverse(d.entries) }))
	add("the same name twice", "order", canonical(stored("main.js", "evil")))
	add("offset beyond the end", "gap", whole(func(d *draft) { d.entries[1].shift = 1 << 20 }))
	add("local signature", "local_signature", on(func(e *draftEntry) { e.local = put32(0, centralSignature) }))

	// Local and central headers that differ: what Android sees and others do not.
	add("other name in the local header", "local_differs", on(func(e *draftEntry) { e.local = func(b []byte) []byte { copy(b[localBytes:], "INDEX"); return b } }))
	add("other name length", "local_differs", on(func(e *draftEntry) { e.local = put16(26, 9) }))
	add("other CRC", "local_differs", on(func(e *draftEntry) { e.local = put32(14, 1) }))
	add("other packed size", "local_differs", on(func(e *draftEntry) { e.local = put32(18, 1) }))
	add("other plain size", "local_differs", on(func(e *draftEntry) { e.local = put32(22, 1) }))
	add("zero sizes in the local header", "local_differs", on(func(e *draftEntry) { e.local = func(b []byte) []byte { clear(b[14:26]); return b } }))
	add("deflate here, stored there", "stored_size", on(func(e *draftEntry) { e.local = put16(8, methodStore) }))
	add("stored here, deflate there", "local_differs", whole(func(d *draft) { d.entries[1].local = put16(8, methodFlate) }))
	add("encrypted only in the local header", "encrypted", on(func(e *draftEntry) { e.local = put16(6, flagUTF8|1) }))
	add("descriptor only in the local header", "data_descriptor", on(func(e *draftEntry) { e.local = put16(6, flagUTF8|8) }))
	add("UTF-8 only in the central header", "not_utf8", on(func(e *draftEntry) { e.local = put16(6, 0) }))
	add("other time in the local header", "time", on(func(e *draftEntry) { e.local = put16(12, 0x5a21) }))
	add("extra field in the local header", "extra_field", on(func(e *draftEntry) { e.local = insert(28, "UT\x05\x00\x03\x00\x00\x00\x00") }))

	// What both headers say and is not ours.
	add("encrypted", "encrypted", whole(func(d *draft) { both16(d.entries[0], 6, flagUTF8|1) }))
	add("strongly encrypted", "encrypted", whole(func(d *draft) { both16(d.entries[0], 6, flagUTF8|1<<6) }))
	add("masked headers", "encrypted", whole(func(d *draft) { both16(d.entries[0], 6, flagUTF8|1<<13) }))
	add("data descriptor on deflate", "data_descriptor", whole(func(d *draft) {
		both16(d.entries[0], 6, flagUTF8|8)
		d.entries[0].behind = "PK\x07\x08" + strings.Repeat("\x00", 12)
	}))
	add("data descriptor on a stored entry", "data_descriptor", whole(func(d *draft) { both16(d.entries[1], 6, flagUTF8|8) }))
	add("not UTF-8", "not_utf8", whole(func(d *draft) { both16(d.entries[0], 6, 0) }))
	add("compression option bits", "flags", whole(func(d *draft) { both16(d.entries[0], 6, flagUTF8|2) }))
	add("patched data bit", "flags", whole(func(d *draft) { both16(d.entries[0], 6, flagUTF8|1<<5) }))
	for name, method := range map[string]uint16{"shrunk": 1, "deflate64": 9, "bzip2": 12, "lzma": 14, "zstd": 93, "xz": 95, "jpeg": 96, "aes": 99} {
		add("method "+name, "method", whole(func(d *draft) { both16(d.entries[0], 8, method) }))
	}
	add("version 45", "version", whole(func(d *draft) { both16(d.entries[0], 4, 45) }))
	add("a time", "time", whole(func(d *draft) { both16(d.entries[0], 10, 1) }))
	add("a date", "time", whole(func(d *draft) { both16(d.entries[0], 12, 0x5a21) }))
	add("zip64 size", "zip64", whole(func(d *draft) { both32(d.entries[0], 22, 0xffffffff) }))
	add("extra field in the central header", "extra_field", on(func(e *draftEntry) { e.central = insert(30, "\x01\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00") }))
	add("Unicode path extra field", "extra_field", on(func(e *draftEntry) { e.central = insert(30, "up\x09\x00\x01\x00\x00\x00\x00evil") }))
	add("comment of an entry", "entry_comment", on(func(e *draftEntry) { e.central = insert(32, "note") }))
	add("entry on disk 1", "multi_disk", on(func(e *draftEntry) { e.central = put16(34, 1) }))
	mode := func(m uint32) *draft { return on(func(e *draftEntry) { e.central = put32(38, m<<16) }) }
	add("symbolic link", "link", mode(0o120777))
	add("folder mode", "folder", mode(0o040755))
	add("folder attribute", "folder", on(func(e *draftEntry) { e.central = put32(38, fileMode|0x10) }))
	add("block device", "special", mode(0o060644))
	add("pipe", "special", mode(0o010644))
	add("socket", "special", mode(0o140644))
	add("setuid", "setuid", mode(0o104755))
	add("setgid", "setuid", mode(0o102755))
	add("executable", "attributes", mode(0o100755))
	add("text file attribute", "attributes", on(func(e *draftEntry) { e.central = put16(36, 1) }))
	add("made by Windows", "attributes", on(func(e *draftEntry) { e.central = put16(4, zipVersion) }))

	// Names.
	for name, path := range map[string]string{
		"zip slip": "../evil.js", "zip slip inside": "a/../../evil.js", "absolute": "/etc/passwd", "drive": "c:evil.js", "backslash": `..\evil.js`, "NUL": "index.html\x00.png",
		"dot": "./a", "empty segment": "a//b", "invalid UTF-8": "a\xff", "decomposed": "u\u0308", "control": "a\x1b[2J", "device": "nul.js", "trailing dot": "a.", "trailing space": "a ",
		"folder entry": "a/", "only a dot": ".", "empty": "", "long segment": strings.Repeat("a", 256), "long path": strings.Repeat("a/", 256) + "a",
	} {
		add("name: "+name, "path", canonical(stored(path, "")))
	}
	add("names that differ in case", "clash", canonical(stored("INDEX.html", "evil")))
	add("file that is a folder", "clash", canonical(stored("main.js/x", "evil")))
	add("no index.html", "no_index", whole(func(d *draft) { d.entries = d.entries[1:] }))
	add("index.html only in a folder", "no_index", whole(func(d *draft) { d.entries[0].name = "www/index.html"; slices.Reverse(d.entries) }))

	// Data.
	add("wrong CRC of a stored entry", "crc", whole(func(d *draft) { d.entries[1].crc32++ }))
	add("wrong CRC of a deflated entry", "crc", on(func(e *draftEntry) { e.crc32++ }))
	add("stored sizes differ", "stored_size", whole(func(d *draft) { d.entries[1].plain++ }))
	add("unpacks to more", "real_size", on(func(e *draftEntry) { e.plain-- }))
	add("unpacks to less", "real_size", on(func(e *draftEntry) { e.plain++ }))
	add("bomb that announces little", "real_size", whole(func(d *draft) {
		e := deflated("index.html", strings.Repeat("\x00", 5<<20))
		e.plain = 1000
		d.entries[0] = e
	}))
	add("damaged deflate stream", "deflate", on(func(e *draftEntry) { e.data = "\xff" + e.data[1:] }))
	add("cut deflate stream", "deflate", on(func(e *draftEntry) { e.data = e.data[:len(e.data)-2]; e.packed -= 2 }))
	add("bytes behind the deflate stream", "deflate_tail", on(func(e *draftEntry) { e.data += "hidden"; e.packed += 6 }))
	add("file above its ratio", "file_ratio", canonical(deflated("zeros", strings.Repeat("\x00", 2<<20))))
	var many []*draftEntry
	for _, name := range []string{"a1", "a2", "a3", "a4"} {
		many = append(many, deflated(name, strings.Repeat("\x00", 900<<10)))
	}
	add("zip above its ratio", "total_ratio", canonical(many...))

	// What ordinary tools make.
	raw("Go's streaming writer", "data_descriptor", goZip(func(z *zip.Writer) {
		w, _ := z.CreateHeader(&zip.FileHeader{Name: "index.html", Method: zip.Deflate, Flags: flagUTF8})
		w.Write([]byte("x"))
	}))
	raw("Go's streaming writer, stored", "data_descriptor", goZip(func(z *zip.Writer) {
		w, _ := z.CreateHeader(&zip.FileHeader{Name: "index.html", Method: zip.Store})
		w.Write([]byte("x"))
	}))
	return list
}

// refusal opens and reads a zip and returns why it is refused.
func refusal(b []byte) error {
	a, err := open(b, manifest.Limits{})
	if err != nil {
		return err
	}
	_, err = a.Verify(context.Background(), nil)
	return err
}

func TestHostileArchivesAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := ours(canonical().bytes()); err != nil {
		t.Fatalf("the draft that all cases spoil is refused itself: %v", err)
	}
	list := corpus()
	if len(list) < 60 {
		t.Fatalf("the corpus has %d zips, at least 60 are wanted", len(list))
	}
	for _, c := range list {
		err := refusal(c.zip)
		u, ok := errors.AsType[*Unsafe](err)
		if !ok || u.Rule != c.rule {
			t.Errorf("%s: %v, want rule %s", c.name, err, c.rule)
			continue
		}
		switch code := capstan.CodeOf(err); code {
		case capstan.CodeArchiveUnsafe, capstan.CodePathRefused, capstan.CodeNoIndex, capstan.CodeTooLarge:
		default:
			t.Errorf("%s: code %s", c.name, code)
		}
	}
}

func TestArchivesAboveALimitAreRefused(t *testing.T) {
	t.Parallel()
	b := canonical(stored("z", strings.Repeat("z", 500))).bytes()
	for name, c := range map[string]struct {
		limits manifest.Limits
		rule   string
	}{
		"zip":      {manifest.Limits{ArchiveBytes: int64(len(b)) - 1}, "zip_size"},
		"entries":  {manifest.Limits{Files: 2}, "entries"},
		"file":     {manifest.Limits{FileBytes: 499}, "file_size"},
		"expanded": {manifest.Limits{ExpandedBytes: 765}, "expanded_size"},
	} {
		_, err := open(b, c.limits)
		wantCode(t, err, capstan.CodeTooLarge)
		if u, ok := errors.AsType[*Unsafe](err); !ok || u.Rule != c.rule {
			t.Errorf("%s: %v, want rule %s", name, err, c.rule)
		}
	}
	if _, err := open(b, manifest.Limits{ArchiveBytes: int64(len(b)), Files: 3, FileBytes: 500, ExpandedBytes: 766}); err != nil {
		t.Errorf("exactly at the limits: %v", err)
	}
}

func TestBombIsStoppedWhereItAnnouncedToEnd(t *testing.T) {
	t.Parallel()
	e := deflated("index.html", strings.Repeat("\x00", 5<<20))
	e.plain = 1000
	b := whole(func(d *draft) { d.entries[0] = e }).bytes()
	a, err := open(b, manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	if u, ok := errors.AsType[*Unsafe](err); !ok || u.Rule != "real_size" || n > 1000 {
		t.Errorf("%d bytes came out before %v", n, err)
	}
}

// TestEveryBitOfAnArchiveMatters flips each bit of a small archive. Only the
// padding behind the last bit of a deflate stream is read by nobody.
func TestEveryBitOfAnArchiveMatters(t *testing.T) {
	t.Parallel()
	good := canonical().bytes()
	want, err := ours(good)
	if err != nil {
		t.Fatal(err)
	}
	padding := 0
	for bit := range len(good) * 8 {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		got, err := ours(b)
		if err != nil {
			continue
		}
		if padding++; padding > 7 || !maps.Equal(got, want) {
			t.Errorf("bit %d of byte %d may be flipped; content is %v, was %v", bit%8, bit/8, got, want)
		}
	}
}

// FuzzArchive: whatever is accepted, every reader sees the same in it.
func FuzzArchive(f *testing.F) {
	f.Add(canonical().bytes())
	for _, c := range corpus() {
		if len(c.zip) < 4<<10 {
			f.Add(c.zip)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want, err := ours(b)
		if err != nil {
			return
		}
		for name, view := range views {
			got, err := view(b)
			if err != nil {
				t.Fatalf("accepted, but %s refuses it: %v", name, err)
			}
			if len(got) != len(want) {
				t.Fatalf("%s sees %d files, we see %d", name, len(got), len(want))
			}
			for path, body := range want {
				if got[path] != body {
					t.Fatalf("%s sees another %q", name, path)
				}
			}
		}
	})
}
