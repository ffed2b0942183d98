package overlay

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// The layers of testdata/plain-overlay.
const (
	fixBase    graphdriver.ID = "46f2a35598c2d1cfca44852daf0938188131ccf7287200da22691684434dd260"
	fixMiddle  graphdriver.ID = "b35773fa309d95edb305ac20854c803c165ee5141db2fc1920724b4dce3b1f4c"
	fixTop     graphdriver.ID = "b9a5fc7580f7faa3c7d847b2441b28727425a92c33bcb40d47a3951217b57a16"
	fixPlain   graphdriver.ID = "ed6c8464f6e0fb2e15533b1b44c3ca94ffab64c62ed9abbc8a9b123eacaf7e1b"
	fixChanged graphdriver.ID = "f48a0805172b719881dc9e873d7c32a19ff0f754281a395764d53df7fc93a5be"
	fixCopy    graphdriver.ID = "85bf70f4089786d81ca0c36cd4ac91cf7cd7a4333f3f0f25cdc86dce6953cef4"
	fixMapped  graphdriver.ID = "d2143cb1eb694d62c87bc7570cb0dc30d79aeb9aa7e75637481763de119db538"
	fixLonely  graphdriver.ID = "b64d3ff0c89b380f3f6b96dbb60cc3bc7ca18ad37c411756af0c1ead300fda02"
	fixFleet   graphdriver.ID = "6e0ea865a36bfa2dc50fdf55d8f786d79072a09c64a9dca1c7d656f749358182"
)

// fixChains are the layers with their recorded ancestors, nearest first.
var fixChains = [][]graphdriver.ID{
	{fixBase}, {fixMiddle, fixBase}, {fixTop, fixMiddle, fixBase}, {fixPlain, fixTop, fixMiddle, fixBase},
	{fixChanged, fixTop, fixMiddle, fixBase}, {fixCopy, fixMiddle, fixBase}, {fixMapped, fixCopy, fixMiddle, fixBase},
	{fixLonely}, {fixFleet, fixTop, fixMiddle, fixBase},
}

// section returns the lines of one "== title" part of expected.txt.
func section(t *testing.T, path, title string) []string {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, path), "== "+title+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", path, title)
	}
	rest, _, _ = strings.Cut(rest, "\n== ")
	return strings.Split(strings.TrimSpace(rest), "\n")
}

// TestStoreOfAnotherEngine opens layers that strata did not make.
func TestStoreOfAnotherEngine(t *testing.T) {
	graph := unpack(t, "plain-overlay")
	d := openAt(t, graph)
	ids, err := d.List(t.Context())
	must(t, err)
	var want []graphdriver.ID
	for _, chain := range fixChains {
		want = append(want, chain[0])
	}
	slices.Sort(want)
	same(t, "layers", ids, want)
	same(t, "changes of c-changed", changes(t, d, fixChanged, fixTop),
		section(t, filepath.Join(graph, "../expected.txt"), "changes of c-changed"))
	same(t, "changes of c-plain", changes(t, d, fixPlain, fixTop), []string{})
	for _, chain := range fixChains {
		var parent graphdriver.ID
		if len(chain) > 1 {
			parent = chain[1]
		}
		mounted(t, d, chain[0], graphdriver.MountOptions{}, func(dir string) {
			whole := names(t, dir)
			mounted(t, openAt(t, graph), chain[0], graphdriver.MountOptions{ReadOnly: true}, func(string) {}) // counted only
			if len(whole) == 0 && chain[0] != fixLonely {
				t.Errorf("layer %s is empty", chain[0])
			}
		})
		if len(diff(t, d, chain[0], parent)) < 1024 {
			t.Errorf("diff of %s is no tar", chain[0])
		}
		if changed, err := d.Heal(t.Context(), chain); changed || err != nil {
			t.Errorf("heal sound chain of %s: changed %v, %v", chain[0], changed, err)
		}
	}
	mounted(t, d, fixMapped, graphdriver.MountOptions{}, func(dir string) {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dir, "etc/os-release"), &st))
		same(t, "owner of a file in the copy", []uint32{st.Uid, st.Gid}, []uint32{100000, 100000})
	})
}

// trees dumps all layers of a fixture. Owners of what the dump does to times do not matter.
func trees(t *testing.T, d graphdriver.Driver) map[graphdriver.ID][]string {
	t.Helper()
	all := map[graphdriver.ID][]string{}
	for _, chain := range fixChains {
		all[chain[0]] = tree(t, d, chain[0])
	}
	return all
}

