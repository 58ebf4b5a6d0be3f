package pack

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
	"github.com/capstan-ota/capstan/internal/native"
)

// Unsafe is why a zip was refused: the cause of an error with
// [capstan.CodeArchiveUnsafe] and of the other refusals of [OpenArchive], found
// with [errors.AsType].
type Unsafe struct {
	Rule   string // stable id, such as "local_differs"
	Path   string // "" when it is about the whole zip
	Offset int64  // in the zip, bytes
	Why    string
}

func (u *Unsafe) Error() string {
	if u.Path == "" {
		return fmt.Sprintf("the zip %s (%s, at byte %d)", u.Why, u.Rule, u.Offset)
	}
	return fmt.Sprintf("%q in the zip %s (%s, at byte %d)", u.Path, u.Why, u.Rule, u.Offset)
}

// refuse makes the error for a rule, with the code that fits it.
func refuse(rule, path string, offset int64, why string) error {
	code := capstan.CodeArchiveUnsafe
	switch rule {
	case "path", "clash":
		code = capstan.CodePathRefused
	case "zip_size", "file_size", "expanded_size", "entries":
		code = capstan.CodeTooLarge
	case "no_index":
		code = capstan.CodeNoIndex
	}
	return capstan.Errorf(code, "%w", &Unsafe{rule, path, offset, why}).On("archive")
}

// Archive is a zip in the canonical form. Its headers were checked when it was
// opened; its data is checked while it is read. It is safe for concurrent use.
type Archive struct {
	r       io.ReaderAt
	headers []header
}

// OpenArchive checks that r holds a zip of size bytes in the canonical form and
// within l. Errors: [capstan.CodeArchiveUnsafe] with an [Unsafe] as cause,
// [capstan.CodePathRefused], [capstan.CodeTooLarge], [capstan.CodeNoIndex], and
// those of r.
func OpenArchive(r io.ReaderAt, size int64, l manifest.Limits) (*Archive, error) {
	l = l.Resolve()
	if size > l.ArchiveBytes {
		return nil, refuse("zip_size", "", 0, fmt.Sprintf("has %d bytes, at most %d are allowed", size, l.ArchiveBytes))
	}
	end, err := readEnd(r, size)
	if err != nil {
		return nil, err
	}
	if end.entries > l.Files {
		return nil, refuse("entries", "", size-endBytes, fmt.Sprintf("has %d entries, at most %d are allowed", end.entries, l.Files))
	}
	if limit := int64(end.entries) * (centralBytes + manifest.MaxPathBytes); end.bytes > limit {
		return nil, refuse("directory", "", end.at, "has a directory that is longer than its entries can be")
	}
	directory, err := readExactly(r, end.at, end.bytes)
	if err != nil {
		return nil, err
	}
	a := &Archive{r: r}
	if a.headers, err = readDirectory(directory, end, l); err != nil {
		return nil, err
	}
	if err := a.checkLocals(end, l); err != nil {
		return nil, err
	}
	if err := a.checkWhole(size, l); err != nil {
		return nil, err
	}
	return a, nil
}

// directoryPlace is what the end record says.
type directoryPlace struct {
	entries   int
	at, bytes int64
}

func readEnd(r io.ReaderAt, size int64) (directoryPlace, error) {
	var none directoryPlace
	if size < endBytes {
		return none, refuse("too_short", "", 0, "is too short to be one")
	}
	at := size - endBytes
	b, err := readExactly(r, at, endBytes)
	if err != nil {
		return none, err
	}
	on, total := order.Uint16(b[8:]), order.Uint16(b[10:])
	end := directoryPlace{int(total), int64(order.Uint32(b[16:])), int64(order.Uint32(b[12:]))}
	switch {
	case order.Uint32(b) != endSignature:
		return none, refuse("no_end_record", "", at, "does not end in an end record: it is not a zip, has a comment, or has bytes behind its end")
	case order.Uint16(b[20:]) != 0:
		return none, refuse("comment", "", at, "announces a comment")
	case order.Uint16(b[4:]) != 0 || order.Uint16(b[6:]) != 0 || on != total:
		return none, refuse("multi_disk", "", at, "is one of several disks")
	case total == zip64Marker || end.at == zip64Marker4 || end.bytes == zip64Marker4:
		return none, refuse("zip64", "", at, "uses the zip64 form")
	case end.at+end.bytes != at:
		return none, refuse("directory_place", "", at, "has a gap or an overlap between its directory and its end record")
	}
	return end, nil
}

