//go:build linux && amd64

package faulttest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// strays are the layers that the verb makes for an image, where they are without it: the
// image has to be there as a whole, or, with the garbage collected, not at all. A load
// that fails keeps them for the next one until then.
func (p *point) strays(when string, got state) (out []string) {
	if when == whenFound || when == whenFailed && p.loads() {
		return nil
	}
	meant, held := needed(p.after.After), needed(got)
	for _, key := range slices.Sorted(maps.Keys(meant)) {
		if got[key] != "" && !held[key] && p.before.After[key] == "" {
			out = append(out, fmt.Sprintf("%s: %s: %s, without its image", when, key, got[key]))
		}
	}
	return out
}

// needed are the layers that images and containers stand on.
func needed(s state) map[string]bool {
	out := map[string]bool{}
	var need func(key string)
	need = func(key string) {
		if s[key] != "" && !out[key] {
			out[key] = true
			need(below(s[key]))
		}
	}
	for key, text := range s {
		for other := range s {
			isLayer := strings.HasPrefix(other, "layer ")
			isUser := strings.HasPrefix(key, "image ") || strings.HasPrefix(key, "container ")
			if isLayer && isUser && (strings.Contains(text, `"`+other+`"`) || strings.Contains(text, "layer "+other+" ")) {
				need(other)
			}
		}
	}
	return out
}

// below is the layer that a layer stands on.
func below(text string) string {
	parent, _, _ := strings.Cut(strings.TrimPrefix(text, "parent "), " names ")
	return parent
}

// loads reports whether the verb is one that goes on where the last one failed.
func (p *point) loads() bool {
	return slices.Contains([]string{"load", "docker-import"}, p.verb.args[0])
}

// collectedBefore collects what a failed load left, if it is one and this is wanted, and
// demands that nothing stays.
func (p *point) collectedBefore(f findings, wanted bool) findings {
	p.t.Helper()
	if !p.loads() || !wanted || f.Error != "" {
		return f
	}
	f, ok := p.look(whenCollected)
	if ok {
		p.leaked = append(p.leaked, p.listing().between(p.old, p.new)...)
	}
	return f
}

// notes is what the names of notes have in common, in which a failed load says what it made
// until somebody collects that; no name for other verbs.
func (p *point) notes() string {
	if p.loads() {
		return "graph/strata/unfinished/"
	}
	return "\x00"
}
