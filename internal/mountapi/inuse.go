package mountapi

import (
	"errors"

	"golang.org/x/sys/unix"
)

// UpperInUse reports whether a live overlay writes to the directory upper, wherever it is
// mounted: also in other mount namespaces, where no mount table shows it. Where the kernel
// can not be asked the answer is no.
//
// The kernel marks an upper directory while an overlay has it. With index=on it refuses a
// second one with EBUSY, before it looks at the work directory, which here is one that it
// never takes: the upper directory itself. So nothing is mounted and nothing is written.
func (m *Mounter) UpperInUse(upper string) bool {
	if !m.descriptors() {
		return false
	}
	probe := &Overlay{Lowers: []string{upper}, Upper: upper, Work: upper}
	probe.Options.Data = []string{"index=on"}
	t, err := newOverlay(probe)
	if err == nil {
		_ = t.Close() // never attached: nothing is lost
		return false
	}
	return errors.Is(err, unix.EBUSY)
}
