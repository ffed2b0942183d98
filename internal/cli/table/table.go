// Package table lays text out in columns for a terminal, and writes sizes and
// ages the way people read them.
package table

import (
	"io"
	"strings"
	"unicode/utf8"
)

// gap is the space between two columns.
const gap = 2

// Table is rows under a heading. The zero value is ready; not safe for concurrent use.
type Table struct {
	rows [][]string
}

// New returns a table with its heading.
func New(columns ...string) *Table {
	t := &Table{}
	t.Row(columns...)
	return t
}

// Row appends a row; missing cells at its end stay empty.
func (t *Table) Row(cells ...string) {
	clean := make([]string, len(cells))
	for i, c := range cells {
		clean[i] = printable(c)
	}
	t.rows = append(t.rows, clean)
}

// Len counts the rows without the heading.
func (t *Table) Len() int { return len(t.rows) - 1 }

// Write prints the table. Lines are cut at width columns when width is positive;
// the cut is marked.
func (t *Table) Write(w io.Writer, width int) error {
	widths := t.widths()
	var b strings.Builder
	for _, row := range t.rows {
		b.WriteString(cut(line(row, widths), width))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Table) widths() []int {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

func line(row []string, widths []int) string {
	var b strings.Builder
	for i, cell := range row {
		b.WriteString(cell)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap))
		}
	}
	return strings.TrimRight(b.String(), " ")
}

func cut(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// printable replaces what could move a terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if IsControl(r) {
			return '?'
		}
		return r
	}, s)
}

// IsControl reports whether r could move a terminal's cursor or do worse: names in a
// store are other people's data.
func IsControl(r rune) bool { return r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) }
