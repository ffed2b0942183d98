package testutil

import "strings"

// Stutter returns the first part of an error's text that one of its lines says twice, as
// happens when two levels wrap an error in the same words; "" if there is none. Parts end
// at a colon.
func Stutter(text string) string {
	for line := range strings.Lines(text) {
		said := map[string]bool{}
		for part := range strings.SplitSeq(strings.TrimSpace(line), ": ") {
			if said[part] && part != "" {
				return part
			}
			said[part] = true
		}
	}
	return ""
}
