package layer

import (
	"context"
	"io"

	"github.com/stratastore/strata/graphdriver"
)

// stagedContent is where a stage keeps the layer's files: in the driver, or as a
// tar for drivers that can not stage.
type stagedContent interface {
	// apply takes the uncompressed tar.
	apply(ctx context.Context, diff io.Reader) error
	sync(ctx context.Context) error
	// adopt makes it the driver's layer id.
	adopt(ctx context.Context, id ID) error
	// discard removes what has not been adopted; it may be called twice.
	discard() error
}

// newContent prefers a place in the driver.
func (st *Stage) newContent(ctx context.Context) (stagedContent, error) {
	driver := st.store.driver()
	create, err := st.store.creation(st.parent, st.createOptions())
	if err != nil {
		return nil, err
	}
	apply := st.applyOptions()
	stager, ok := driver.(graphdriver.Stager)
	if !ok {
		return &spooled{store: st.store, dir: st.dir.Path(), parent: graphdriver.ID(st.opts.Parent), create: create, opts: apply}, nil
	}
	var staged graphdriver.Staged
	err = healer(st.store.heal).retry(ctx, st.opts.Parent, func() (err error) {
		staged, err = stager.Stage(ctx, graphdriver.ID(st.opts.Parent), create)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &stagedTree{staged: staged, opts: apply}, nil
}

func (st *Stage) createOptions() graphdriver.CreateOptions {
	return graphdriver.CreateOptions{
		Mapping: st.opts.Mapping, MountLabel: st.opts.MountLabel,
		StorageOpt: st.opts.StorageOpt, Image: st.opts.Image,
	}
}

func (st *Stage) applyOptions() graphdriver.ApplyOptions {
	return graphdriver.ApplyOptions{Mapping: st.opts.Mapping, Limits: st.store.opts.Limits}
}

// stagedTree is content that a graphdriver.Stager keeps.
type stagedTree struct {
	staged graphdriver.Staged
	opts   graphdriver.ApplyOptions
}

func (t *stagedTree) apply(ctx context.Context, diff io.Reader) error {
	_, err := t.staged.ApplyDiff(ctx, diff, t.opts)
	return err
}

func (t *stagedTree) sync(ctx context.Context) error { return t.staged.Sync(ctx) }
func (t *stagedTree) discard() error                 { return t.staged.Discard() }

func (t *stagedTree) adopt(ctx context.Context, id ID) error {
	return t.staged.Adopt(ctx, graphdriver.ID(id))
}
