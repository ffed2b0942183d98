package layer

import (
	"context"
	"errors"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

// healer lets the driver mend its notes about the layers below one, which a power
// cut may have taken: only the records know them then. It reports whether
// anything changed.
type healer func(ctx context.Context, id ID) (changed bool, err error)

// retry does something with the driver that depends on id and what is below it,
// and does it once more if it failed for damage that could be mended. An id of ""
// has nothing to mend.
func (heal healer) retry(ctx context.Context, id ID, do func() error) error {
	err := do()
	if id == "" || !errors.Is(err, errdefs.ErrCorrupt) {
		return err
	}
	changed, healErr := heal(ctx, id)
	if healErr != nil || !changed {
		return errors.Join(err, healErr)
	}
	return do()
}

// heal is the healer for whoever holds a transaction: nobody creates or deletes
// layers meanwhile.
func (tx *ReadTx) heal(ctx context.Context, id ID) (changed bool, err error) {
	driver, ok := tx.store.driver().(graphdriver.Healer)
	if !ok {
		return false, nil
	}
	stack, err := tx.Chain(id)
	if err != nil {
		return false, err
	}
	chain := make([]graphdriver.ID, len(stack))
	for i := range stack {
		chain[i] = graphdriver.ID(stack[i].ID)
	}
	changed, err = driver.Heal(ctx, chain)
	if changed {
		tx.store.opts.Logger.WarnContext(ctx, "mended what the driver notes about a layer's ancestors", "layer", id)
	}
	return changed, err
}

// heal is the healer for work without a lock.
func (s *Store) heal(ctx context.Context, id ID) (changed bool, err error) {
	if _, ok := s.driver().(graphdriver.Healer); !ok {
		return false, nil
	}
	tx, err := s.View(ctx)
	if err != nil {
		return false, err
	}
	defer closing(&err, tx)
	return tx.heal(ctx, id)
}
