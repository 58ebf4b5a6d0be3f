package manifest

import (
	"cmp"

	"github.com/capstan-ota/capstan"
)

// Limits bounds what a bundle may hold (security-reliability.md §2.4). The zero
// value of a field means its default.
type Limits struct {
	ArchiveBytes  int64 // of the zip
	ExpandedBytes int64 // sum of the plain sizes of all files; protects the phone's disk
	FileBytes     int64 // plain size of one file
	Files         int   // entries
	FileRatio     int64 // plain : deflated of one file above RatioFloor
	TotalRatio    int64 // plain : zip of the whole bundle above RatioFloor
}

// RatioFloor is the plain size in bytes up to which no ratio is looked at: a
// megabyte harms nobody, however small it was packed.
const RatioFloor = 1 << 20

const mib = 1 << 20

// DefaultLimits are those of an installation that sets none.
func DefaultLimits() Limits {
	return Limits{
		ArchiveBytes:  200 * mib,
		ExpandedBytes: 500 * mib,
		FileBytes:     100 * mib,
		Files:         20_000,
		FileRatio:     100,
		TotalRatio:    50,
	}
}

// Ceilings are what no setting can raise. Android reads lengths as a signed 32
// bit number, and above 65 534 entries or 4 GiB a zip needs the zip64 form,
// which not every device reads.
func Ceilings() Limits {
	return Limits{
		ArchiveBytes:  1<<31 - 1,
		ExpandedBytes: 1<<32 - 2,
		FileBytes:     1<<31 - 1,
		Files:         65_534,
		FileRatio:     1_000,
		TotalRatio:    1_000,
	}
}

// Resolve fills in defaults and lowers what is above a ceiling.
func (l Limits) Resolve() Limits {
	d, c := DefaultLimits(), Ceilings()
	return Limits{
		ArchiveBytes:  resolve(l.ArchiveBytes, d.ArchiveBytes, c.ArchiveBytes),
		ExpandedBytes: resolve(l.ExpandedBytes, d.ExpandedBytes, c.ExpandedBytes),
		FileBytes:     resolve(l.FileBytes, d.FileBytes, c.FileBytes),
		Files:         resolve(l.Files, d.Files, c.Files),
		FileRatio:     resolve(l.FileRatio, d.FileRatio, c.FileRatio),
		TotalRatio:    resolve(l.TotalRatio, d.TotalRatio, c.TotalRatio),
	}
}

// resolve treats a negative setting like none.
func resolve[N int | int64](set, byDefault, ceiling N) N {
	return min(cmp.Or(max(set, 0), byDefault), ceiling)
}

// CheckSizes reports the first size or count of m above a limit, with
// [capstan.CodeTooLarge].
func (l Limits) CheckSizes(m capstan.Manifest) error {
	l = l.Resolve()
	if len(m) > l.Files {
		return capstan.Errorf(capstan.CodeTooLarge, "the bundle has %d files, at most %d are allowed", len(m), l.Files).On("files")
	}
	var sum int64
	for _, f := range m {
		if f.Size > l.FileBytes {
			return capstan.Errorf(capstan.CodeTooLarge, "%q has %d bytes, at most %d are allowed in one file", f.Path, f.Size, l.FileBytes).On(f.Path)
		}
		if sum += f.Size; sum > l.ExpandedBytes {
			return capstan.Errorf(capstan.CodeTooLarge, "the bundle has more than the %d bytes that are allowed; %q is the first file above that", l.ExpandedBytes, f.Path).On("files")
		}
	}
	return nil
}

// CheckArchiveBytes reports with [capstan.CodeTooLarge] that a zip of size
// bytes is above the limit.
func (l Limits) CheckArchiveBytes(size int64) error {
	if limit := l.Resolve().ArchiveBytes; size > limit {
		return capstan.Errorf(capstan.CodeTooLarge, "the zip has %d bytes, at most %d are allowed", size, limit).On("archive")
	}
	return nil
}

// FileRatioExceeded reports whether a file of plain bytes that was deflated to
// packed bytes is above the ratio for one file.
func (l Limits) FileRatioExceeded(plain, packed int64) bool {
	return plain > RatioFloor && plain > packed*l.Resolve().FileRatio
}

// TotalRatioExceeded is the same for a whole bundle and its zip.
func (l Limits) TotalRatioExceeded(plain, packed int64) bool {
	return plain > RatioFloor && plain > packed*l.Resolve().TotalRatio
}
