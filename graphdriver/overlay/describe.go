package overlay

import (
	"slices"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/mountapi"
)

// stack is what a mount of one layer is made of.
type stack struct {
	// diff and work are the layer's own.
	diff, work string
	// lowers is what lies below diff: older copies of it, then the ancestors, topmost first.
	lowers []string
	// empty is an empty directory to stand on, for a layer with nothing below.
	empty string
}

// manner is how it is mounted.
type manner struct {
	// configured are the options of the store.
	configured mountapi.Options
	// asked are those of the call; they replace the configured ones unless nil.
	asked *mountapi.Options
	// readOnly mounts without upper directory, as the option "ro" does.
	readOnly bool
	// userXattr: marks are in user.overlay.*, since this process may not use trusted.*.
	userXattr bool
	// metacopy: the kernel can keep attributes apart from content.
	metacopy bool
	// volatile skips syncing, where there is something to write to.
	volatile bool
	// label is the SELinux label of everything in the mount.
	label string
}

// mannerOf takes over the call's options. supported tells of features and is asked only for
// what is wanted.
func (d *driver) mannerOf(opts graphdriver.MountOptions) (manner, error) {
	m := manner{
		configured: d.settings.mount, readOnly: opts.ReadOnly, label: opts.MountLabel,
		userXattr: d.rootless && d.program == "",
	}
	if opts.Options != nil {
		asked, err := mountapi.ParseOptions(opts.Options)
		if err != nil {
			return manner{}, err
		}
		m.asked = &asked
	}
	if d.program == "" && m.wantsMetacopy() {
		m.metacopy = d.features.metacopy()
	}
	if d.program == "" && opts.Volatile {
		m.volatile = d.features.volatile()
	}
	return m, nil
}

// wantsMetacopy: the store's wish holds for calls with options of their own as well, because
// it says what is in the layers.
func (m *manner) wantsMetacopy() bool {
	on := func(o *mountapi.Options) bool {
		v, _ := o.Value("metacopy")
		return v == "on"
	}
	return on(&m.configured) || m.asked != nil && on(m.asked)
}

// describe says what to mount (on-disk format, 4.5). It looks at nothing but its arguments.
func describe(s stack, m manner) mountapi.Overlay {
	o := mountapi.Overlay{Options: m.options(), Context: m.label}
	o.Lowers = slices.Clone(s.lowers)
	if len(o.Lowers) == 0 {
		o.Lowers = []string{s.empty}
	}
	if m.readOnly || o.Options.Flags.Has(mountapi.ReadOnly) {
		o.Lowers = slices.Insert(o.Lowers, 0, s.diff)
		o.Options.Flags |= mountapi.ReadOnly
		return o
	}
	o.Upper, o.Work = s.diff, s.work
	if m.volatile {
		o.Options.Set("volatile")
	}
	return o
}

func (m *manner) options() mountapi.Options {
	o := m.configured
	if m.asked != nil {
		o = *m.asked
	}
	switch {
	case m.metacopy:
		o.Set("metacopy=on")
	case m.wantsMetacopy():
		o.Drop("metacopy")
	}
	if m.userXattr {
		o.Set("userxattr")
	}
	return o
}
