package ontop

import (
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/volume"
)

// elsewhere starts a process with a mount namespace of its own, which has the volume at a
// place of its own, as a container has. It writes a file when it is told to end.
func elsewhere(t *testing.T, path string) (end func() error) {
	t.Helper()
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c",
		`set -e; mount --bind "$1" "$2"; echo; read line; echo late > "$2/file"`, "sh", path, t.TempDir())
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	_, err = out.Read(make([]byte, 1))
	must(t, err)
	return func() error {
		_, err := in.Write([]byte("\n"))
		return errors.Join(err, in.Close(), cmd.Wait())
	}
}

// TestTwoWritersNeverShareAnUpper has a container outlive the mount that it got its volume
// from. It may go on writing; nobody else gets the same upper directory until it has ended.
func TestTwoWritersNeverShareAnUpper(t *testing.T) {
	testutil.RequireRoot(t)
	for _, c := range []struct {
		name string
		// cut takes the mount away below the container.
		cut func(d *Driver) error
	}{
		{"unmounted", func(d *Driver) error { return d.Unmount(t.Context(), "v", "A") }},
		{"reset", func(d *Driver) error { return d.Reset(t.Context(), "v") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, base := setup(t)
			d.writerTime = 50 * time.Millisecond
			make1(t, d, base)
			end := elsewhere(t, mount(t, d, "A"))
			must(t, c.cut(d))
			_, err := d.Mount(t.Context(), "v", "B")
			if !errors.Is(err, volume.ErrInUse) || errdefs.Hint(err) == "" {
				t.Errorf("a second writer: %v", err)
			}
			if err := d.CommitDir(t.Context(), "v", t.TempDir()+"/x"); !errors.Is(err, volume.ErrInUse) {
				t.Errorf("a copy of what is written: %v", err)
			}
			if users, _ := d.place("v").records(); len(users) != 0 || d.mounted() {
				t.Errorf("after the refusal: %v", users)
			}
			must(t, end())
			d.writerTime = time.Minute
			if got := read(t, mount(t, d, "B")+"/file"); got != "late\n" {
				t.Errorf("what the container wrote is lost: %q", got)
			}
			unmount(t, d, "B")
		})
	}
}

// TestVolatileWritersAreApart: a volatile volume starts anew beside a container that
// outlived its mount, and neither sees the other.
func TestVolatileWritersAreApart(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base, "volatile", "yes")
	end := elsewhere(t, mount(t, d, "A"))
	unmount(t, d, "A")
	path := mount(t, d, "B")
	_ = end() // the directory that it writes to is gone
	if got := read(t, path+"/file"); got != "base" {
		t.Errorf("the fresh volume has %q", got)
	}
	unmount(t, d, "B")
}

// TestVolatileUpperIsEmptyAtEachFirstUse looks at the upper directory itself.
func TestVolatileUpperIsEmptyAtEachFirstUse(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base, "volatile", "yes")
	for _, id := range []string{"A", "B", "C"} {
		path := mount(t, d, id)
		if left, err := os.ReadDir(d.place("v").path(upperDir)); err != nil || len(left) != 0 {
			t.Errorf("user %s: the upper directory has %v, %v", id, left, err)
		}
		write(t, path+"/file", id)
		mount(t, d, "second")
		if got := read(t, path+"/file"); got != id {
			t.Errorf("a second user clears the volume: %q", got)
		}
		unmount(t, d, id)
		unmount(t, d, "second")
		if got := read(t, d.place("v").path(upperDir)+"/file"); got != id {
			t.Errorf("after the last user the changes can not be saved any more: %q", got)
		}
	}
}
