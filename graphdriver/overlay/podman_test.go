package overlay

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

// podman runs commands on a store of its own.
type podman struct {
	testing.TB
	program string
	dir     string
}

func newPodman(t *testing.T) *podman {
	program := testutil.RequireProgram(t, "podman")
	testutil.RequireRoot(t)
	// podman refuses run roots of more than 50 characters, so t.TempDir is too long.
	dir, err := os.MkdirTemp("", "p") //nolint:usetesting // see above
	must(t, err)
	t.Cleanup(func() {
		unmountBelow(t, dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	write(t, filepath.Join(dir, "storage.conf"), fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n", dir+"/graph", dir+"/run"))
	write(t, filepath.Join(dir, "containers.conf"), "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n")
	return &podman{TB: t, program: program, dir: dir}
}

func (p *podman) graph() string { return filepath.Join(p.dir, "graph") }

func (p *podman) run(args ...string) string {
	p.Helper()
	args = append([]string{"--root", p.graph(), "--runroot", filepath.Join(p.dir, "run"), "--storage-driver", "overlay"}, args...)
	cmd := exec.Command(p.program, args...)
	cmd.Env = append(os.Environ(), "CONTAINERS_STORAGE_CONF="+filepath.Join(p.dir, "storage.conf"), "CONTAINERS_CONF="+filepath.Join(p.dir, "containers.conf"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.Fatalf("podman %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (p *podman) open() *driver {
	cfg := config(p.graph())
	cfg.RunHome = filepath.Join(p.dir, "run", Name)
	d, err := open(p.Context(), cfg, mountapi.Auto)
	must(p, err)
	return d
}

// TestBesidePodman uses one home together with Podman, each finding what the other did.
func TestBesidePodman(t *testing.T) {
	p := newPodman(t)
	tarball := filepath.Join(p.dir, "root.tar")
	must(t, os.WriteFile(tarball, testutil.Tar(t, testutil.Entry{Name: "etc/"}, testutil.Entry{Name: "etc/f", Body: "from podman", UID: 3, GID: 4}), 0o600))
	p.run("import", tarball, "localhost/one:1")
	d := p.open()
	ids, err := d.List(t.Context())
	must(t, err)
	same(t, "layers", len(ids), 1)
	base := ids[0]
	want := []string{`"etc" dir`, `"etc/f" file`}
	mounted(t, d, base, graphdriver.MountOptions{ReadOnly: true}, func(path string) { same(t, "files", names(t, path), want) })
	same(t, "changes", changes(t, d, base, ""), []string{`Add "/etc"`, `Add "/etc/f"`})

	// A mount of Podman's is found, used and left alone.
	path := p.run("image", "mount", "localhost/one:1")
	got, is, err := d.Mounted(t.Context(), base)
	must(t, err)
	same(t, "mounted", []any{got, is}, []any{path, true})
	mounted(t, d, base, graphdriver.MountOptions{}, func(dir string) { same(t, "path", dir, path) })
	must(t, d.Cleanup(t.Context()))
	same(t, "files in Podman's mount", names(t, path), want)
	p.run("image", "unmount", "localhost/one:1")
	same(t, "mounted after Podman's unmount", mountpoint(t, path), false)
	mounted(t, d, base, graphdriver.MountOptions{ReadOnly: true}, func(path string) { same(t, "files", names(t, path), want) })

	// A layer of ours on Podman's keeps working after Podman's commands, which take the
	// private mount of the home away and make it again.
	must(t, d.Create(t.Context(), "ours", base, graphdriver.CreateOptions{}))
	p.run("images")
	mounted(t, d, "ours", graphdriver.MountOptions{}, func(path string) {
		same(t, "files of ours", names(t, path), want)
		write(t, filepath.Join(path, "etc", "g"), "from strata")
	})
	same(t, "changes of ours", changes(t, d, "ours", base), []string{`Modify "/etc"`, `Add "/etc/g"`})

	// Lost links: Podman mends its own on its next mount, and finds ours good.
	must(t, os.RemoveAll(d.homes[0].linkDir()))
	mounted(t, d, "ours", graphdriver.MountOptions{}, func(string) {})
	path = p.run("image", "mount", "localhost/one:1")
	same(t, "files in Podman's mount", names(t, path), want)
	p.run("image", "unmount", "localhost/one:1")

	must(t, d.Remove(t.Context(), "ours"))
	p.run("rmi", "localhost/one:1")
	ids, err = d.List(t.Context())
	must(t, err)
	same(t, "layers at the end", len(ids), 0)
	must(t, d.Cleanup(t.Context()))
	same(t, "mounts at the end", mountsBelow(t, d.homes[0].path), []string{})
}
