//go:build linux && amd64

package faulttest_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// reading verbs change nothing, neither in the store nor in files that are named to them.
func reading() []string {
	return []string{
		"changes", "completion", "config", "container", "container-parent-owners", "containers", "diffsize", "exists",
		"get-container-data-digest", "get-container-data-size", "get-image-data-digest", "get-image-data-size", "get-names",
		"history", "image", "images", "images-by-digest", "inspect", "layer", "layer-parent-owners", "layers",
		"list-container-data", "list-image-data", "list-layer-data", "metadata", "mounted", "status", "storage-layers", "verify", "version",
	}
}

// elsewhere says of verbs without a case here where they are tried, or why they are not.
func elsewhere() map[string]string {
	return map[string]string{
		"docker-import":      "TestDockerImport",
		"volume":             "TestVolumes",
		"driver-serve":       "serves until it is ended, and all that it does is the driver's, whom others ask",
		"unshare":            "runs another program, and opens no store",
		"man":                "writes pages that writing them again replaces, and opens no store",
		"get-layer-data":     "get-image-data: one function serves the three",
		"get-container-data": "get-image-data: one function serves the three",
	}
}

// TestEveryVerbHasACase goes by the manual pages, of which each verb has one: a verb that
// changes something is tried, or it is said why not.
func TestEveryVerbHasACase(t *testing.T) {
	pages, err := filepath.Glob("../../docs/man/strata-*.1")
	if err != nil || len(pages) < 50 {
		t.Fatalf("%d manual pages, %v", len(pages), err)
	}
	tried := map[string]bool{}
	for _, v := range verbs() {
		tried[v.args[0]] = true
	}
	known := map[string]bool{}
	for _, page := range pages {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(page), "strata-"), ".1")
		family, _, _ := strings.Cut(name, "-")
		reason := elsewhere()[name] != "" || elsewhere()[family] != "" && family == "volume"
		known[name] = true
		n := 0
		for _, is := range []bool{tried[name], slices.Contains(reading(), name), reason} {
			if is {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s: tried %t, reading %t, reason %t: one of them has to be", name, tried[name], slices.Contains(reading(), name), reason)
		}
	}
	for _, name := range reading() {
		if !known[name] {
			t.Errorf("%s is no verb", name)
		}
	}
}
