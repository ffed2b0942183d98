package layer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/tempdir"
)

// CanStack reports whether StageOn works with the driver.
func (s *Store) CanStack() bool {
	_, ok := s.driver().(graphdriver.StackStager)
	return ok
}

// StageOn is Stage on top of a layer that is staged itself, so that all layers of an
// image can be staged, synced once and adopted together by AdoptStack. opts.Parent
// has no meaning. The blob must not be nil. errdefs.ErrUnsupported for drivers that
// can not do it, and for another mapping than that of the stage below.
func (s *Store) StageOn(ctx context.Context, below *Stage, opts StageOptions, blob io.Reader) (*Stage, error) {
	driver, can := s.driver().(graphdriver.StackStager)
	tree, inDriver := below.content.(*stagedTree)
	switch {
	case blob == nil || below.store != s || below.adopted:
		return nil, fmt.Errorf("stage layer: %w", errForeignStage)
	case !can || !inDriver || !opts.Mapping.Equal(below.opts.Mapping):
		return nil, fmt.Errorf("stage layer on a staged one with this driver: %w", errdefs.ErrUnsupported)
	}
	dir, err := tempdir.New(s.tempRoot())
	if err != nil {
		return nil, err
	}
	opts.Parent = ""
	st := &Stage{store: s, opts: opts, on: below, dir: dir}
	staged, err := driver.StageOn(ctx, tree.staged, st.createOptions())
	if err == nil {
		st.content = &stagedTree{staged: staged, opts: st.applyOptions()}
		err = st.read(ctx, blob)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("stage layer: %w", err), st.Discard())
	}
	return st, nil
}

// Adoption is one layer of a stack on its way in; see WriteTx.Adopt for what the
// options mean. ID is required.
type Adoption struct {
	Stage   *Stage
	Options CreateOptions
}

// AdoptStack is Adopt for layers that were staged on each other, the lowest first:
// all are synced, which is one flush for all of them, all flagged records are saved
// at once, then the trees are renamed into place, and all records get their digests.
//
// Errors are Adopt's, about the first layer that has one. After an error none is there.
func (tx *WriteTx) AdoptStack(ctx context.Context, stack ...Adoption) ([]Layer, error) {
	if tx.closed {
		return nil, ErrTxClosed
	}
	s := &stackAdoption{tx: tx, stack: stack}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	if err := s.flag(ctx); err != nil {
		return nil, err
	}
	if err := s.fill(ctx); err != nil {
		return nil, errors.Join(err, tx.undo(context.WithoutCancel(ctx), s.ids...))
	}
	tx.changed()
	layers := make([]Layer, len(s.ids))
	for i, id := range s.ids {
		l, err := tx.Get(id)
		if err != nil {
			return nil, err
		}
		layers[i] = l
	}
	return layers, nil
}

// stackAdoption is one call of AdoptStack.
type stackAdoption struct {
	tx      *WriteTx
	stack   []Adoption
	records []Record // as they will be
	ids     []ID
}

// prepare checks what can be checked before anything changes.
func (s *stackAdoption) prepare(ctx context.Context) error {
	for i, a := range s.stack {
		if err := s.check(ctx, i, a); err != nil {
			return fmt.Errorf("adopt layer %s: %w", a.Options.ID, err)
		}
	}
	return nil
}

func (s *stackAdoption) check(ctx context.Context, i int, a Adoption) error {
	st, opts := a.Stage, a.Options
	opts.Parent, opts.Mapping, opts.Image = st.below(), st.opts.Mapping, st.opts.Image
	opts.MountLabel = st.opts.MountLabel
	if st.store != s.tx.store || st.adopted || opts.ID == "" {
		return errForeignStage
	}
	if (i == 0) != (st.on == nil) || i > 0 && st.on != s.stack[i-1].Stage {
		return fmt.Errorf("not staged on the layer before: %w", errdefs.ErrInvalid)
	}
	if err := st.Sync(ctx); err != nil {
		return err
	}
	if err := s.tx.sameParent(st); err != nil {
		return err
	}
	r := opts.record()
	if err := s.tx.free(&r); err != nil { // with no parent yet, for all but the first
		return err
	}
	if err := s.tx.clearLeftovers(ctx, r.ID); err != nil {
		return err
	}
	if i > 0 {
		r.Parent = s.ids[i-1]
	}
	st.describe(&r)
	s.records, s.ids = append(s.records, r), append(s.ids, r.ID)
	return nil
}

