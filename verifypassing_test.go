package strata

import (
	"errors"
	"io"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/layer"
)

// failing gives no file.
type failing struct{ err error }

func (f failing) Get(string) (io.ReadCloser, error) { return nil, f.err }

// TestUnreadableIsNotDamaged: what could not be read for want of descriptors, or of a right, has no
// finding by which a repair would remove it.
func TestUnreadableIsNotDamaged(t *testing.T) {
	tests := []struct {
		err  error
		want Problem
	}{
		{unix.EMFILE, ProblemUnreadable},
		{unix.ENFILE, ProblemUnreadable},
		{unix.ENOMEM, ProblemUnreadable},
		{unix.EACCES, ProblemUnreadable},
		{unix.EIO, ProblemSplitDamaged},
		{io.ErrUnexpectedEOF, ProblemSplitDamaged},
	}
	for _, tt := range tests {
		err := &fs.PathError{Op: "open", Path: "x", Err: tt.err}
		v := &layerVerifier{layer: &layer.Layer{}, files: failing{err}}
		found := v.splitDamaged(err)
		if len(found) != 1 || found[0].Problem != tt.want || (found[0].Repair == RepairNone) != (tt.want == ProblemUnreadable) {
			t.Errorf("%v: %+v", tt.err, found)
		}
		d := &diagnosis{layerVerifier: v, out: io.Discard}
		got := d.file(splitLine{Type: splitFileLine, Name: "f", Size: 1, Payload: make([]byte, 8)})
		if passing := tt.want == ProblemUnreadable; errors.Is(got, tt.err) != passing || (len(d.found) == 0) != passing {
			t.Errorf("file, %v: %v, %+v", tt.err, got, d.found)
		}
	}
}
