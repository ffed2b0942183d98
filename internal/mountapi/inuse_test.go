package mountapi_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

func TestUpperInUse(t *testing.T) {
	testutil.RequireRoot(t)
	var m mountapi.Mounter
	dir := t.TempDir()
	o, target := layers(t, dir, 1)
	inUse := func(when string, want bool) {
		t.Helper()
		if got := m.UpperInUse(o.Upper); got != want {
			t.Errorf("%s: %t", when, got)
		}
	}
	inUse("before", false)
	if err := m.Overlay(&o, target); err != nil {
		t.Fatal(err)
	}
	before := testutil.Tree(t, o.Upper)
	inUse("mounted", true)
	// A process with a mount namespace of its own keeps the overlay.
	other := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; read line")
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := mountapi.Unmount(target); err != nil {
		t.Fatal(err)
	}
	inUse("mounted elsewhere", true)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // read fails at the end of its input
	// The kernel takes its time to end a namespace.
	for deadline := time.Now().Add(2 * time.Minute); m.UpperInUse(o.Upper) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	inUse("afterwards", false)
	if after := testutil.Tree(t, o.Upper); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("the question changed %s: %v", filepath.Base(o.Upper), after)
	}
}
