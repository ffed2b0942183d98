package overlay

import (
	"os"
	"testing"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/testutil"
)

// TestMendingBesideOthers: a layer is staged without any lock, so the links that it finds
// missing may be those of layers that are just being deleted or made.
func TestMendingBesideOthers(t *testing.T) {
	for _, tt := range []struct {
		name, point string
		// loses: the link of base is lost before.
		loses         bool
		first, second func(t *testing.T, d *driver)
		linked        []graphdriver.ID // afterwards
	}{
		{name: "a layer's directory goes after its link", point: "overlay.trash", first: removeBase, second: stageOnChild, linked: []graphdriver.ID{"child"}},
		{name: "a layer goes before its link is mended", point: "overlay.mend.link", loses: true, first: stageOnChild, second: removeBase, linked: []graphdriver.ID{"child"}},
		{name: "a layer has a link, and no note of it yet", point: "overlay.note", loses: true, first: createNew, second: stageOnChild, linked: []graphdriver.ID{"base", "child", "new"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := root(t)
			d, other := openAt(t, dir), openAt(t, dir)
			layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
			layer(t, d, "child", "base", testutil.Entry{Name: "g", Body: "2"})
			if tt.loses {
				must(t, os.Remove(d.homes[0].symlink(linkFor(t, d, "base"))))
			}
			off := faults.Enable(faults.Rule{Point: tt.point, Under: dir, Times: 1, Do: func() { tt.second(t, other) }})
			tt.first(t, d)
			off()
			of, wrong, err := d.homes[0].links()
			must(t, err)
			same(t, "wrong links", len(wrong), 0)
			same(t, "layers with links", len(of), len(tt.linked))
			for _, id := range tt.linked {
				if l := of[id]; len(l) != 1 || l[0] != linkFor(t, d, id) {
					t.Errorf("%s has the links %v", id, l)
				}
			}
		})
	}
}

func linkFor(t *testing.T, d *driver, id graphdriver.ID) linkID {
	t.Helper()
	link, err := d.homes[0].layer(id).link()
	must(t, err)
	return link
}

func removeBase(t *testing.T, d *driver) {
	t.Helper()
	must(t, d.Remove(t.Context(), "base"))
}

func createNew(t *testing.T, d *driver) {
	t.Helper()
	must(t, d.Create(t.Context(), "new", "", graphdriver.CreateOptions{}))
}

// stageOnChild looks at the ancestors of child; whether base is there by then is not the matter.
func stageOnChild(t *testing.T, d *driver) {
	t.Helper()
	if st, err := d.Stage(t.Context(), "child", graphdriver.CreateOptions{}); err == nil {
		must(t, st.Discard())
	}
}
