package e2e_test

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratastore/strata/internal/testutil"
)

// busyboxTar is a root file system of one static program.
func busyboxTar(t *testing.T) string {
	t.Helper()
	program := testutil.RequireProgram(t, "busybox")
	body, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "busybox.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tw := tar.NewWriter(f)
	for _, dir := range []string{"bin/", "etc/", "proc/", "dev/", "sys/", "tmp/", "run/"} {
		must(t, tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}))
	}
	must(t, tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755, Size: int64(len(body))}))
	if _, err := tw.Write(body); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "ls", "cat", "echo", "rm", "sleep", "true", "touch", "mkdir"} {
		must(t, tw.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}))
	}
	must(t, tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "etc/motd", Mode: 0o644, Size: 3}))
	if _, err := tw.Write([]byte("hi\n")); err != nil {
		t.Fatal(err)
	}
	must(t, tw.Close())
	return path
}

func requireEngines(t *testing.T) {
	t.Helper()
	testutil.RequireRoot(t)
	for _, name := range []string{"podman", "buildah", "skopeo", "containers-storage", "runc"} {
		testutil.RequireProgram(t, name)
	}
}

// eachDriver runs f on both drivers.
func eachDriver(t *testing.T, f func(t *testing.T, r *roots)) {
	t.Helper()
	requireEngines(t)
	for _, driver := range []string{"overlay", "vfs"} {
		t.Run(driver, func(t *testing.T) { f(t, newRoots(t, driver)) })
	}
}

const app = "localhost/app:1"

// TestEnginesUseWhatStrataStored: podman lists, runs and saves, buildah builds on, skopeo copies out.
func TestEnginesUseWhatStrataStored(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *roots) {
		r.strata("import", "--name", "app:1", busyboxTar(t))
		image := r.records("image", app)[0]

		if got := r.podman("images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"); got != "sha256:"+image.ID+" "+app {
			t.Errorf("podman images: %q", got)
		}
		if got := r.podman("run", "--rm", "--network=none", app, "/bin/cat", "/etc/motd"); got != "hi" {
			t.Errorf("podman run: %q", got)
		}
		from := r.buildah("from", app)
		r.buildah("run", from, "/bin/sh", "-c", "echo built > /etc/built; rm /etc/motd")
		r.buildah("commit", from, "localhost/built:1")
		r.checkDiffs("localhost/built:1")
		if got := r.podman("run", "--rm", "--network=none", "localhost/built:1", "/bin/ls", "/etc"); !strings.Contains(got, "built") || strings.Contains(got, "motd") {
			t.Errorf("the built image's /etc: %q", got)
		}
		r.buildah("rm", from)

		out := filepath.Join(r.dir, "out")
		r.skopeo("copy", r.inStore(app), "oci:"+out+":x")
		other := newRoots(t, r.driver)
		other.strata("load", "--name", "copied", out)
		got := other.records("image", "localhost/copied:latest")[0]
		if a, b := r.chain(app), other.chain(got.ID); len(a) != 1 || len(b) != 1 || a[0].DiffDigest != b[0].DiffDigest {
			t.Errorf("skopeo's copy has other layers: %+v, %+v", a, b)
		}
		if got.ID != image.ID {
			t.Errorf("skopeo's copy has the image ID %s, want %s", got.ID, image.ID)
		}
		if layers := r.classic("layers"); !strings.Contains(layers, image.Layer) {
			t.Errorf("containers-storage layers: %q", layers)
		}
	})
}

// TestStrataUsesWhatEnginesStored: list, mount, diff, save, delete.
func TestStrataUsesWhatEnginesStored(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *roots) {
		r.podman("import", busyboxTar(t), app)
		image := r.records("images")[0]
		if len(image.Names) != 1 || image.Names[0] != app {
			t.Fatalf("images: %+v", image)
		}
		r.checkDiffs(app)

		r.podman("create", "--name", "box1", "--network=none", app, "/bin/sleep", "60")
		containers := r.records("containers")
		if len(containers) != 1 || containers[0].Image != image.ID {
			t.Fatalf("containers: %+v", containers)
		}
		dir := r.strata("mount", "box1")
		must(t, os.WriteFile(filepath.Join(dir, "etc/new"), []byte("from strata\n"), 0o644))
		if got := r.podman("mount", "box1"); got != dir {
			t.Errorf("podman mounts at %q, strata at %q", got, dir)
		}
		r.podman("unmount", "box1")
		if got := r.strata("mounted", "box1"); got != "box1 mounted" {
			t.Errorf("after podman's unmount: %q", got)
		}
		r.strata("unmount", "box1")
		if got := r.strata("changes", containers[0].Layer); !strings.Contains(got, `Add "/etc/new"`) {
			t.Errorf("changes: %q", got)
		}
		if got := r.podman("diff", "box1"); !strings.Contains(got, "A /etc/new") {
			t.Errorf("podman diff: %q", got)
		}
		r.strata("commit", "--name", "committed:1", "box1")
		if got := r.podman("run", "--rm", "--network=none", "localhost/committed:1", "/bin/cat", "/etc/new"); got != "from strata" {
			t.Errorf("podman runs the committed image: %q", got)
		}

		archive := filepath.Join(r.dir, "saved.tar")
		r.strata("save", "-o", archive, "--format", "docker-archive", "localhost/committed:1")
		other := newRoots(t, r.driver)
		other.podman("load", "-i", archive)
		if a, b := r.records("image", "localhost/committed:1")[0].ID, other.records("images")[0].ID; a != b {
			t.Errorf("podman loads %s, saved was %s", b, a)
		}

		if out, err := r.try(binary, "--graph", r.graph(), "--run", r.runRoot(), "-s", r.driver, "delete-image", app); err == nil {
			t.Errorf("an image in use was deleted: %s", out)
		}
		r.podman("rm", "-f", "box1")
		r.strata("delete-image", "localhost/committed:1")
		r.strata("delete-image", app)
		if got := r.podman("images", "-q"); got != "" {
			t.Errorf("podman still lists %q", got)
		}
		if got := r.strata("layers"); got != "" {
			t.Errorf("layers are left: %q", got)
		}
	})
}

// TestPodmanSavesWhatStrataLoaded and the other way round, through each format.
func TestArchivesBothWays(t *testing.T) {
	requireEngines(t)
	source := newRoots(t, "overlay")
	source.podman("import", busyboxTar(t), app)
	want := source.records("images")[0]
	for _, format := range []string{"docker-archive", "oci-archive", "oci-dir"} {
		t.Run(format, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "saved")
			source.podman("save", "--format", format, "-o", path, app)
			middle := newRoots(t, "vfs")
			middle.strata("load", path)
			if got := middle.records("images"); len(got) != 1 || got[0].ID != want.ID || got[0].Names[0] != app {
				t.Fatalf("strata loaded %+v, want %s", got, want.ID)
			}
			middle.checkDiffs(app)
			back := filepath.Join(t.TempDir(), "back")
			middle.strata("save", "--format", format, "-o", back, app)
			last := newRoots(t, "overlay")
			if format == "oci-dir" {
				last.skopeo("copy", "oci:"+back+":"+app, last.inStore(app))
			} else {
				last.podman("load", "-i", back)
			}
			if got := last.records("images"); len(got) != 1 || got[0].ID != want.ID {
				t.Errorf("podman loaded %+v, want %s", got, want.ID)
			}
		})
	}
}
