package drivertest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// stepsPerLayer is how many changes go into one layer.
const stepsPerLayer = 25

// Random plays one random history of steps changes on two drivers, in a growing tree of
// layers, and fails the test when they disagree. After each layer it compares the merged
// trees (types, modes, owners, times, links, attributes, content), the lists of changes,
// the sizes, and the bytes of the diffs against the parent and against nothing; then it
// applies each driver's diff on the other driver and compares the trees again.
//
// reference is the one that is believed, usually vfs. Both have to be empty and on file
// systems of equal abilities. One seed gives one history; a failure prints both. It has to run as root.
//
// What overlayfs does not do by design is left out of histories: directories of lower layers
// are not renamed, and files of lower layers with several names are left as they are
// (kernel documentation, overlayfs.rst, "Non-standard behavior").
func Random(t testing.TB, reference, other graphdriver.Driver, seed uint64, steps int) {
	t.Helper()
	h := &history{
		TB: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // to be repeatable
		drivers: [2]graphdriver.Driver{reference, other},
	}
	var layers []graphdriver.ID
	for n := 0; n*stepsPerLayer < steps; n++ {
		var parent graphdriver.ID
		if n > 0 { // mostly a chain, sometimes a fork
			parent = layers[max(0, n-1-h.rng.IntN(n)*h.rng.IntN(2)*h.rng.IntN(2))]
		}
		id := graphdriver.ID(fmt.Sprintf("random%03d", n))
		h.layer(id, parent, min(stepsPerLayer, steps-n*stepsPerLayer))
		layers = append(layers, id)
	}
	for n := len(layers) - 1; n >= 0; n-- {
		for _, d := range h.drivers {
			h.must(d.Remove(t.Context(), layers[n]))
		}
	}
}

// history is one run of Random.
type history struct {
	testing.TB
	seed    uint64
	rng     *rand.Rand
	drivers [2]graphdriver.Driver
	log     []string
	clock   int
	// relinked: a file of a lower layer got another name in this one. A tar can not say
	// that, so link counts differ after it is applied.
	relinked bool
}

func (h *history) must(err error) {
	h.Helper()
	if err != nil {
		h.failed(err.Error())
	}
}

func (h *history) failed(what string) {
	h.Helper()
	h.Fatalf("seed %d: %s\nhistory:\n%s", h.seed, what, strings.Join(h.log, "\n"))
}

// same fails when the two drivers differ.
func (h *history) same(what string, reference, other []string) {
	h.Helper()
	if d := differences(reference, other); d != "" {
		h.failed(fmt.Sprintf("%s differs (-%s +%s):\n%s", what, h.drivers[0].Name(), h.drivers[1].Name(), d))
	}
}

// now is the next moment of the history; every fourth has whole seconds.
func (h *history) now() time.Time {
	h.clock++
	at := time.Unix(1_500_000_000+int64(h.clock), 0)
	if h.clock%4 != 0 {
		at = at.Add(time.Duration(h.clock*1_234_567%1_000_000_000) + 1)
	}
	return at
}

// layer makes one layer on both drivers and compares everything.
func (h *history) layer(id, parent graphdriver.ID, steps int) {
	h.Helper()
	h.log = append(h.log, fmt.Sprintf("layer %s on %q", id, parent))
	h.relinked = false
	var dirs [2]string
	for i, d := range h.drivers {
		h.must(d.Create(h.Context(), id, parent, graphdriver.CreateOptions{}))
		dir, err := d.Get(h.Context(), id, graphdriver.MountOptions{})
		h.must(err)
		dirs[i] = dir
	}
	h.change(dirs, steps)
	for _, d := range h.drivers {
		h.must(d.Put(h.Context(), id))
	}
	h.compare(id, parent)
	h.exchange(id, parent)
}

// compare asks both drivers for everything that they can say about a layer.
func (h *history) compare(id, parent graphdriver.ID) {
	h.Helper()
	questions := []struct {
		what   string
		answer func(d graphdriver.Driver) []string
	}{
		{"tree", func(d graphdriver.Driver) []string { return h.tree(d, id) }},
		{"list of changes", func(d graphdriver.Driver) []string { return h.changes(d, id, parent) }},
		{"diff size", func(d graphdriver.Driver) []string { return h.size(d, id, parent) }},
		{"diff", func(d graphdriver.Driver) []string { return h.summary(h.diff(d, id, parent)) }},
		{"whole tree's diff", func(d graphdriver.Driver) []string { return h.summary(h.diff(d, id, "")) }},
	}
	for _, q := range questions {
		h.same(fmt.Sprintf("%s of layer %s", q.what, id), q.answer(h.drivers[0]), q.answer(h.drivers[1]))
	}
}

func (h *history) changes(d graphdriver.Driver, id, parent graphdriver.ID) []string {
	h.Helper()
	list, err := d.Changes(h.Context(), id, parent, graphdriver.DiffOptions{})
	h.must(err)
	return changeLines(list)
}

func (h *history) size(d graphdriver.Driver, id, parent graphdriver.ID) []string {
	h.Helper()
	n, err := d.DiffSize(h.Context(), id, parent, graphdriver.DiffOptions{})
	h.must(err)
	return []string{fmt.Sprint(n)}
}

// summary is the headers of a tar and the digest of all its bytes.
func (h *history) summary(diff []byte) []string {
	h.Helper()
	lines := []string{testutil.Digest(diff).String()}
	for tr := tar.NewReader(bytes.NewReader(diff)); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		h.must(err)
		lines = append(lines, fmt.Sprintf("%q %c %o %d:%d %d %v %q %q", hdr.Name, hdr.Typeflag, hdr.Mode, hdr.Uid, hdr.Gid,
			hdr.Size, hdr.ModTime.UnixNano(), hdr.Linkname, hdr.PAXRecords))
	}
}

func (h *history) tree(d graphdriver.Driver, id graphdriver.ID, opts ...testutil.TreeOption) []string {
	h.Helper()
	dir, err := d.Get(h.Context(), id, graphdriver.MountOptions{})
	h.must(err)
	lines := testutil.Tree(h, dir, append(opts, testutil.IgnoreRoot)...)
	h.must(d.Put(h.Context(), id))
	return lines
}

func (h *history) diff(d graphdriver.Driver, id, parent graphdriver.ID) []byte {
	h.Helper()
	r, err := d.Diff(h.Context(), id, parent, graphdriver.DiffOptions{})
	h.must(err)
	b, err := io.ReadAll(r)
	h.must(errors.Join(err, r.Close()))
	return b
}

// exchange applies each driver's diff on the other one.
func (h *history) exchange(id, parent graphdriver.ID) {
	h.Helper()
	const copied = "copied"
	opts := []testutil.TreeOption{testutil.CoarseMtime} // computed diffs have whole seconds
	if h.relinked {
		opts = append(opts, testutil.IgnoreNlink)
	}
	for i, from := range h.drivers {
		to := h.drivers[1-i]
		h.must(to.Create(h.Context(), copied, parent, graphdriver.CreateOptions{}))
		_, err := to.ApplyDiff(h.Context(), copied, parent, bytes.NewReader(h.diff(from, id, parent)), graphdriver.ApplyOptions{})
		h.must(err)
		if d := differences(h.tree(from, id, opts...), h.tree(to, copied, opts...)); d != "" {
			h.failed(fmt.Sprintf("tree of %s on %s (-), and by way of its diff on %s (+):\n%s", id, from.Name(), to.Name(), d))
		}
		h.must(to.Remove(h.Context(), copied))
	}
}
