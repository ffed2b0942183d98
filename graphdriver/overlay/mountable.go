package overlay

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/mountapi"
)

// mountable is a description that is ready to be mounted.
type mountable struct {
	overlay mountapi.Overlay
	// shift holds the ID-shifted views that the lower directories are in; nil if there
	// are none. The overlay keeps them alive once it is mounted.
	shift *idShift
}

// mountable describes the mount of a layer. The caller closes its shift.
func (d *driver) mountable(ctx context.Context, l layerDir, opts graphdriver.MountOptions) (*mountable, error) {
	if d.wantsProgram && d.program == "" {
		return nil, errWantsProgram
	}
	how, err := d.mannerOf(opts)
	if err != nil {
		return nil, err
	}
	s, err := d.stack(ctx, l)
	if err != nil {
		return nil, err
	}
	if !d.CanShift(opts.Mapping) {
		return nil, errNoShift
	}
	m := &mountable{}
	if d.program == "" {
		if m.shift, err = d.shift(&s, l, how, opts.Mapping); err != nil {
			return nil, err
		}
	}
	m.overlay = describe(s, how)
	return m, nil
}

// stack finds everything that a mount of the layer consists of.
func (d *driver) stack(ctx context.Context, l layerDir) (s stack, err error) {
	if err := l.plain(); err != nil {
		return s, err
	}
	below, err := d.ancestors(ctx, l)
	if err != nil {
		return s, err
	}
	copies, err := l.copies()
	if err != nil {
		return s, err
	}
	dirs, err := lowerDirs(below)
	if err != nil {
		return s, err
	}
	s = stack{diff: l.diff(), work: l.path("work"), lowers: append(copies, dirs...)}
	s.empty, err = d.emptyDir(l, len(s.lowers))
	return s, err
}

// do mounts by the given call. Kernels before 6.15 take only attached views for lower
// directories, and say so by EINVAL.
func (m *mountable) do(mount func(o *mountapi.Overlay) error) error {
	err := mount(&m.overlay)
	if m.shift == nil || !errors.Is(err, unix.EINVAL) {
		return err
	}
	if attachErr := m.shift.attach(m.overlay.Lowers); attachErr != nil {
		return errors.Join(err, attachErr)
	}
	return mount(&m.overlay)
}