// readDirectory reads the central headers; they must fill the directory.
func readDirectory(b []byte, end directoryPlace, l manifest.Limits) ([]header, error) {
	headers := make([]header, 0, end.entries)
	for rest := b; len(headers) < end.entries; {
		at := end.at + int64(len(b)-len(rest))
		if len(rest) < centralBytes {
			return nil, refuse("directory", "", at, "has a directory that ends too early")
		}
		if order.Uint32(rest) != centralSignature {
			return nil, refuse("central_signature", "", at, "has something else where a central header belongs")
		}
		nameLen := int(order.Uint16(rest[28:]))
		if len(rest) < centralBytes+nameLen {
			return nil, refuse("directory", "", at, "has a directory that ends too early")
		}
		h := parseCentral(rest, nameLen)
		if err := checkCentral(rest, at, h, l); err != nil {
			return nil, err
		}
		if n := len(headers); n > 0 && headers[n-1].name >= h.name {
			return nil, refuse("order", h.name, at, "is out of order or stands in it twice")
		}
		headers, rest = append(headers, h), rest[centralBytes+nameLen:]
		if len(headers) == end.entries && len(rest) > 0 {
			return nil, refuse("directory", "", end.at+int64(len(b)-len(rest)), "has something behind its last central header")
		}
	}
	return headers, nil
}

func parseCentral(b []byte, nameLen int) header {
	return header{
		name:   string(b[centralBytes : centralBytes+nameLen]),
		method: order.Uint16(b[10:]),
		crc32:  order.Uint32(b[16:]),
		packed: order.Uint32(b[20:]),
		plain:  order.Uint32(b[24:]),
		offset: order.Uint32(b[42:]),
	}
}

func checkCentral(b []byte, at int64, h header, l manifest.Limits) error {
	if f := centralFault(b); f != nil && f.rule != "attributes" {
		return refuse(f.rule, h.name, at, f.why)
	}
	if err := manifest.CheckPath(h.name); err != nil {
		return refuse("path", h.name, at, err.Error())
	}
	for _, f := range []*fault{commonFault(b[6:]), centralFault(b), sizeFault(h, l)} {
		if f != nil {
			return refuse(f.rule, h.name, at, f.why)
		}
	}
	if canonical := appendCentral(nil, h); !bytes.Equal(canonical, b[:len(canonical)]) {
		return refuse("not_canonical", h.name, at, "has a central header that is not in the canonical form")
	}
	return nil
}

// checkLocals checks that the local headers say the same, and that entries
// stand one behind the other from the first byte to the directory.
func (a *Archive) checkLocals(end directoryPlace, l manifest.Limits) error {
	var next, expanded int64
	for _, h := range a.headers {
		switch {
		case int64(h.offset) > next && next == 0:
			return refuse("prefix", h.name, next, "is not the first thing in it")
		case int64(h.offset) > next:
			return refuse("gap", h.name, next, "has a gap before it")
		case int64(h.offset) < next:
			return refuse("overlap", h.name, int64(h.offset), "overlaps the entry before it, or they are out of order")
		}
		next += h.localSize() + int64(h.packed)
		if next > end.at {
			return refuse("overlap", h.name, int64(h.offset), "reaches into the directory")
		}
		if err := a.checkLocal(h); err != nil {
			return err
		}
		if expanded += int64(h.plain); expanded > l.ExpandedBytes {
			return refuse("expanded_size", h.name, int64(h.offset), fmt.Sprintf("makes the bundle larger than the %d bytes that are allowed", l.ExpandedBytes))
		}
	}
	if next != end.at {
		return refuse("gap", "", next, "has a gap before its directory")
	}
	return nil
}

