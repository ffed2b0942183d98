package overlay

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

func fuse(t *testing.T) string {
	t.Helper()
	path := testutil.RequireProgram(t, "fuse-overlayfs")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip(err)
	}
	return path
}

// TestMountProgram: the mount program gets what the kernel would, and its whiteouts are files.
func TestMountProgram(t *testing.T) {
	program := fuse(t)
	dir := root(t)
	d := openAt(t, dir, graphdriver.Option{Key: "mount_program", Value: program}, graphdriver.Option{Key: "mountopt", Value: "nodev"})
	same(t, "mark", read(t, filepath.Join(d.homes[0].path, programMark)), "true")
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"}, testutil.Entry{Name: "gone", Body: "x"}, testutil.Entry{Name: "dir/"}, testutil.Entry{Name: "dir/old", Body: "x"})
	layer(t, d, "child", "base", testutil.Entry{Name: "g", Body: "2"}, testutil.Entry{Name: ".wh.gone"})
	same(t, "content of child", names(t, d.homes[0].layer("child").diff()), []string{`".wh.gone" file`, `"g" file`})
	mounted(t, d, "child", graphdriver.MountOptions{}, func(path string) {
		own, err := mountapi.FSTypeOf(path)
		must(t, err)
		same(t, "file system", own.String(), "fuse")
		same(t, "files", names(t, path), []string{`"dir" dir`, `"dir/old" file`, `"f" file`, `"g" file`})
		must(t, os.RemoveAll(filepath.Join(path, "dir")))
		write(t, filepath.Join(path, "new"), "3")
	})
	same(t, "changes", changes(t, d, "child", "base"), []string{`Delete "/dir"`, `Add "/g"`, `Delete "/gone"`, `Add "/new"`})
	mounted(t, d, "child", graphdriver.MountOptions{ReadOnly: true}, func(path string) {
		if err := os.WriteFile(filepath.Join(path, "x"), nil, 0o600); !errors.Is(err, unix.EROFS) {
			t.Errorf("write to a read-only mount: %v", err)
		}
	})
	same(t, "changes, compared", changes(t, d, "child", ""), []string{`Add "/f"`, `Add "/g"`, `Add "/new"`})
	mounted(t, d, "child", graphdriver.MountOptions{Mapping: hundredThousand}, func(path string) {
		same(t, "shifted owner", owner(t, filepath.Join(path, "f")), [2]uint32{100000, 200000})
	})
}

// TestProgramDied: a mount whose server was killed is mounted again.
func TestProgramDied(t *testing.T) {
	d := openAt(t, root(t), graphdriver.Option{Key: "mount_program", Value: fuse(t)})
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
	path, err := d.Get(t.Context(), "base", graphdriver.MountOptions{})
	must(t, err)
	killServer(t, path)
	again, err := d.Get(t.Context(), "base", graphdriver.MountOptions{})
	must(t, err)
	same(t, "content", read(t, filepath.Join(again, "f")), "1")
	must(t, d.Put(t.Context(), "base"))
}

// killServer ends the process that has the mount point on its command line.
func killServer(t *testing.T, point string) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, proc := range procs {
		text, _ := os.ReadFile(proc) // may be gone
		if !strings.HasPrefix(string(text), "/usr/bin/fuse-overlayfs\x00") || !strings.Contains(string(text), point) {
			continue
		}
		p, err := os.FindProcess(atoi(filepath.Base(filepath.Dir(proc))))
		must(t, err)
		must(t, p.Kill())
	}
	for range 6000 {
		if _, err := os.Stat(point); errors.Is(err, unix.ENOTCONN) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the server does not die")
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// TestNoProgram: layers for a mount program are never shown by the kernel.
func TestNoProgram(t *testing.T) {
	d := openAt(t, root(t))
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
	d.wantsProgram = true
	_, err := d.Get(t.Context(), "base", graphdriver.MountOptions{})
	if !errors.Is(err, errdefs.ErrUnsupported) || errdefs.Hint(err) == "" {
		t.Errorf("error %v, want ErrUnsupported with a hint", err)
	}
}

func TestProgramMark(t *testing.T) {
	tests := []struct {
		name   string
		layout func(t *testing.T, home string)
		want   string
	}{
		{"new home", func(*testing.T, string) {}, "false"},
		{"kernel's layers", func(t *testing.T, home string) {
			must(t, os.MkdirAll(filepath.Join(home, "base/diff/etc"), 0o700))
			must(t, unix.Mknod(filepath.Join(home, "base/diff/etc/gone"), unix.S_IFCHR, 0))
		}, "false"},
		{"whiteout file", func(t *testing.T, home string) {
			must(t, os.MkdirAll(filepath.Join(home, "base/diff/etc"), 0o700))
			write(t, filepath.Join(home, "base/diff/etc/.wh.gone"), "")
		}, "true"},
		{"attribute", func(t *testing.T, home string) {
			must(t, os.MkdirAll(filepath.Join(home, "base/diff/etc"), 0o700))
			must(t, unix.Setxattr(filepath.Join(home, "base/diff/etc"), "user.fuseoverlayfs.opaque", []byte("y"), 0))
		}, "true"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := root(t)
			tt.layout(t, filepath.Join(dir, Name))
			must(t, os.MkdirAll(filepath.Join(dir, Name), 0o700))
			d := openAt(t, dir)
			same(t, "mark", read(t, filepath.Join(dir, Name, programMark)), tt.want)
			same(t, "wants a program", d.wantsProgram, tt.want == "true")
			if d.wantsProgram && findProgram() != d.program {
				t.Errorf("program %q, found is %q", d.program, findProgram())
			}
		})
	}
}

func TestProgramOptions(t *testing.T) {
	mask := os.FileMode(0o700)
	d := &driver{settings: settings{forceMask: &mask}}
	o := mountapi.Overlay{
		Lowers: []string{"/g/l/A", "/g/l/B"}, Upper: "/g/x/diff", Work: "/g/x/work",
		Options: mountapi.Options{Flags: unix.MS_NODEV, Data: []string{"volatile"}}, Context: "u:r:t:s0",
	}
	got, err := d.programOptions(&o, graphdriver.MountOptions{Mapping: hundredThousand})
	must(t, err)
	same(t, "options", got, "lowerdir=/g/l/A:/g/l/B,upperdir=/g/x/diff,workdir=/g/x/work,nodev,volatile,"+
		`uidmapping=0:100000:65536,gidmapping=0:200000:65536,xattr_permissions=2,context="u:r:t:s0"`)
	o.Lowers[1] = "/g:h/l/B"
	if _, err := d.programOptions(&o, graphdriver.MountOptions{}); !errors.Is(err, errdefs.ErrUnsupported) {
		t.Errorf("path with a colon: %v", err)
	}
}
