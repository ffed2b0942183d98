package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/stratastore/strata/internal/cli/option"
)

// optionList is the list of options in the classic help. It shows the values
// that the options have when it is made.
type optionList struct {
	lines [][2]string
}

func newOptionList(options []option.Option) optionList {
	sorted := slices.Clone(options)
	slices.SortStableFunc(sorted, func(a, b option.Option) int {
		return strings.Compare(strings.ToLower(a.Name()), strings.ToLower(b.Name()))
	})
	var l optionList
	for _, o := range sorted {
		names := strings.Join(o.Words(), ", ")
		if v := o.Value.String(); v != "" && v != "false" && v != "0" {
			names += "=" + v
		}
		l.lines = append(l.lines, [2]string{names, o.Usage})
	}
	return l
}

// write prints a blank line and one line per option.
func (l optionList) write(w io.Writer) {
	width := 0
	for _, line := range l.lines {
		width = max(width, len(line[0]))
	}
	var b strings.Builder
	b.WriteByte('\n')
	for _, line := range l.lines {
		fmt.Fprintf(&b, "  %-*s    %s\n", width, line[0], line[1])
	}
	_, _ = io.WriteString(w, b.String())
}
