package overlay

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/treecopy"
)

// Capabilities says that layers may hold copies of their parent's files.
func (d *driver) Capabilities() graphdriver.Capabilities {
	return graphdriver.Capabilities{Reowns: true}
}

// createCopy is Create for a layer that holds copies.
func (d *driver) createCopy(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.CreateOptions) error {
	st, err := d.Stage(ctx, parent, opts)
	if err != nil {
		return err
	}
	if err := st.Adopt(ctx, id); err != nil {
		return errors.Join(err, st.Discard())
	}
	if err := st.Discard(); err != nil { // the layer is there, and the next process sweeps
		d.log.WarnContext(ctx, "an empty temporary directory stays", "driver", Name, "error", err)
	}
	return nil
}

// copyDir is where copies lie: between diff and the layers below (on-disk format, 4.6).
const copyDir = "diff1"

// reown fills the staged layer with copies of all that is visible in parent, which is
// looked at and not changed.
func (s *staged) reown(ctx context.Context, parent graphdriver.ID, opts graphdriver.CreateOptions) (err error) {
	d := s.driver
	from, put, err := d.view(ctx, parent, graphdriver.MountOptions{ReadOnly: true, MountLabel: opts.MountLabel})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, put(context.WithoutCancel(ctx))) }()
	if err := faults.Hit("overlay.copy", d.homes[0].path); err != nil {
		return err
	}
	to := filepath.Join(s.tree, copyDir)
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	if d.settings.forceMask != nil {
		return s.reownForced(ctx, to, from, opts)
	}
	// A view's path is a link in /proc, which is not followed as the last component.
	return treecopy.Copy(ctx, to, from+"/.", treecopy.Options{
		Unprivileged: d.rootless, IgnoreChownErrors: d.settings.ignoreChownErrors, Move: opts.Move(), AllXattrs: true,
	})
}

// reownForced copies by way of a tar, whose unpacking puts owners and modes into
// attributes.
func (s *staged) reownForced(ctx context.Context, to, from string, opts graphdriver.CreateOptions) (err error) {
	tar := pipe(ctx, func(ctx context.Context, w io.Writer) error {
		return archive.Pack(ctx, w, from, archive.PackOptions{Mapping: *opts.Reown, Logger: s.driver.log})
	})
	defer func() { err = errors.Join(err, tar.Close()) }()
	if _, err := s.driver.extract(ctx, to, tar, graphdriver.ApplyOptions{Mapping: opts.Mapping}, false); err != nil {
		return err
	}
	return s.plan.root.override(to, *s.driver.settings.forceMask)
}
