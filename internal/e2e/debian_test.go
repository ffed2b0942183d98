package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

// debianTar is a small Debian root file system made by mmdebstrap, once per run.
var debianTar = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "debian.tar")
	out, err := exec.Command("mmdebstrap", "--variant=minbase", "--include=libcap2-bin", "bookworm", path).CombinedOutput()
	if err != nil {
		return "", &exec.Error{Name: "mmdebstrap: " + string(out), Err: err}
	}
	return path, nil
})

func requireDebian(t *testing.T) string {
	t.Helper()
	testutil.RequireRoot(t)
	testutil.RequireProgram(t, "mmdebstrap")
	path, err := debianTar()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// change runs f on the mounted tree of a new container of image, and commits it under name.
func (r *roots) change(image, name string, f func(dir string)) {
	r.t.Helper()
	id := strings.Fields(r.strata("create-container", image))[0]
	f(r.strata("mount", id))
	r.strata("unmount", id)
	r.strata("commit", "--name", name, id)
	r.strata("delete-container", id)
}

// installPackage makes the layer of an installed package, by dpkg inside the tree.
func installPackage(t *testing.T, dir string) {
	t.Helper()
	download := t.TempDir()
	get := exec.Command("apt-get", "-o", "APT::Sandbox::User=root", "download", "busybox-static")
	get.Dir = download
	if out, err := get.CombinedOutput(); err != nil {
		t.Fatalf("apt-get download: %v\n%s", err, out)
	}
	debs, err := filepath.Glob(filepath.Join(download, "*.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatal(debs, err)
	}
	data, err := os.ReadFile(debs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "p.deb"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chroot", dir, "dpkg", "-i", "/p.deb").CombinedOutput(); err != nil {
		t.Fatalf("dpkg: %v\n%s", err, out)
	}
	must(t, os.Remove(filepath.Join(dir, "p.deb")))
}

// alterTree makes the layer with everything that is hard to keep.
func alterTree(t *testing.T, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Remove(at("etc/debian_version")))
	must(t, os.RemoveAll(at("usr/share/doc")))
	must(t, os.Mkdir(at("usr/share/doc"), 0o750))
	must(t, os.WriteFile(at("usr/share/doc/new"), []byte("replaced\n"), 0o640))
	must(t, os.RemoveAll(at("usr/share/common-licenses")))
	must(t, os.WriteFile(at("usr/share/common-licenses"), []byte("a file now\n"), 0o644))
	must(t, os.Link(at("usr/share/doc/new"), at("usr/share/doc/new.link")))
	must(t, os.Link(at("bin/bash"), at("usr/local/bin/bash-link")))
	must(t, os.WriteFile(at("srv/tool"), []byte("#!/bin/sh\n"), 0o755))
	must(t, unix.Chmod(at("srv/tool"), 0o4755))
	must(t, os.WriteFile(at("srv/capable"), []byte("x"), 0o755))
	if out, err := exec.Command("setcap", "cap_net_raw+ep", at("srv/capable")).CombinedOutput(); err != nil {
		t.Fatalf("setcap: %v\n%s", err, out)
	}
	must(t, unix.Setxattr(at("srv/capable"), "user.note", []byte("kept\x00\xff"), 0))
	must(t, unix.Mkfifo(at("srv/fifo"), 0o600))
	must(t, unix.Mknod(at("srv/null"), syscall.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, os.Symlink("/nowhere/at/all", at("srv/link")))
	must(t, os.WriteFile(at("srv/caf\xe9"), []byte("not UTF-8"), 0o600))
	must(t, os.WriteFile(at("srv/"+strings.Repeat("n", 255)), []byte("long"), 0o600))
	must(t, os.Lchown(at("srv/link"), 1234, 5678))
	ns := []unix.Timespec{{Sec: 1700000000, Nsec: 123456789}, {Sec: 1700000001, Nsec: 987654321}}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, at("srv/tool"), ns, 0))
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, at("srv/link"), ns, unix.AT_SYMLINK_NOFOLLOW))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDebianImage takes a real distribution through the main job: three layers,
// exact diffs, the same image ID in other stores, the same tree on both drivers.
func TestDebianImage(t *testing.T) {
	a := newRoots(t, "overlay")
	base := requireDebian(t)
	a.strata("import", "--name", "deb:1", base)
	a.change("deb:1", "deb:2", func(dir string) { installPackage(t, dir) })
	a.change("deb:2", "deb:3", func(dir string) { alterTree(t, dir) })
	if n := len(a.chain("deb:3")); n != 3 {
		t.Fatalf("%d layers, want 3", n)
	}
	a.checkDiffs("deb:3")
	want := a.records("image", "deb:3")[0]

	saves := map[string][]string{
		"oci-gzip.tar": {"--format", "oci-archive", "--compression", "gzip"},
		"oci-zstd.tar": {"--format", "oci-archive", "--compression", "zstd"},
		"docker.tar":   {"--format", "docker-archive"},
		"oci-dir":      {"--format", "oci-dir", "--compression", "none"},
	}
	for file, flags := range saves {
		a.strata(append(append([]string{"save", "-o", filepath.Join(a.dir, file)}, flags...), "deb:3")...)
	}
	trees := map[string][]string{}
	for file, driver := range map[string]string{"oci-gzip.tar": "overlay", "oci-zstd.tar": "vfs", "docker.tar": "vfs", "oci-dir": "overlay"} {
		t.Run(file, func(t *testing.T) {
			b := newRoots(t, driver)
			b.strata("load", filepath.Join(a.dir, file))
			images := b.records("images")
			if len(images) != 1 || images[0].ID != want.ID || !cmp.Equal(images[0].Names, want.Names) {
				t.Fatalf("loaded %+v, want image %s", images, want.ID)
			}
			b.checkDiffs(want.ID)
			id := strings.Fields(b.strata("create-container", want.ID))[0]
			trees[file] = testutil.Tree(t, b.strata("mount", id), testutil.IgnoreRoot) // overlay takes no root entry, as in the other engines
			b.strata("unmount", id)
			b.strata("delete-container", id)
		})
	}
	for file, tree := range trees {
		if diff := cmp.Diff(trees["oci-gzip.tar"], tree); diff != "" {
			t.Errorf("tree of %s differs from that of oci-gzip.tar:\n%s", file, diff)
		}
	}
}