// TestDamagedStores: everything that the damage does not touch is unchanged, and what it does
// touch is mended or refused.
func TestDamagedStores(t *testing.T) {
	sound := trees(t, openAt(t, unpack(t, "plain-overlay")))
	tests := []struct {
		fixture string
		// refused are layers that can not be mounted before their chain is healed.
		refused []graphdriver.ID
	}{
		{"damaged-empty-lower", []graphdriver.ID{fixMiddle}},
		{"damaged-empty-link", nil},
		{"damaged-no-links", nil},
		{"damaged-stale-count", nil},
	}
	for _, tt := range tests {
		t.Run(tt.fixture, func(t *testing.T) {
			graph := unpack(t, tt.fixture)
			d := openAt(t, graph)
			for _, chain := range fixChains {
				if !slices.Contains(tt.refused, chain[0]) {
					same(t, "layer "+string(chain[0]), tree(t, d, chain[0]), sound[chain[0]])
					continue
				}
				wantDamage(t, d, chain[0])
				changed, err := d.Heal(t.Context(), chain)
				must(t, err)
				same(t, "healed", changed, true)
				same(t, "healed layer "+string(chain[0]), tree(t, d, chain[0]), sound[chain[0]])
			}
			must(t, d.Create(t.Context(), "new", fixBase, graphdriver.CreateOptions{}))
			same(t, "new child of the base layer", tree(t, d, "new"), sound[fixBase])
			must(t, d.Remove(t.Context(), "new"))
			for _, chain := range slices.Backward(fixChains) {
				must(t, d.Remove(t.Context(), chain[0]))
			}
			left, err := os.ReadDir(d.homes[0].linkDir())
			must(t, err)
			same(t, "links after all layers are gone", len(left), 0)
		})
	}
}

// wantDamage: nothing that needs the layer's ancestors goes on.
func wantDamage(t *testing.T, d *driver, id graphdriver.ID) {
	t.Helper()
	_, get := d.Get(t.Context(), id, graphdriver.MountOptions{})
	_, changes := d.Changes(t.Context(), id, "", graphdriver.DiffOptions{})
	_, metadata := d.Metadata(t.Context(), id)
	create := d.Create(t.Context(), "on-damage", id, graphdriver.CreateOptions{})
	_, stage := d.Stage(t.Context(), id, graphdriver.CreateOptions{})
	for call, err := range map[string]error{"Get": get, "Changes": changes, "Metadata": metadata, "Create": create, "Stage": stage} {
		var damage *DamageError
		if !errors.As(err, &damage) || !errors.Is(err, errdefs.ErrCorrupt) || errdefs.Hint(err) == "" {
			t.Errorf("%s of layer %s: %v, want a DamageError with a hint", call, id, err)
		}
	}
	if ok, err := d.Exists(t.Context(), id); !ok || err != nil {
		t.Errorf("layer %s exists: %v, %v", id, ok, err)
	}
	if ok, err := d.Exists(t.Context(), "on-damage"); ok || err != nil {
		t.Errorf("layer on a damaged one exists: %v, %v", ok, err)
	}
}

// chainOf makes the layers "base", "b" on it, "c" on that, and "top", each with a file.
func chainOf(t *testing.T, d *driver) []graphdriver.ID {
	t.Helper()
	var chain []graphdriver.ID
	var parent graphdriver.ID
	for _, id := range []graphdriver.ID{"base", "b", "c", "top"} {
		layer(t, d, id, parent, testutil.Entry{Name: "of-" + string(id), Body: string(id)})
		chain = slices.Insert(chain, 0, id)
		parent = id
	}
	return chain
}

