package drivertest

import (
	"slices"
	"strings"
)

// differences returns what two lists of lines have not in common, "-" for lines that are only in
// want and "+" for those only in got; "" if the lists are equal.
func differences(want, got []string) string {
	if slices.Equal(want, got) {
		return ""
	}
	var out []string
	for _, l := range want {
		if !slices.Contains(got, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			out = append(out, "+ "+l)
		}
	}
	if len(out) == 0 {
		out = []string{"the same lines, in another order or number:", strings.Join(want, "\n"), "and", strings.Join(got, "\n")}
	}
	return strings.Join(out, "\n")
}
