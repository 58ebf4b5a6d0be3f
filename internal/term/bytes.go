package term

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Bytes writes a number of bytes for people: "0 B", "48 kB", "1.2 MB".
func Bytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// Count writes a number with its noun: "1 file", "2,000 files".
func Count[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%s %ss", humanize.Comma(int64(n)), noun)
}
