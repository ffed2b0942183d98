package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/testutil"
)

// A layer's diff, applied to what is below it, gives the layer again, and then
// the same changes and the same diff, on either driver.
func TestDiffGivesTheLayerAgain(t *testing.T) {
	testutil.RequireRoot(t)
	for _, tt := range histories() {
		t.Run(tt.name, func(t *testing.T) {
			h := newHistory(t, archive.WhiteoutTrusted, "", tt.layers)
			dir := tempDir(t)
			var uppers []string
			for layer := range tt.layers {
				want := h.vfs(t, layer)
				tree, upper := subdir(t, dir, fmt.Sprint("tree", layer)), subdir(t, dir, fmt.Sprint("upper", layer))
				if layer > 0 {
					copyTree(t, h.trees[layer-1], tree)
				}
				extract(t, tree, want.tar, archive.ExtractOptions{})
				same(t, "tree", describe(t, tree), describe(t, h.trees[layer]))
				extract(t, upper, want.tar, archive.ExtractOptions{Whiteouts: archive.WhiteoutTrusted})
				if strings.Contains(tt.name, "special") && layer > 0 {
					return // sockets do not survive
				}
				h.trees[layer] = tree
				compareDiffs(t, "vfs", h.vfs(t, layer), want)
				uppers = append(uppers, upper)
				again := &history{format: archive.WhiteoutTrusted, uppers: uppers}
				compareDiffs(t, "overlay", again.overlay(t, layer), want)
			}
		})
	}
}

func compareDiffs(t testing.TB, what string, got, want diff) {
	t.Helper()
	same(t, "changes on "+what, got.changes, want.changes)
	if !bytes.Equal(got.tar, want.tar) {
		same(t, "entries on "+what, headers(t, got.tar), headers(t, want.tar))
		t.Errorf("bytes on %s differ", what)
	}
}

func extract(t testing.TB, dir string, tarball []byte, opts archive.ExtractOptions) {
	t.Helper()
	if _, err := archive.Extract(context.Background(), dir, bytes.NewReader(tarball), opts); err != nil {
		t.Fatalf("extract: %v", err)
	}
}

// describe dumps a tree without what a diff does not hold: sockets, and that a
// new name is one of an older file's.
func describe(t testing.TB, dir string) []string {
	t.Helper()
	return slices.DeleteFunc(testutil.Tree(t, dir, testutil.IgnoreRoot, testutil.IgnoreNlink, testutil.CoarseMtime), func(line string) bool {
		return strings.Contains(line, " socket ")
	})
}

// The diff of a container that version 1.63 of the other engines' library made
// on overlay, of its files and with its times, has the digest that it has there.
func TestDiffHasTheOtherEnginesDigest(t *testing.T) {
	testutil.RequireRoot(t)
	lower := build(t, mkdir("/etc", 0o755), mkdir("/opt", 0o755), file("/opt/keep", "x"), mkdir("/srv", 0o755), chown("/srv", 0, 50), chmod("/srv", 0o2775))
	const sec = 1795250627
	upper := build(t, mkdir("/etc", 0o755), file("/etc/new", "new\n"), mkdir("/opt", 0o755), whiteout("/opt/keep"), mkdir("/srv", 0o755), mkdir("/srv/dir", 0o755),
		chown("/srv", 0, 50), chmod("/srv", 0o2775), chown("/srv/dir", 0, 50), chmod("/srv/dir", 0o2755),
		touch("/etc/new", sec, 114892922), touch("/etc", sec, 114892922), touch("/opt/keep", sec, 115496190), touch("/opt", sec, 115496190),
		touch("/srv/dir", sec, 117909930), touch("/srv", sec, 117909930))
	h := &history{format: archive.WhiteoutTrusted, uppers: []string{lower, upper}}
	same(t, "digest", testutil.Digest(h.overlay(t, 1).tar).Encoded(), "22ba0bf95e235caa6a1fb7cdbf97769892d838e7c4e8a3259e15a1571f74386e")
	marks, _ := pack(t, upper, archive.PackOptions{Whiteouts: archive.WhiteoutTrusted, Lowers: []string{lower}})
	same(t, "digest of the form with marks", testutil.Digest(marks).Encoded(), "22ba0bf95e235caa6a1fb7cdbf97769892d838e7c4e8a3259e15a1571f74386e")
}