func (a *Archive) checkLocal(h header) error {
	at := int64(h.offset)
	b, err := readExactly(a.r, at, h.localSize())
	if err != nil {
		return err
	}
	if order.Uint32(b) != localSignature {
		return refuse("local_signature", h.name, at, "has something else where its local header belongs")
	}
	canonical := appendLocal(nil, h)
	if bytes.Equal(b, canonical) {
		return nil
	}
	if f := commonFault(b[4:]); f != nil {
		return refuse(f.rule, h.name, at, f.why+" in its local header")
	}
	return refuse("local_differs", h.name, at, "has a local header that differs from its central one, so Android would see something else than other readers")
}

// checkWhole checks what no single entry shows.
func (a *Archive) checkWhole(size int64, l manifest.Limits) error {
	m := a.Files()
	for i := range m {
		m[i].Digest = capstan.EmptyDigest
	}
	if err := manifest.Validate(m); err != nil {
		return refuse("clash", "", 0, "holds names that clash: "+err.Error())
	}
	if plain := manifest.Bytes(m); l.TotalRatioExceeded(plain, size) {
		return refuse("total_ratio", "", 0, fmt.Sprintf("unpacks %d bytes to %d, more than %d times", size, plain, l.TotalRatio))
	}
	if !manifest.HasIndex(m) {
		return refuse("no_index", "", 0, "has no index.html at its root")
	}
	return nil
}

func readExactly(r io.ReaderAt, at, n int64) ([]byte, error) {
	b := make([]byte, n)
	read, err := r.ReadAt(b, at)
	if int64(read) == n {
		return b, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, refuse("too_short", "", at, "ends too early")
	}
	return nil, fmt.Errorf("read archive at %d: %w", at, err)
}

// Files lists the entries in order. Their digests are not known before the data
// was read and are empty.
func (a *Archive) Files() capstan.Manifest {
	m := make(capstan.Manifest, 0, len(a.headers))
	for _, h := range a.headers {
		m = append(m, capstan.File{Path: h.name, Size: int64(h.plain)})
	}
	return m
}

// Open reads the entry at i of Files. The reader verifies size, CRC-32 and the
// end of the deflate stream, and fails with [capstan.CodeArchiveUnsafe].
func (a *Archive) Open(i int) (io.ReadCloser, error) { return a.open(a.headers[i]), nil }

func (a *Archive) open(h header) *entryReader {
	data := bufio.NewReaderSize(a.section(h), int(min(max(h.packed, 16), 32<<10)))
	e := &entryReader{h: h, data: data, plain: data, crc: crc32.NewIEEE()}
	if h.method == methodFlate {
		// With an [io.ByteReader] flate takes not one byte more than it needs, so
		// what is left in data afterwards is behind the stream.
		e.plain = flate.NewReader(data)
	}
	return e
}

func (a *Archive) section(h header) *io.SectionReader {
	return io.NewSectionReader(a.r, int64(h.offset)+h.localSize(), int64(h.packed))
}

// entryReader reads one entry and trusts no number of its header.
type entryReader struct {
	h     header
	data  *bufio.Reader
	plain io.Reader
	crc   interface {
		io.Writer
		Sum32() uint32
	}
	n    int64
	done error // what every further Read returns
}

func (e *entryReader) Read(p []byte) (int, error) {
	if e.done != nil {
		return 0, e.done
	}
	n, err := e.plain.Read(p)
	e.crc.Write(p[:n])
	e.n += int64(n)
	switch {
	case e.n > int64(e.h.plain):
		n, e.done = 0, e.refuse("real_size", fmt.Sprintf("unpacks to more than the %d bytes that it announces", e.h.plain))
	case err == io.EOF:
		if e.done = e.end(); e.done != io.EOF {
			n = 0
		}
	case err != nil && isDeflateError(err):
		n, e.done = 0, e.refuse("deflate", "is not a whole deflate stream")
	case err != nil:
		e.done = fmt.Errorf("read %s of archive: %w", e.h.name, err)
	}
	return n, e.done
}

