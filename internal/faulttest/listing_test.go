//go:build linux && amd64

package faulttest_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// listing counts the names below a store's roots, with their types and modes. IDs
// and times in names are left out, so that two runs can be compared.
type listing map[string]int

var (
	idName   = regexp.MustCompile(`[0-9a-f]{64}`)
	linkName = regexp.MustCompile(`\b[A-Z2-7]{26}\b`)
	dateName = regexp.MustCompile(`trash/[^/]+`)
)

// list reads the roots. What is mounted is not entered.
func list(t testing.TB, roots ...string) listing {
	t.Helper()
	out := listing{}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(filepath.Dir(root), path)
			if err != nil {
				return err
			}
			if foreign(root, info) {
				out[plain(rel)+" mounted"]++
				return fs.SkipDir
			}
			if !optional(rel) {
				out[fmt.Sprint(plain(rel), " ", info.Mode())]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func foreign(root string, info fs.FileInfo) bool {
	top, err := os.Lstat(root)
	if err != nil {
		return false
	}
	return top.Sys().(*syscall.Stat_t).Dev != info.Sys().(*syscall.Stat_t).Dev
}

func plain(rel string) string {
	rel = idName.ReplaceAllString(rel, "<id>")
	rel = linkName.ReplaceAllString(rel, "<link>")
	return dateName.ReplaceAllString(rel, "trash/<date>")
}

// optional are names that may be there or not: what the other engine makes when it
// opens a store (on-disk format, 1.1), copies of record files, and answers of probes.
func optional(rel string) bool {
	return strings.HasPrefix(rel, "run/") && strings.HasSuffix(rel, "-locks") || rel == "graph/mounts" || rel == "graph/tmp" || rel == "graph/userns.lock" || rel == "graph/strata" || rel == "graph/overlay/backingFsBlockDev" ||
		strings.HasPrefix(rel, "graph/strata/backup") && !strings.Contains(rel, ".tmp-") ||
		strings.HasPrefix(rel, "run/overlay/") && (strings.HasSuffix(rel, "-true") || strings.HasSuffix(rel, "-false")) ||
		strings.HasSuffix(rel, ".lock") && !strings.Contains(rel, "tmp/") && !strings.Contains(rel, "tempdirs/")
}

// without leaves out what has a text in its name.
func (l listing) without(text string) listing {
	out := maps.Clone(l)
	maps.DeleteFunc(out, func(name string, _ int) bool { return strings.Contains(name, text) })
	return out
}

// between reports each name that is there more often, or less often, than in both
// of the others.
func (l listing) between(a, b listing) []string {
	var out []string
	seen := map[string]bool{}
	for _, other := range []listing{l, a, b} {
		for name := range other {
			if seen[name] {
				continue
			}
			seen[name] = true
			if n := l[name]; n > max(a[name], b[name]) {
				out = append(out, fmt.Sprintf("stray %s (%d times, not %d)", name, n, max(a[name], b[name])))
			} else if n < min(a[name], b[name]) {
				out = append(out, fmt.Sprintf("lost %s (%d times, not %d)", name, n, min(a[name], b[name])))
			}
		}
	}
	slices.Sort(out)
	return out
}
