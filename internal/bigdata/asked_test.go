package bigdata_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/faults"
)

// TestStageThatIsAskedAfter: who asks whether a stage's maker is dead, while it is being
// made, leaves no directory behind, nor has the maker fail.
func TestStageThatIsAskedAfter(t *testing.T) {
	parent := t.TempDir()
	var asking *os.File
	off := faults.Enable(faults.Rule{Point: "bigdata.lock", Under: parent, Times: 1, Do: func() {
		var err error
		asking, err = os.Open(filepath.Join(parent, names(t, parent)[0]))
		must(t, err)
		must(t, unix.Flock(int(asking.Fd()), unix.LOCK_SH|unix.LOCK_NB))
	}})
	st, err := bigdata.StageItems(t.Context(), parent, []bigdata.Item{{Key: "manifest"}}, bigdata.Options{})
	off()
	must(t, err)
	must(t, asking.Close())
	must(t, st.Adopt("id"))
	must(t, st.Discard())
	if diff := cmp.Diff([]string{"id"}, names(t, parent)); diff != "" {
		t.Fatalf("objects (-want +got):\n%s", diff)
	}
}