func isDeflateError(err error) bool {
	if _, ok := errors.AsType[flate.CorruptInputError](err); ok {
		return true
	}
	return errors.Is(err, io.ErrUnexpectedEOF)
}

// end checks what can only be known after the last byte.
func (e *entryReader) end() error {
	_, err := e.data.ReadByte()
	switch {
	case err == nil:
		return e.refuse("deflate_tail", "has bytes behind its deflate stream")
	case e.n != int64(e.h.plain):
		return e.refuse("real_size", fmt.Sprintf("unpacks to %d bytes and announces %d", e.n, e.h.plain))
	case e.crc.Sum32() != e.h.crc32:
		return e.refuse("crc", fmt.Sprintf("has CRC-32 %s and announces %s", crcText(e.crc.Sum32()), crcText(e.h.crc32)))
	}
	return io.EOF
}

func (e *entryReader) refuse(rule, why string) error {
	return refuse(rule, e.h.name, int64(e.h.offset), why)
}

func (e *entryReader) Close() error { return nil }

// Verify reads every entry to its end and returns the manifest of what it read.
// visit, when not nil, is called with each file, in order and after its bytes
// were checked; it must not keep the content. Little is held in memory of a
// file unless visit asks for its middle.
func (a *Archive) Verify(ctx context.Context, visit func(path string, c native.Content) error) (capstan.Manifest, error) {
	m := a.Files()
	var ends sample
	for i, h := range a.headers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ends.reset()
		sum := sha256.New()
		if _, err := io.Copy(io.MultiWriter(sum, &ends), a.open(h)); err != nil {
			return nil, err
		}
		m[i].Digest = capstan.DigestSum(sum.Sum(nil))
		if visit == nil {
			continue
		}
		c := ends.content(func() (io.ReadCloser, error) { return a.open(h), nil })
		if h.method == methodStore {
			c = sized{a.section(h), int64(h.plain)}
		}
		if err := visit(h.name, c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Checked is what [CheckArchive] found.
type Checked struct {
	Manifest capstan.Manifest
	Root     capstan.Digest
	CRC32    string           // of the zip, for plugins before SHA-256
	Findings []native.Finding // of the native gate; none of them blocks
}

// CheckArchive is all that a server does with a zip before it serves it: open
// it, read every entry, run the native gate on each. Errors are those of
// [OpenArchive], [Archive.Open] and [native.Refuse].
func CheckArchive(ctx context.Context, r io.ReaderAt, size int64, l manifest.Limits) (*Checked, error) {
	a, err := OpenArchive(r, size, l)
	if err != nil {
		return nil, err
	}
	var c Checked
	expand := newExpander(l).expand
	c.Manifest, err = a.Verify(ctx, func(path string, content native.Content) error {
		found, err := native.Inspect(path, content, expand)
		c.Findings = append(c.Findings, found...)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := native.Refuse(c.Findings); err != nil {
		return nil, err
	}
	c.Root = manifest.Root(c.Manifest)
	c.CRC32, err = CRC32(io.NewSectionReader(r, 0, size))
	return &c, err
}

// Agree reports with [capstan.CodeContentMismatch], and the differing paths as
// details, that a zip does not hold exactly the files of a manifest.
func Agree(archive, announced capstan.Manifest) error {
	d := manifest.Diff(announced, archive)
	if d.Empty() {
		return nil
	}
	lines := d.Lines()
	err := capstan.Errorf(capstan.CodeContentMismatch, "the zip does not hold the files of the manifest: %d differ, the first is: %s", len(lines), lines[0]).On("archive")
	err.Details = lines
	return err
}
