package term

import (
	"strings"
	"unicode/utf8"
)

// Table writes rows to Out in columns under a header. Cells are cleaned and
// kept on one line; the last column is not padded.
func (s *Screen) Table(header []string, rows [][]string) {
	cells := make([][]string, 0, len(rows)+1)
	for _, row := range append([][]string{header}, rows...) {
		line := make([]string, len(header))
		for i := range line {
			if i < len(row) {
				line[i] = strings.NewReplacer("\n", " ", "\t", " ").Replace(Clean(row[i]))
			}
		}
		cells = append(cells, line)
	}
	width := make([]int, len(header))
	for _, line := range cells {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for n, line := range cells {
		var b strings.Builder
		for i, cell := range line {
			b.WriteString(cell)
			if i < len(line)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		text := strings.TrimRight(b.String(), " ")
		if n == 0 {
			text = s.Paint(Bold, text)
		}
		s.Printf("%s\n", text)
	}
}

// Fields writes name and value pairs to Out, one a line, values in one
// column. A pair with an empty value is left out.
func (s *Screen) Fields(pairs ...[2]string) {
	width := 0
	for _, p := range pairs {
		if p[1] != "" {
			width = max(width, utf8.RuneCountInString(p[0]))
		}
	}
	for _, p := range pairs {
		if p[1] == "" {
			continue
		}
		pad := strings.Repeat(" ", width-utf8.RuneCountInString(p[0])+2)
		value := strings.ReplaceAll(Clean(p[1]), "\n", "\n"+strings.Repeat(" ", width+2))
		s.Printf("%s%s%s\n", s.Paint(Dim, p[0]), pad, value)
	}
}
