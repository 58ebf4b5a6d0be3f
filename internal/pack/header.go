package pack

import (
	"encoding/binary"
	"fmt"

	"github.com/capstan-ota/capstan/internal/manifest"
)

// Sizes and constants of the canonical zip; doc.go draws it.
const (
	localBytes   = 30
	centralBytes = 46
	endBytes     = 22

	localSignature   = 0x04034b50
	centralSignature = 0x02014b50
	endSignature     = 0x06054b50

	zipVersion   = 20     // deflate, no zip64
	madeBy       = 3 << 8 // Unix, so that the mode below is read as one
	flagUTF8     = 1 << 11
	methodStore  = 0
	methodFlate  = 8
	dosTime      = 0
	dosDate      = 1<<5 | 1 // 1980-01-01, the first day that a zip can name
	fileMode     = 0o100644 << 16
	zip64Marker  = 0xffff
	zip64Marker4 = 0xffffffff
)

// header is what differs between the entries of a canonical zip.
type header struct {
	name   string
	method uint16
	crc32  uint32
	packed uint32
	plain  uint32
	offset uint32 // of the local header
}

// localSize is how many bytes stand before the data of h.
func (h header) localSize() int64 { return localBytes + int64(len(h.name)) }

var order = binary.LittleEndian

// appendLocal appends the local header of h.
func appendLocal(b []byte, h header) []byte {
	b = order.AppendUint32(b, localSignature)
	b = appendCommon(b, h)
	return append(b, h.name...)
}

// appendCommon appends the 26 bytes that both headers have, from "version
// needed" to the length of the extra field.
func appendCommon(b []byte, h header) []byte {
	b = order.AppendUint16(b, zipVersion)
	b = order.AppendUint16(b, flagUTF8)
	b = order.AppendUint16(b, h.method)
	b = order.AppendUint16(b, dosTime)
	b = order.AppendUint16(b, dosDate)
	b = order.AppendUint32(b, h.crc32)
	b = order.AppendUint32(b, h.packed)
	b = order.AppendUint32(b, h.plain)
	b = order.AppendUint16(b, uint16(len(h.name)))
	return order.AppendUint16(b, 0)
}

// appendCentral appends the central header of h.
func appendCentral(b []byte, h header) []byte {
	b = order.AppendUint32(b, centralSignature)
	b = order.AppendUint16(b, madeBy|zipVersion)
	b = appendCommon(b, h)
	b = order.AppendUint16(b, 0) // comment
	b = order.AppendUint16(b, 0) // disk
	b = order.AppendUint16(b, 0) // internal attributes
	b = order.AppendUint32(b, fileMode)
	b = order.AppendUint32(b, h.offset)
	return append(b, h.name...)
}

// appendEnd appends the end record of a zip with n entries.
func appendEnd(b []byte, n int, directoryBytes, directoryAt uint32) []byte {
	b = order.AppendUint32(b, endSignature)
	b = order.AppendUint16(b, 0)
	b = order.AppendUint16(b, 0)
	b = order.AppendUint16(b, uint16(n))
	b = order.AppendUint16(b, uint16(n))
	b = order.AppendUint32(b, directoryBytes)
	b = order.AppendUint32(b, directoryAt)
	return order.AppendUint16(b, 0)
}

// fault is a deviation from the canonical form.
type fault struct{ rule, why string }

// commonFault looks at the fields that both headers have, given from "version
// needed" on. The rules stand in the order of their danger, so that a zip which
// breaks several is refused for the one that matters.
func commonFault(b []byte) *fault {
	flags, method := order.Uint16(b[2:]), order.Uint16(b[4:])
	packed, plain := order.Uint32(b[14:]), order.Uint32(b[18:])
	switch {
	case flags&1 != 0 || flags&(1<<6) != 0 || flags&(1<<13) != 0:
		return &fault{"encrypted", "is encrypted"}
	case flags&(1<<3) != 0:
		return &fault{"data_descriptor", "has a data descriptor, which Java refuses on stored entries and which hides sizes from a reader of local headers"}
	case flags&flagUTF8 == 0:
		return &fault{"not_utf8", "does not say that its name is UTF-8"}
	case flags != flagUTF8:
		return &fault{"flags", fmt.Sprintf("has flags %#04x", flags)}
	case method != methodStore && method != methodFlate:
		return &fault{"method", fmt.Sprintf("is packed by method %d; only 0 (stored) and 8 (deflate) are read everywhere", method)}
	case packed == zip64Marker4 || plain == zip64Marker4:
		return &fault{"zip64", "uses the zip64 form"}
	case method == methodStore && packed != plain:
		return &fault{"stored_size", fmt.Sprintf("is stored, and yet has %d packed and %d plain bytes", packed, plain)}
	case order.Uint16(b[24:]) != 0:
		return &fault{"extra_field", "has an extra field"}
	case order.Uint16(b[6:]) != dosTime || order.Uint16(b[8:]) != dosDate:
		return &fault{"time", "has another time than 1980-01-01 00:00"}
	case order.Uint16(b) != zipVersion:
		return &fault{"version", fmt.Sprintf("needs version %d of the format", order.Uint16(b))}
	}
	return nil
}

// centralFault looks at the fields that only the central header has.
func centralFault(b []byte) *fault {
	attributes := order.Uint32(b[38:])
	switch mode := attributes >> 16; {
	case order.Uint16(b[32:]) != 0:
		return &fault{"entry_comment", "has a comment"}
	case order.Uint16(b[34:]) != 0:
		return &fault{"multi_disk", "stands on another disk"}
	case mode&0o170000 == 0o120000:
		return &fault{"link", "is a symbolic link, which iOS would make"}
	case mode&0o170000 == 0o040000 || attributes&0x10 != 0:
		return &fault{"folder", "is a folder"}
	case mode&0o170000 != 0 && mode&0o170000 != 0o100000:
		return &fault{"special", "is a device, pipe or socket"}
	case mode&0o7000 != 0:
		return &fault{"setuid", "has setuid, setgid or sticky bits"}
	case attributes != fileMode || order.Uint16(b[36:]) != 0 || order.Uint16(b[4:]) != madeBy|zipVersion:
		return &fault{"attributes", "has other attributes than a plain file of ours"}
	}
	return nil
}

// sizeFault applies the limits to what a header announces; reading enforces it.
func sizeFault(h header, l manifest.Limits) *fault {
	switch {
	case int64(h.plain) > l.FileBytes:
		return &fault{"file_size", fmt.Sprintf("has %d bytes, at most %d are allowed in one file", h.plain, l.FileBytes)}
	case l.FileRatioExceeded(int64(h.plain), int64(h.packed)):
		return &fault{"file_ratio", fmt.Sprintf("unpacks %d bytes to %d, more than %d times", h.packed, h.plain, l.FileRatio)}
	}
	return nil
}
