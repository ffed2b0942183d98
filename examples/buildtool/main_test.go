package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/oci"
)

func TestParseRecipe(t *testing.T) {
	got, err := parseRecipe("# base\nFROM debian\n\nrun a \\\n  && b\nCMD [\"x\"]\n")
	want := []step{{2, "FROM", "debian"}, {5, "RUN", "a && b"}, {6, "CMD", `["x"]`}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(step{})); d != "" || err != nil {
		t.Error(d, err)
	}
	for _, text := range []string{"", "RUN a", "FROM a\nFROM b", "FROM a\nRUN b \\"} {
		if steps, err := parseRecipe(text); err == nil {
			t.Errorf("%q: %v", text, steps)
		}
	}
}

// A base image or a context with hostile links does not lead COPY elsewhere.
func TestCopyStaysInside(t *testing.T) {
	outside := t.TempDir()
	tests := []struct{ name, args, link string }{
		{"target is a link", "file /link/f", "root/link"},
		{"source is a link", "link/secret /f", "context/link"},
		{"source climbs", "../secret /f", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, sub := range []string{"root", "context"} {
				must(t, os.Mkdir(filepath.Join(dir, sub), 0o755))
			}
			must(t, os.WriteFile(filepath.Join(dir, "context/file"), []byte("x"), 0o600))
			must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600))
			must(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("x"), 0o600))
			if test.link != "" {
				must(t, os.Symlink(outside, filepath.Join(dir, test.link)))
			}
			if err := copyInto(filepath.Join(dir, "root"), filepath.Join(dir, "context"), test.args); err == nil {
				t.Error("it was copied")
			}
			if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
				t.Errorf("outside: %v, %v", left, err)
			}
		})
	}
}

const recipe = `FROM %BASE%
COPY app /usr/bin/app
COPY . /srv
RUN mkdir -p /var/lib/app && echo done > /var/lib/app/built && rm /etc/gone
RUN ln /var/lib/app/built /var/lib/app/again && touch -d '1999-01-01 00:00:00' /var/lib/app/old
ENV GREETING=hello
LABEL org.example.made-by=buildtool
CMD ["/usr/bin/app"]
`

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// baseImage saves an image of a static busybox as an archive.
func baseImage(t *testing.T) string {
	t.Helper()
	busybox := testutil.RequireProgram(t, "busybox")
	dir := t.TempDir()
	for _, sub := range []string{"bin", "etc", "tmp", "proc", "dev", "var"} {
		must(t, os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	program, err := os.ReadFile(busybox)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "bin/busybox"), program, 0o755))
	for _, name := range []string{"sh", "mkdir", "ln", "rm", "touch", "cat"} {
		must(t, os.Symlink("busybox", filepath.Join(dir, "bin", name)))
	}
	must(t, os.WriteFile(filepath.Join(dir, "etc/gone"), nil, 0o644))
	s := storetest.New(t, "vfs")
	made, err := oci.ImportDir(t.Context(), s, dir, oci.ImportOptions{Names: []string{"localhost/busybox:latest"}})
	must(t, err)
	path := filepath.Join(t.TempDir(), "base.tar")
	must(t, oci.SaveFile(t.Context(), s, path, []oci.Selected{{Image: string(made.ID)}}, oci.SaveOptions{Compression: archive.None}))
	return path
}

// makeContext makes the context directory of the recipe.
func makeContext(t *testing.T, base string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "app"), []byte("#!/bin/sh\necho $GREETING from /srv: $(cat /srv/note)\n"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "note"), []byte("a note"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, ".hidden"), nil, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "Buildfile"), []byte(strings.ReplaceAll(recipe, "%BASE%", base)), 0o644))
	return dir
}

// built runs the tool on a store of its own and returns the image ID and the archive's path.
func built(t *testing.T, dir string) (id, path string) {
	t.Helper()
	root := t.TempDir()
	t.Setenv("STORAGE_DRIVER", "overlay")
	path = filepath.Join(root, "out.tar")
	storetest.Open(t, strata.Options{GraphRoot: root + "/graph", RunRoot: root + "/run", Driver: "overlay"}) // looks at it in the end, and unmounts
	stdout := captureStdout(t, func() error {
		return run(t.Context(), []string{"-graph", root + "/graph", "-run", root + "/run", "-t", "app", "-epoch", "1700000000", "-o", path, dir})
	})
	return strings.TrimSpace(stdout), path
}

func captureStdout(t *testing.T, f func() error) string {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	old := os.Stdout
	os.Stdout = w
	err = f()
	os.Stdout = old
	must(t, w.Close())
	must(t, err)
	out, err := io.ReadAll(r)
	must(t, err)
	return string(out)
}

func TestBuildIsReproducibleAndRuns(t *testing.T) {
	testutil.RequireRoot(t)
	base := baseImage(t)
	first, path := built(t, makeContext(t, base))
	time.Sleep(1100 * time.Millisecond) // the second build is not of the same second
	second, again := built(t, makeContext(t, base))
	if first != second || len(first) != 64 {
		t.Errorf("image IDs %q and %q", first, second)
	}
	one, err := os.ReadFile(path)
	must(t, err)
	two, err := os.ReadFile(again)
	must(t, err)
	if !bytes.Equal(one, two) {

		t.Error("the archives differ")
	}
	if testing.Short() {
		t.Log("podman is asked only in the long tests")
		return
	}
	if got := runByPodman(t, path); got != "hello from /srv: a note\n" {
		t.Errorf("the container says %q", got)
	}
}

// runByPodman loads an archive into a store of podman's own and runs the image.
func runByPodman(t *testing.T, archive string) string {
	t.Helper()
	podman, runc := testutil.RequireProgram(t, "podman"), testutil.RequireProgram(t, "runc")
	// podman refuses run roots of more than 50 characters, so t.TempDir is too long.
	dir, err := os.MkdirTemp("", "b") //nolint:usetesting // see above
	must(t, err)
	conf := filepath.Join(dir, "containers.conf")
	must(t, os.WriteFile(conf, []byte("[containers]\ndefault_ulimits=[\"nofile=1024:1024\",\"nproc=1024:1024\"]\n"+
		"[engine]\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\nruntime=\"runc\"\n[engine.runtimes]\nrunc=[\""+runc+"\"]\n"), 0o600))
	policy := filepath.Join(dir, "policy.json")
	must(t, os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600))
	call := func(args ...string) string {
		cmd := exec.Command(podman, append([]string{"--root", dir + "/g", "--runroot", dir + "/r", "--tmpdir", dir + "/t", "--storage-driver", "vfs"}, args...)...)
		cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+conf, "STORAGE_DRIVER=vfs")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("podman %s: %v\n%s", args[0], err, stderr.String())
		}
		return string(out)
	}
	t.Cleanup(func() {
		err := os.RemoveAll(dir)
		// podman leaves the end of a container to a process of its own.
		for start := time.Now(); err != nil && time.Since(start) < 3*time.Minute; time.Sleep(20 * time.Millisecond) {
			err = os.RemoveAll(dir)
		}
		must(t, err)
	})
	call("load", "--signature-policy", policy, "-i", archive)
	return call("run", "--rm", "--network=none", "localhost/app:latest")
}
