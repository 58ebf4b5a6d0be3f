package manifest

import (
	"fmt"

	"github.com/capstan-ota/capstan"
)

// Change is a path that both manifests have, with other content.
type Change struct{ Old, New capstan.File }

// Move is content that stands under a path that the old manifest did not have,
// while the old path is gone. Devices key their cache by digest and base name,
// so a move within the same base name costs them nothing (device-clients.md
// §7.2).
type Move struct{ From, To capstan.File }

// Difference tells how one manifest became another. Every file of the new
// manifest stands in exactly one of Added, Changed, Moved and Unchanged, and
// every file of the old one in exactly one of Removed, Changed, Moved and
// Unchanged. All lists are ordered by path.
type Difference struct {
	Added     []capstan.File
	Changed   []Change
	Removed   []capstan.File
	Moved     []Move
	Unchanged []capstan.File
}

// Diff compares two manifests.
func Diff(old, new capstan.Manifest) Difference {
	old, new = sorted(old), sorted(new)
	var d Difference
	var gone, come []capstan.File
	for len(old) > 0 || len(new) > 0 {
		switch {
		case len(new) == 0 || len(old) > 0 && old[0].Path < new[0].Path:
			gone, old = append(gone, old[0]), old[1:]
		case len(old) == 0 || new[0].Path < old[0].Path:
			come, new = append(come, new[0]), new[1:]
		default:
			if old[0].Digest == new[0].Digest && old[0].Size == new[0].Size {
				d.Unchanged = append(d.Unchanged, new[0])
			} else {
				d.Changed = append(d.Changed, Change{old[0], new[0]})
			}
			old, new = old[1:], new[1:]
		}
	}
	d.pairMoves(gone, come)
	return d
}

// pairMoves pairs each file that came with the first unpaired file of the same
// content that went; what is left over was added or removed. Empty files all
// have the same content, so calling one of them moved would say nothing.
func (d *Difference) pairMoves(gone, come []capstan.File) {
	from := map[capstan.Digest][]int{}
	for i, f := range gone {
		if f.Size > 0 {
			from[f.Digest] = append(from[f.Digest], i)
		}
	}
	moved := make([]bool, len(gone))
	for _, f := range come {
		if left := from[f.Digest]; len(left) > 0 {
			d.Moved = append(d.Moved, Move{gone[left[0]], f})
			moved[left[0]], from[f.Digest] = true, left[1:]
			continue
		}
		d.Added = append(d.Added, f)
	}
	for i, f := range gone {
		if !moved[i] {
			d.Removed = append(d.Removed, f)
		}
	}
}

// Empty reports whether both manifests held the same files.
func (d Difference) Empty() bool {
	return len(d.Added)+len(d.Changed)+len(d.Removed)+len(d.Moved) == 0
}

// Fresh lists the files of the new manifest whose content the old one does not
// have under the same path: what a device on the old bundle may have to
// download. Moved files are left out, which is exact when the base name stayed.
func (d Difference) Fresh() []capstan.File {
	fresh := append([]capstan.File(nil), d.Added...)
	for _, c := range d.Changed {
		fresh = append(fresh, c.New)
	}
	Sort(fresh)
	return fresh
}

// Lines describes the difference for people, one line per path, as in
// "changed main.js": the details of an error or the output of a command.
func (d Difference) Lines() []string {
	var lines []string
	for _, c := range d.Changed {
		lines = append(lines, fmt.Sprintf("changed %s", c.New.Path))
	}
	for _, f := range d.Added {
		lines = append(lines, fmt.Sprintf("added %s", f.Path))
	}
	for _, f := range d.Removed {
		lines = append(lines, fmt.Sprintf("removed %s", f.Path))
	}
	for _, m := range d.Moved {
		lines = append(lines, fmt.Sprintf("moved %s to %s", m.From.Path, m.To.Path))
	}
	return lines
}
