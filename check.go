package strata

import (
	"context"
	"slices"
	"time"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// CheckOptions belong to Check.
type CheckOptions struct {
	// Quick leaves out reading layers and data items: only records, names and sizes
	// are compared.
	Quick bool
	// UnreferencedAfter reports layers that nothing needs, once they are older than
	// this; 0 reports none. Such layers are no damage: engines make layers before the
	// image that needs them.
	UnreferencedAfter time.Duration
	// Workers and Progress are those of VerifyOptions.
	Workers  int
	Progress func(VerifyProgress)
}

// CheckReport is what Check found.
type CheckReport struct {
	// Findings are sorted: damaged records, layers, images, containers, each in
	// listing order, then what belongs to no object.
	Findings []Finding
	// Layers, Images and Containers were examined.
	Layers, Images, Containers int
	// Bytes were read.
	Bytes int64

	snap Snapshot
	// layersKnown: the layers' records could be read.
	layersKnown bool
}

// Check examines the whole store and changes nothing on the disk. Shared locks are
// held while the records and the names of directories are read, and not while
// content is; nothing is mounted or unmounted. A sound store that other engines
// use at the same time has no findings. Records that can not be read are a
// finding, and what does not need them is still examined. A cancelled call returns
// the context's error; others come only from reading the store's own directories.
func (s *Store) Check(ctx context.Context, opts CheckOptions) (*CheckReport, error) {
	c := &checker{store: s, opts: opts}
	e, err := s.examine(ctx, func(e *exam) error { return c.names(ctx, e) })
	if err != nil {
		return nil, err
	}
	if err := c.contents(ctx); err != nil {
		return nil, err
	}
	s.measureOrphans(ctx, c.orphans)
	for _, o := range c.orphans {
		c.leftovers = append(c.leftovers, o.finding())
	}
	return c.report(e), nil
}

// checker is one run.
type checker struct {
	store *Store
	opts  CheckOptions
	exam  *exam

	layersOf map[layer.ID]*layer.Layer
	imagesOf map[image.ID]*image.Image
	strays   map[layer.ID]bool // of drafts of the dead
	unproven map[layer.ID]bool // have lost their diff ID

	layers, images, containers []Finding
	leftovers                  []Finding
	orphans                    []Orphan
	bytes                      int64
}

// names is the part that is done with the locks held.
func (c *checker) names(ctx context.Context, e *exam) error {
	c.exam, c.layersOf, c.imagesOf = e, e.layerIndex(), e.imageIndex()
	c.checkClashes()
	c.checkFolders()
	if e.layers {
		if err := c.checkLayers(ctx); err != nil {
			return err
		}
	}
	c.checkImages()
	c.checkContainers()
	if !e.whole() {
		return nil // who knows what the damaged records speak of
	}
	var err error
	c.orphans, err = c.store.orphans(e)
	_, err = e.readable(KindLayer, err) // records that this way of opening the store does not show
	return err
}

// contents reads what the records promise.
func (c *checker) contents(ctx context.Context) error {
	v := newVerifier(c.store, c.exam, VerifyOptions{Workers: c.opts.Workers, Progress: c.opts.Progress})
	v.trees, v.quick = true, c.opts.Quick
	if err := v.choose(ctx, nil); err != nil {
		return err
	}
	if err := v.run(ctx); err != nil {
		return err
	}
	for _, f := range v.sorted() {
		switch {
		case f.Problem == ProblemContentMissing, c.hasNoContent(f): // known from the names
		case f.Kind == KindLayer:
			c.layers = append(c.layers, f)
		case f.Kind == KindImage:
			c.images = append(c.images, f)
		default:
			c.containers = append(c.containers, f)
		}
	}
	c.bytes = v.report.Bytes
	return nil
}

func (c *checker) report(e *exam) *CheckReport {
	order := map[objectKey]int{}
	for i, l := range e.snap.Layers {
		order[objectKey{KindLayer, string(l.ID)}] = i
	}
	for i, one := range e.snap.Images {
		order[objectKey{KindImage, string(one.ID)}] = i
	}
	for i, one := range e.snap.Containers {
		order[objectKey{KindContainer, string(one.ID)}] = i
	}
	listing := func(a, b Finding) int {
		return order[objectKey{a.Kind, a.ID}] - order[objectKey{b.Kind, b.ID}]
	}
	for _, of := range [][]Finding{c.layers, c.images, c.containers} {
		slices.SortStableFunc(of, listing)
	}
	return &CheckReport{
		Findings: slices.Concat(e.findings, c.layers, c.images, c.containers, c.leftovers),
		Layers:   len(e.snap.Layers), Images: len(e.snap.Images), Containers: len(e.snap.Containers),
		Bytes: c.bytes, snap: e.snap, layersKnown: e.layers,
	}
}

// finding is the orphan as Check reports it.
func (o Orphan) finding() Finding {
	f := Finding{
		Kind: o.Kind, ID: o.ID, Problem: ProblemLeftover, Path: o.Path, Reason: o.Reason + ": " + o.Path,
		Bytes: o.Bytes, Repair: RepairCollect,
	}
	if o.sort == orphanLayer {
		f.Problem = ProblemNoRecord
	}
	return f
}

// mountState is the driver's power to ask the kernel, or nil.
func (s *Store) mountState() graphdriver.MountState {
	m, _ := s.driver.get().(graphdriver.MountState)
	return m
}