// TestDamageIsSeen: each way of losing part of a list, with and without the records' help.
func TestDamageIsSeen(t *testing.T) {
	rename := func(t *testing.T, from, to string) { must(t, os.Rename(from, to)) }
	remove := func(t *testing.T, path string) { must(t, os.Remove(path)) }
	tests := []struct {
		name   string
		damage func(t *testing.T, of func(id, name string) string)
		// seen are the layers that must not be mounted any more.
		seen []graphdriver.ID
		// stays: the records can not help.
		stays bool
	}{
		{"empty list", func(t *testing.T, of func(id, name string) string) { write(t, of("top", "lower"), "") }, []graphdriver.ID{"top"}, false},
		{"list of zeros", func(t *testing.T, of func(id, name string) string) {
			write(t, of("c", "lower"), strings.Repeat("\x00", 57))
		}, []graphdriver.ID{"c"}, false},
		{"missing list", func(t *testing.T, of func(id, name string) string) { remove(t, of("top", "lower")) }, []graphdriver.ID{"top"}, false},
		{"list cut in an entry", func(t *testing.T, of func(id, name string) string) {
			write(t, of("top", "lower"), read(t, of("top", "lower"))[:50])
		}, []graphdriver.ID{"top"}, false},
		{"list cut behind an entry", func(t *testing.T, of func(id, name string) string) {
			write(t, of("top", "lower"), read(t, of("top", "lower"))[:57])
		}, []graphdriver.ID{"top"}, false},
		{"list cut to its first entry", func(t *testing.T, of func(id, name string) string) {
			write(t, of("top", "lower"), read(t, of("top", "lower"))[:28])
		}, []graphdriver.ID{"top"}, false},
		{"list in the middle cut", func(t *testing.T, of func(id, name string) string) {
			write(t, of("c", "lower"), read(t, of("c", "lower"))[:28])
		}, []graphdriver.ID{"c"}, false},
		{"all lists cut to their first entries", func(t *testing.T, of func(id, name string) string) {
			for _, id := range []string{"c", "top"} {
				write(t, of(id, "lower"), read(t, of(id, "lower"))[:28])
			}
		}, []graphdriver.ID{"c", "top"}, false},
		{"all lists empty", func(t *testing.T, of func(id, name string) string) {
			for _, id := range []string{"b", "c", "top"} {
				write(t, of(id, "lower"), "")
			}
		}, []graphdriver.ID{"b", "c", "top"}, false},
		{"a child made by an old engine on an empty list", func(t *testing.T, of func(id, name string) string) {
			write(t, of("c", "lower"), "")
			write(t, of("top", "lower"), "l/"+read(t, of("c", "link"))+":")
		}, []graphdriver.ID{"c", "top"}, false},
		{"a list of its own with the parent's empty", func(t *testing.T, of func(id, name string) string) {
			write(t, of("c", "lower"), "")
			write(t, of("top", "lower"), "l/"+read(t, of("c", "link")))
		}, []graphdriver.ID{"c", "top"}, false},
		{"another layer's list", func(t *testing.T, of func(id, name string) string) {
			write(t, of("top", "lower"), "l/"+read(t, of("c", "link"))+":l/"+read(t, of("base", "link"))+":l/"+read(t, of("b", "link")))
		}, []graphdriver.ID{"top"}, true},
		{"empty name", func(t *testing.T, of func(id, name string) string) { write(t, of("b", "link"), "") }, nil, false},
		{"missing link", func(t *testing.T, of func(id, name string) string) { remove(t, of("l", read(t, of("b", "link")))) }, nil, false},
		{"missing link beside another name", func(t *testing.T, of func(id, name string) string) {
			remove(t, of("l", read(t, of("b", "link"))))
			must(t, os.Symlink("../b/diff", of("l", string(linkA))))
		}, nil, false},
		{"link of another form", func(t *testing.T, of func(id, name string) string) {
			link := of("l", read(t, of("b", "link")))
			remove(t, link)
			must(t, os.Symlink(of("b", "diff"), link))
		}, nil, false},
		{"missing link directory", func(t *testing.T, of func(id, name string) string) {
			rename(t, of("", "l"), of("", ".lost"))
		}, nil, false},
		{"missing link and empty name", func(t *testing.T, of func(id, name string) string) {
			remove(t, of("l", read(t, of("b", "link"))))
			write(t, of("b", "link"), "")
		}, []graphdriver.ID{"c", "top"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := openAt(t, root(t))
			chain := chainOf(t, d)
			want := tree(t, d, "top")
			home := d.homes[0].path
			tt.damage(t, func(id, name string) string { return filepath.Join(home, id, name) })
			for _, id := range tt.seen {
				wantDamage(t, d, id)
			}
			if !slices.Contains(tt.seen, "top") {
				same(t, "top", tree(t, d, "top"), want)
			}
			_, err := d.Heal(t.Context(), chain)
			if tt.stays {
				if !errors.Is(err, errdefs.ErrCorrupt) {
					t.Errorf("heal: %v, want ErrCorrupt", err)
				}
				wantDamage(t, d, "top")
				return
			}
			must(t, err)
			same(t, "top, healed", tree(t, d, "top"), want)
			for i, id := range chain {
				same(t, "files in "+string(id), len(tree(t, d, id)), len(chain)-i)
			}
			if changed, err := d.Heal(t.Context(), chain); changed || err != nil {
				t.Errorf("heal again: changed %v, %v", changed, err)
			}
		})
	}
}

// TestHealKeepsCopies: the list of a copy with other owners begins with its template, which is
// not in the records' chain.
func TestHealKeepsCopies(t *testing.T) {
	d := openAt(t, root(t))
	layer(t, d, "base", "", testutil.Entry{Name: "low", Body: "1"})
	layer(t, d, "image", "base", testutil.Entry{Name: "f", Body: "template"})
	layer(t, d, "copy", "image", testutil.Entry{Name: "f", Body: "re-owned"})
	copied := d.homes[0].layer("copy")
	must(t, os.Rename(copied.diff(), copied.path("diff1")))
	must(t, os.Mkdir(copied.diff(), 0o555))
	must(t, d.Create(t.Context(), "container", "copy", graphdriver.CreateOptions{}))
	chain := []graphdriver.ID{"container", "copy", "base"}
	lower := read(t, copied.path("lower"))
	if changed, err := d.Heal(t.Context(), chain); changed || err != nil {
		t.Errorf("sound chain: changed %v, %v", changed, err)
	}
	write(t, d.homes[0].layer("container").path("lower"), "")
	changed, err := d.Heal(t.Context(), chain)
	must(t, err)
	same(t, "changed", changed, true)
	same(t, "list of the copy", read(t, copied.path("lower")), lower)
	mounted(t, d, "container", graphdriver.MountOptions{}, func(dir string) {
		same(t, "content", read(t, filepath.Join(dir, "f")), "re-owned")
	})
	write(t, copied.path("lower"), "")
	if _, err := d.Heal(t.Context(), chain); !errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("a copy without its list: %v", err)
	}
}
