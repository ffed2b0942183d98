package overlay

import (
	"context"
	"fmt"
	"slices"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

var _ graphdriver.StackStager = (*driver)(nil)

// errParentStage: the layer below never became one.
var errParentStage = errdefs.New(errdefs.ErrInvalid, "the stage below was not adopted")

// StageOn is Stage on top of a stage: its short name and those of its ancestors are
// settled already, and do not change by its adoption.
func (d *driver) StageOn(ctx context.Context, parent graphdriver.Staged, opts graphdriver.CreateOptions) (graphdriver.Staged, error) {
	below, ok := parent.(*staged)
	if !ok || below.driver != d || opts.Reown != nil {
		return nil, fmt.Errorf("stage layer on a stage of another driver: %w", errdefs.ErrInvalid)
	}
	if below.over {
		return nil, errOver
	}
	p, err := d.plan(ctx, "", opts)
	if err != nil {
		return nil, err
	}
	if err := d.standOnStage(ctx, p, below); err != nil {
		return nil, err
	}
	s, err := d.stage(p)
	if err != nil {
		return nil, err
	}
	s.below = below
	return s, nil
}

// AdoptAll syncs the directories that name the layers once.
func (d *driver) AdoptAll(ctx context.Context, stack []graphdriver.Staged, ids []graphdriver.ID) error {
	var dirs []string
	for i, one := range stack {
		s, ok := one.(*staged)
		if !ok || s.driver != d || s.over {
			return fmt.Errorf("adopt layer %s: %w", ids[i], errOver)
		}
		if err := s.settle(ctx, ids[i], s.move); err != nil {
			return fmt.Errorf("adopt layer %s: %w", ids[i], err)
		}
		dirs = append(dirs, s.namedIn()...)
	}
	slices.Sort(dirs)
	return d.syncDirs(slices.Compact(dirs)...)
}

// standOnStage takes over what a layer has from its staged parent.
func (d *driver) standOnStage(ctx context.Context, p *plan, below *staged) (err error) {
	p.lower = slices.Concat([]linkID{below.plan.link}, below.plan.lower)
	if err := d.checkDepth(ctx, p); err != nil {
		return err
	}
	if p.root, err = readRoot(below.tree + "/diff"); err != nil {
		return fmt.Errorf("root directory of parent: %w", err)
	}
	return nil
}
