package strata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/layer"
)

// linkTable is what overlay's small files say (on-disk format, 4.1, 4.3).
type linkTable struct {
	// of is a layer by its short name, from the links and from the layers' own files.
	of map[string]layer.ID
	// linked are the short names whose link is there and leads to a layer.
	linked map[string]layer.ID
	// named are the layers that have such a link.
	named map[layer.ID]bool
}

// checkLinks examines overlay's notes about what stands on what. The driver mends
// most of that itself; what it could not is damage.
func (c *checker) checkLinks() error {
	if c.store.driver.name != overlayDriver {
		return nil
	}
	table, err := c.store.links(c.exam.snap.Layers)
	if err != nil {
		return err
	}
	for i := range c.exam.snap.Layers {
		l := &c.exam.snap.Layers[i]
		if c.layersOf[l.ID] != l || l.Incomplete() {
			continue
		}
		p, err := c.store.place(l.ID)
		if err != nil {
			continue // reported already
		}
		c.wrongParent(table, l, p)
		for _, reason := range c.linkReasons(table, l, p) {
			repair := RepairRelink
			if p.home.readOnly {
				repair = RepairNone
			}
			c.layerIs(l, ProblemLinks, repair, "%s", reason)
		}
	}
	return nil
}

// links reads all links of all homes.
func (s *Store) links(layers []layer.Layer) (*linkTable, error) {
	t := &linkTable{of: map[string]layer.ID{}, linked: map[string]layer.ID{}, named: map[layer.ID]bool{}}
	for _, home := range s.driverHomes() {
		if linksElsewhere(home.path) {
			continue
		}
		entries, err := list(filepath.Join(home.path, "l"))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			t.addLink(home.path, e.Name())
		}
	}
	for _, l := range layers {
		if p, err := s.place(l.ID); err == nil {
			if name, err := atomicfile.Read(filepath.Join(p.dir, "link")); err == nil && len(name) > 0 {
				t.of[strings.TrimRight(string(name), "\n")] = l.ID
			}
		}
	}
	return t, nil
}

// linksElsewhere reports whether the folder of the short links is none, but leads somewhere
// else: what lies there is not the store's.
func linksElsewhere(home string) bool {
	info, err := os.Lstat(filepath.Join(home, "l"))
	return err == nil && !info.IsDir()
}

func (t *linkTable) addLink(home, name string) {
	target, err := os.Readlink(filepath.Join(home, "l", name))
	if err != nil {
		return
	}
	id, ok := linkedLayer(target)
	if !ok {
		return
	}
	t.of[name] = layer.ID(id)
	if _, err := os.Lstat(filepath.Join(home, id)); err == nil {
		t.linked[name], t.named[layer.ID(id)] = layer.ID(id), true
	}
}

// linkLength is the length of a short name.
const linkLength = 26

// linkReasons says what is wrong with one layer's notes.
func (c *checker) linkReasons(t *linkTable, l *layer.Layer, p layerPlace) (reasons []string) {
	text, err := atomicfile.Read(filepath.Join(p.dir, "link"))
	name := strings.TrimRight(string(text), "\n")
	switch {
	case linksElsewhere(p.home.path):
		reasons = append(reasons, "the folder of its short link, l, is no directory")
	case errors.Is(err, fs.ErrNotExist):
		reasons = append(reasons, "its file \"link\" is missing")
	case isPassing(err):
		c.layerIs(l, ProblemUnreadable, RepairNone, "%v", err)
	case err != nil:
		reasons = append(reasons, err.Error())
	case len(name) != linkLength:
		reasons = append(reasons, fmt.Sprintf("its file \"link\" is damaged: %.40q", name))
	case t.linked[name] != l.ID:
		reasons = append(reasons, fmt.Sprintf("its short link l/%s is missing", name))
	}
	if reason := c.lowerReason(t, l, p); reason != "" {
		reasons = append(reasons, reason)
	}
	return reasons
}

// lowerReason compares the list of ancestors with the records.
func (c *checker) lowerReason(t *linkTable, l *layer.Layer, p layerPlace) string {
	want := stackOf(l.ID, c.layersOf)[1:]
	text, err := atomicfile.Read(filepath.Join(p.dir, "lower"))
	switch {
	case errors.Is(err, fs.ErrNotExist) && l.Parent == "":
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return "its list of layers below, the file \"lower\", is missing"
	case isPassing(err):
		c.layerIs(l, ProblemUnreadable, RepairNone, "%v", err)
		return ""
	case err != nil:
		return err.Error()
	case len(text) == 0:
		return "its list of layers below, the file \"lower\", is empty"
	}
	return c.compareLower(t, l, p, strings.Split(string(text), ":"), want)
}

// compareLower goes through both lists. Below a copy with other owners the list has
// one more entry: what it was copied from (on-disk format, 4.6).
func (c *checker) compareLower(t *linkTable, l *layer.Layer, p layerPlace, entries []string, want []layer.ID) string {
	isCopy := len(p.copies) > 0
	at := 0
	for _, id := range want {
		if isCopy && at < len(entries) && !t.entryIs(entries[at], id) {
			at++
		}
		if at >= len(entries) {
			return fmt.Sprintf("its file \"lower\" lists %d layers below, the records %d", len(entries), len(want))
		}
		if !wellFormed(entries[at]) {
			return fmt.Sprintf("its file \"lower\" is damaged at entry %d: %.40q", at, entries[at])
		}
		if !t.entryIs(entries[at], id) {
			return fmt.Sprintf("its file \"lower\" has another layer than %s at entry %d", id, at)
		}
		below, err := c.store.place(id)
		isCopy = err == nil && len(below.copies) > 0
		at++
	}
	if isCopy && at < len(entries) {
		at++
	}
	if at < len(entries) && c.rooted(want, l) {
		return fmt.Sprintf("its file \"lower\" lists %d layers below, the records %d", len(entries), len(want))
	}
	return ""
}

func wellFormed(entry string) bool {
	name, ok := strings.CutPrefix(entry, "l/")
	return ok && len(name) == linkLength
}

// entryIs reports whether an entry of a list stands for the layer, or may: a lost link is
// reported about its own layer. An entry that leads nowhere is wrong where the layer has a link.
func (t *linkTable) entryIs(entry string, id layer.ID) bool {
	if is, ok := t.of[strings.TrimPrefix(entry, "l/")]; ok {
		return is == id
	}
	return !t.named[id]
}

// rooted reports whether the records lead down to a layer without a parent.
func (c *checker) rooted(below []layer.ID, l *layer.Layer) bool {
	last := l
	if len(below) > 0 {
		last = c.layersOf[below[len(below)-1]]
	}
	return last.Parent == ""
}
