package powertest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stratastore/strata/internal/testutil"
)

// materials are the files that commands are fed with, on no disk.
type materials struct {
	archives []string // docker-archives of images that share layers
	tars     []string // layer tars
	items    []string // contents for data items
}

func newMaterials(t *testing.T, dir string) materials {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	var layers [][]byte
	for i := range 5 {
		layers = append(layers, layerTar(t, rng, fmt.Sprintf("l%d", i), 24))
	}
	m := materials{}
	put := func(list *[]string, name string, data []byte) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		*list = append(*list, path)
	}
	for i, stack := range [][]int{{0}, {0, 1}, {0, 1, 2}, {3, 4}} {
		var of [][]byte
		for _, n := range stack {
			of = append(of, layers[n])
		}
		put(&m.archives, fmt.Sprintf("image%d.tar", i), testutil.DockerArchive(t, fmt.Sprintf("localhost/image%d:latest", i), of...))
	}
	for i := range 3 {
		put(&m.tars, fmt.Sprintf("layer%d.tar", i), layerTar(t, rng, fmt.Sprintf("t%d", i), 12))
		put(&m.items, fmt.Sprintf("item%d", i), noise(rng, 100+3000*i))
	}
	return m
}

func noise(rng *rand.Rand, n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data
}

// layerTar is a tree of small files below one name, with links and a whiteout.
func layerTar(t *testing.T, rng *rand.Rand, name string, files int) []byte {
	t.Helper()
	entries := []testutil.Entry{{Name: name + "/"}}
	for i := range files {
		dir := fmt.Sprintf("%s/d%d/", name, i/8)
		if i%8 == 0 {
			entries = append(entries, testutil.Entry{Name: dir})
		}
		entries = append(entries, testutil.Entry{Name: fmt.Sprintf("%sf%d", dir, i), Body: string(noise(rng, rng.IntN(9000))), UID: i, Mode: 0o640})
	}
	entries = append(entries, testutil.Entry{Name: name + "/link", Link: "d0/f0"}, testutil.Entry{Name: name + "/.wh.gone"})
	return testutil.Tar(t, entries...)
}

// chooser picks what a workload does next. It knows the store only by its records.
type chooser struct {
	rng *rand.Rand
	of  materials
	now storeState
	n   int // counts commands, for new names
	// claim, when others work beside this one, tells whether a layer is its to fill.
	claim func(layer string) bool
}

func pick(rng *rand.Rand, from []string) string {
	if len(from) == 0 {
		return ""
	}
	return from[rng.IntN(len(from))]
}

func (c *chooser) one(kind string) string { return pick(c.rng, c.now.ids(kind)) }

// any is an object of any kind.
func (c *chooser) any() string {
	return pick(c.rng, append(append(c.now.ids("image"), c.now.ids("container")...), c.now.ids("layer")...))
}

// verbs are the changing ones, each as often as its place in the list is repeated.
// What they need may be "" where the store has none; the command then fails, which
// is as good.
func (c *chooser) verbs() []func() []string {
	load := func() []string { return []string{"load", pick(c.rng, c.of.archives)} }
	tar := func() string { return pick(c.rng, c.of.tars) }
	name := fmt.Sprintf("name%d", c.rng.IntN(6))
	fresh := fmt.Sprintf("localhost/new%d:latest", c.n)
	item := pick(c.rng, c.of.items)
	key := fmt.Sprintf("key %d", c.rng.IntN(3))
	return []func() []string{
		load, load, load,
		func() []string { return []string{"import", "--name", fresh, tar()} },
		func() []string { return []string{"import-layer", "-f", tar(), c.one("layer")} },
		func() []string { return []string{"create-layer", "--name", name, c.one("layer")} },
		func() []string { return []string{"applydiff", "-f", tar(), c.blank()} },
		func() []string { return []string{"create-image", "--name", fresh, c.ofNoContainer()} },
		func() []string { return []string{"create-container", "--name", name, c.one("image")} },
		func() []string { return []string{"create-container", "--metadata", "m", c.one("image")} },
		func() []string { return []string{"commit", "--name", fresh, c.one("container")} },
		func() []string { return []string{"set-names", "--name", name, c.any()} },
		func() []string { return []string{"add-names", "--name", name, c.any()} },
		func() []string { return []string{"remove-names", "--name", name, c.any()} },
		func() []string { return []string{"set-metadata", "--metadata", fresh, c.any()} },
		func() []string { return []string{"set-image-data", "-f", item, c.one("image"), key} },
		func() []string { return []string{"set-container-data", "-f", item, c.one("container"), key} },
		func() []string { return []string{"set-layer-data", "-f", item, c.one("layer"), key} },
		func() []string { return []string{"delete-container", c.one("container")} },
		func() []string { return []string{"delete-image", c.one("image")} },
		func() []string { return []string{"delete-layer", c.leaf()} },
		func() []string { return []string{"delete", c.one("container")} },
	}
}

// leaf is a layer without children that no image or container has as its own.
func (c *chooser) leaf() string { return c.unused("layer", "image", "container") }

// ofNoContainer is a layer that does not go with a container.
func (c *chooser) ofNoContainer() string { return c.unused("container") }

// unused is a layer that no object of these kinds refers to.
func (c *chooser) unused(by ...string) string {
	used := map[string]bool{}
	for _, kind := range by {
		for _, id := range c.now.ids(kind) {
			r := c.now.record(kind, id)
			for _, key := range []string{"parent", "layer"} {
				if id, ok := r[key].(string); ok {
					used[id] = true
				}
			}
		}
	}
	return pick(c.rng, slices.DeleteFunc(c.now.ids("layer"), func(id string) bool { return used[id] }))
}

// blank is a layer that no diff was applied to: a second one leaves what the first
// has made, which its digests do not speak of.
func (c *chooser) blank() string {
	id := pick(c.rng, slices.DeleteFunc(c.now.ids("layer"), func(id string) bool {
		return c.now.record("layer", id)["diff-digest"] != nil
	}))
	if c.claim != nil && !c.claim(id) {
		return ""
	}
	return id
}

// next is the next command's arguments. Objects are removed more often once there
// are many, so that the disk does not fill up.
func (c *chooser) next() []string {
	c.n++
	if len(c.now) > 40 {
		if id := c.one("image"); id != "" && c.rng.IntN(2) == 0 {
			return []string{"delete-image", id}
		}
		if id := c.one("container"); id != "" {
			return []string{"delete-container", id}
		}
	}
	verbs := c.verbs()
	return verbs[c.rng.IntN(len(verbs))]()
}

// describe is a command for messages.
func describe(args []string) string {
	var out []string
	for _, a := range args {
		out = append(out, filepath.Base(a))
	}
	return strings.Join(out, " ")
}