// flag saves the records, marked as incomplete. After an error none is there, but
// perhaps flagged ones on the disk.
func (s *stackAdoption) flag(ctx context.Context) error {
	var inserted []ID
	var err error
	for i, r := range s.records {
		r.setIncomplete()
		if err = s.tx.records.Insert(s.tx.store.fileFor(s.options(i)), r); err != nil {
			break
		}
		inserted = append(inserted, r.ID)
	}
	s.tx.changed()
	if err == nil {
		err = s.tx.records.Save(ctx)
	}
	if err == nil {
		s.tx.made = append(s.tx.made, s.ids...)
		return nil
	}
	errs := []error{fmt.Errorf("create layers: %w", err)}
	for _, id := range inserted {
		errs = append(errs, s.tx.drop(id))
	}
	return errors.Join(errs...)
}

// options are those that fileFor asks for.
func (s *stackAdoption) options(i int) CreateOptions {
	opts := s.stack[i].Options
	opts.Image = s.stack[i].Stage.opts.Image
	return opts
}

// fill moves the content into place and takes the flags away.
func (s *stackAdoption) fill(ctx context.Context) error {
	for i, a := range s.stack {
		if err := s.tx.store.writeData(s.ids[i], a.Options.BigData); err != nil {
			return fmt.Errorf("create layer %s: %w", s.ids[i], err)
		}
	}
	if err := faults.Hit("layer.trees", s.tx.store.opts.GraphDir); err != nil {
		return fmt.Errorf("create layers: %w", err)
	}
	if err := s.adoptTrees(ctx); err != nil {
		return fmt.Errorf("create layers: %w", err)
	}
	if err := s.adoptSplits(); err != nil {
		return fmt.Errorf("create layers: %w", err)
	}
	for i, id := range s.ids {
		flags := s.records[i].Flags
		if err := s.tx.records.Update(string(id), func(r *Record) error { r.Flags = flags; return nil }); err != nil {
			return fmt.Errorf("create layer %s: %w", id, err)
		}
	}
	return nil
}

// adoptTrees makes the staged trees the driver's layers.
func (s *stackAdoption) adoptTrees(ctx context.Context) error {
	var trees []graphdriver.Staged
	var ids []graphdriver.ID
	for i, a := range s.stack {
		a.Stage.adopted = true
		if tree, ok := a.Stage.content.(*stagedTree); ok {
			trees, ids = append(trees, tree.staged), append(ids, graphdriver.ID(s.ids[i]))
		}
	}
	if driver, ok := s.tx.store.driver().(graphdriver.StackStager); ok && len(trees) == len(s.stack) {
		return driver.AdoptAll(ctx, trees, ids)
	}
	for i, a := range s.stack { // one: StageOn makes no others here
		if err := a.Stage.content.adopt(ctx, s.ids[i]); err != nil {
			return err
		}
	}
	return nil
}

// adoptSplits renames the tar-splits into place and syncs their directory once.
func (s *stackAdoption) adoptSplits() error {
	store := s.tx.store
	renamed := false
	for i, a := range s.stack {
		if a.Stage.split == nil {
			continue
		}
		if err := a.Stage.split.adopt(store.opts.GraphDir, s.ids[i], false); err != nil {
			return err
		}
		renamed = true
	}
	if !renamed || !store.durable() {
		return nil
	}
	return atomicfile.SyncDir(store.opts.GraphDir)
}
