package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

// whole changes a layer at once. When it fails, the layer is as it was, or as wanted.
func (a *application) whole(ctx context.Context, tx *WriteTx, driver graphdriver.Restager, r *Record) error {
	err := a.restage(ctx, driver, r)
	if a.staged == nil && errors.Is(err, errdefs.ErrUnsupported) {
		return a.inPlace(ctx, tx, r)
	}
	if err != nil {
		return err
	}
	x, err := a.plan(ctx, driver, r)
	if err != nil {
		return err
	}
	if x.Old.empty() && x.New.empty() && !x.OldSplit && !x.NewSplit {
		return a.staged.Replace(ctx, graphdriver.ID(a.id)) // nothing that has to agree with the files
	}
	err = a.exchange(ctx, tx, x)
	ctx = context.WithoutCancel(ctx)
	if err == nil {
		if err = a.store.settle(ctx, tx.records, a.id); err == nil {
			return nil
		}
	}
	return errors.Join(err, a.giveUp(ctx, tx))
}

// restage unpacks the diff beside the layer.
func (a *application) restage(ctx context.Context, driver graphdriver.Restager, r *Record) error {
	err := a.restageOnto(ctx, driver, r, false)
	if !errors.Is(err, archive.ErrShared) {
		return err
	}
	if err := a.staged.Discard(); err != nil {
		return err
	}
	if _, err := a.tar.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return a.restageOnto(ctx, driver, r, true)
}

func (a *application) restageOnto(ctx context.Context, driver graphdriver.Restager, r *Record, apart bool) error {
	staged, err := driver.Restage(ctx, graphdriver.ID(a.id), apart)
	if err != nil {
		return err
	}
	a.staged = staged
	if a.content, err = staged.ApplyDiff(ctx, a.tar, a.applyOptions(r)); err != nil || !a.store.durable() {
		return err
	}
	return staged.Sync(ctx)
}

// plan says what is to be exchanged for what.
func (a *application) plan(ctx context.Context, driver graphdriver.Restager, r *Record) (x exchange, err error) {
	x = exchange{State: exchangeBegun, Old: contentOf(r), NewSplit: a.split != nil}
	if !a.anonymous {
		next := Record{}
		next.setIngested(a.in)
		x.New = contentOf(&next)
	}
	p, err := a.store.splitsOf(a.id)
	if err != nil {
		return x, err
	}
	if x.OldSplit, err = isThere(p.final); err != nil {
		return x, err
	}
	if x.OldFiles, err = driver.Generation(ctx, graphdriver.ID(a.id)); err != nil {
		return x, err
	}
	x.NewFiles, err = a.staged.Generation()
	return x, err
}

// exchange does all but what settle does. Each step is on the disk before the next one.
func (a *application) exchange(ctx context.Context, tx *WriteTx, x exchange) error {
	if err := a.announce(ctx, tx, x); err != nil {
		return err
	}
	p, err := a.store.splitsOf(a.id)
	if err != nil {
		return err
	}
	if x.NewSplit {
		if err := a.split.moveTo(p.new); err != nil {
			return err
		}
	}
	if x.OldSplit {
		if err := faults.Hit("layer.exchange.split", a.store.opts.GraphDir); err != nil {
			return err
		}
		if err := os.Rename(p.final, p.old); err != nil {
			return fmt.Errorf("put old tar-split aside: %w", err)
		}
	}
	if a.store.durable() {
		if err := atomicfile.SyncDir(a.store.opts.GraphDir); err != nil {
			return err
		}
	}
	return a.staged.Replace(ctx, graphdriver.ID(a.id))
}

// announce saves the record with the plan and without digests.
func (a *application) announce(ctx context.Context, tx *WriteTx, x exchange) error {
	var flagErr error
	err := tx.update(a.id, func(r *Record) {
		content{}.set(r)
		flagErr = r.setExchange(&x)
	})
	if err := errors.Join(err, flagErr); err != nil {
		return err
	}
	return tx.records.Save(ctx)
}

// giveUp puts the layer in order after an error. If that fails too, the next process
// does it.
func (a *application) giveUp(ctx context.Context, tx *WriteTx) error {
	if err := a.store.settle(ctx, tx.records, a.id); err != nil {
		return err
	}
	tx.changed()
	return tx.records.Save(ctx)
}

func isThere(path string) (bool, error) {
	_, err := os.Lstat(path)
	if isMissing(err) {
		return false, nil
	}
	return err == nil, err
}
