package strata

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/layer"
)

// recordClash is a clash in the records of one kind.
type recordClash struct {
	kind Kind
	recordfile.Clash
}

func (e *exam) addClashes(kind Kind, found []recordfile.Clash) {
	for _, c := range found {
		e.clashes = append(e.clashes, recordClash{kind, c})
	}
}

// checkClashes reports what several records of one file have. Of records with one ID
// the engines use the first, a name belongs to the last record that has it (on-disk
// format, 2.3); what loses is gone with the next change of the file.
func (c *checker) checkClashes() {
	for _, clash := range c.exam.clashes {
		f := Finding{
			Kind: clash.kind, ID: clash.ID, Name: clash.Name, ReadOnly: clash.ReadOnly,
			Problem: ProblemClash, Repair: RepairRecord, Bytes: clash.Bytes,
		}
		if clash.Name != "" {
			f.Reason = fmt.Sprintf("its name %q is also that of %s %s, which keeps it", clash.Name, clash.kind, clash.Keeper)
		} else {
			c.sameID(&f, clash.Records)
		}
		if f.keep != "" && !f.ReadOnly {
			c.exam.use(f)
		}
		switch clash.kind {
		case KindLayer:
			c.layers = append(c.layers, f)
		case KindImage:
			c.images = append(c.images, f)
		default:
			c.containers = append(c.containers, f)
		}
	}
}

// use goes on with the record that is to stay: the others say nothing about the store.
func (e *exam) use(f Finding) {
	switch f.Kind {
	case KindLayer:
		i := slices.IndexFunc(e.snap.Layers, func(l layer.Layer) bool { return string(l.ID) == f.ID })
		useRecord(&e.snap.Layers[i].Record, f.keep)
	case KindImage:
		i := slices.IndexFunc(e.snap.Images, func(i image.Image) bool { return string(i.ID) == f.ID })
		useRecord(&e.snap.Images[i].Record, f.keep)
	case KindContainer:
		i := slices.IndexFunc(e.snap.Containers, func(c container.Container) bool { return string(c.ID) == f.ID })
		useRecord(&e.snap.Containers[i].Record, f.keep)
	}
}

func useRecord[R any](to *R, text string) {
	var r R
	if json.Unmarshal([]byte(text), &r) == nil {
		*to = r
	}
}

// sameID chooses the record that stays: the one that what is on the disk fits best, of
// equally good ones the first, which is the one that engines use.
func (c *checker) sameID(f *Finding, records []json.RawMessage) {
	best, most := 0, 0
	for i, text := range records {
		if n := c.fit(f.Kind, text); i == 0 || n > most {
			best, most = i, n
		}
	}
	why := "the first one counts"
	if best > 0 {
		why = fmt.Sprintf("what is on the disk fits number %d", best+1)
	}
	f.Reason = fmt.Sprintf("%d records have its ID; %s", len(records), why)
	lost := append(append([]json.RawMessage{}, records[:best]...), records[best+1:]...)
	text, err := json.Marshal(lost)
	if err != nil {
		return // they were read as JSON
	}
	f.keep, f.lost = string(records[best]), string(text)
}

// fit counts what speaks for a record.
func (c *checker) fit(kind Kind, text json.RawMessage) int {
	switch kind {
	case KindLayer:
		var r layer.Record
		if json.Unmarshal(text, &r) == nil {
			return c.layerFit(&layer.Layer{Record: r})
		}
	case KindImage:
		var r image.Record
		if json.Unmarshal(text, &r) == nil {
			return c.imageFit(image.Image{Record: r})
		}
	case KindContainer:
		var r container.Record
		if json.Unmarshal(text, &r) == nil {
			return c.containerFit(r)
		}
	}
	return -1 << 20
}

func (c *checker) layerFit(l *layer.Layer) (n int) {
	if derived(l) {
		n += 8
	}
	if l.Parent == "" || c.layersOf[l.Parent] != nil {
		n++
	}
	if below, known := c.noted(l.ID); known && below == l.Parent {
		n += 4
	}
	for _, key := range l.BigDataNames {
		f, err := c.store.layers.OpenBigData(*l, key)
		if err != nil {
			n--
			continue
		}
		_ = f.Close() // only opened
		n++
	}
	return n
}

// noted is the layer below by the driver's own notes.
func (c *checker) noted(id layer.ID) (below layer.ID, known bool) {
	p, err := c.store.place(id)
	if err != nil || c.store.driver.name != overlayDriver {
		return "", false
	}
	text, err := atomicfile.Read(filepath.Join(p.dir, "lower"))
	if errors.Is(err, os.ErrNotExist) {
		return "", true
	}
	first, _, _ := strings.Cut(string(text), ":")
	target, linkErr := os.Readlink(filepath.Join(p.home.path, first))
	if err != nil || linkErr != nil {
		return "", false
	}
	to, ok := linkedLayer(target)
	return layer.ID(to), ok
}

func (c *checker) imageFit(i image.Image) (n int) {
	if i.TopLayer == "" || c.layersOf[i.TopLayer] != nil {
		n += 4
	}
	return n + itemsFit(c.store.images.DataDir(i), i.Inventory)
}

func (c *checker) containerFit(r container.Record) (n int) {
	if l := c.layersOf[r.Layer]; l != nil {
		n += 4
		if img := c.imagesOf[r.Image]; img != nil && img.TopLayer == l.Parent {
			n += 4
		}
	}
	return n + itemsFit(c.store.containers.DataDir(r.ID), r.Inventory)
}

// itemsFit compares items with what a record says of them.
func itemsFit(dir string, inventory bigdata.Inventory) (n int) {
	for _, key := range inventory.BigDataNames {
		f, err := bigdata.Open(dir, key)
		if err != nil {
			n--
			continue
		}
		got, _, err := hashItem(f, inventory.BigDataDigests[key], func(int) {})
		if errors.Join(err, f.Close()) != nil || got.size != recordedSize(inventory.BigDataSizes, key) {
			continue
		}
		if want := inventory.BigDataDigests[key]; want == "" || want == got.digest {
			n += 2
		}
	}
	return n
}
