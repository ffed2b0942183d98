package e2e_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/internal/testutil"
)

// dockerPrograms is a folder with Debian's Docker engine and what it needs, from
// packages that are only unpacked: installing them would start services. It is
// kept from one run to the next.
var dockerPrograms = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "strata-e2e", "docker")
	if _, err := os.Stat(filepath.Join(dir, "dockerd")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	script := `set -e
apt-get -qq -o APT::Sandbox::User=root download docker.io containerd runc
for deb in *.deb; do dpkg-deb -x "$deb" tree; done
mkdir programs
find tree/usr/bin tree/usr/sbin -type f -exec mv -t programs {} +
programs/dockerd --version`
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpack docker.io: %w\n%s", err, out)
	}
	err = os.Rename(filepath.Join(work, "programs"), dir)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, os.ErrExist) {
		err = nil // somebody else was faster
	}
	return dir, err
})

// engine is a Docker engine of a test.
type engine struct {
	t        *testing.T
	dir      string
	programs string
	cmd      *exec.Cmd
	ended    chan error
}

func (e *engine) root() string { return filepath.Join(e.dir, "root") }

// startDocker runs an engine with its own data root, without touching the
// network of the host.
func startDocker(t *testing.T, driver string, flags ...string) *engine {
	t.Helper()
	programs, err := dockerPrograms()
	if err != nil {
		t.Log(err)
		testutil.RequireProgram(t, "dockerd from Debian's docker.io")
	}
	dir := t.TempDir()
	e := &engine{t: t, dir: dir, programs: programs, ended: make(chan error, 1)}
	t.Cleanup(e.finish)
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	defer log.Close()
	e.cmd = exec.Command(filepath.Join(programs, "dockerd"), "--data-root", e.root(), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--host", e.host(), "--config-file", filepath.Join(dir, "none.json"),
		"--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver", driver)
	e.cmd.Args = append(e.cmd.Args, flags...)
	e.cmd.Env, e.cmd.Stdout, e.cmd.Stderr = e.env(), log, log
	must(t, os.WriteFile(filepath.Join(dir, "none.json"), []byte("{}"), 0o600))
	must(t, e.cmd.Start())
	go func() { e.ended <- e.cmd.Wait() }()
	e.ready()
	return e
}

func (e *engine) host() string { return "unix://" + filepath.Join(e.dir, "s") }

func (e *engine) env() []string {
	return append(os.Environ(), "PATH="+e.programs+":"+os.Getenv("PATH"), "DOCKER_HOST="+e.host(), "DOCKER_BUILDKIT=0", "DOCKER_CONFIG="+e.dir)
}

func (e *engine) ready() {
	e.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		out, err := e.try("version")
		if err == nil {
			return
		}
		select {
		case err := <-e.ended:
			e.ended <- err
			e.t.Fatalf("dockerd ended: %v\n%s", err, e.log())
		default:
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("dockerd does not answer: %s\n%s", out, e.log())
		}
	}
}

func (e *engine) log() []byte {
	text, err := os.ReadFile(filepath.Join(e.dir, "log"))
	if err != nil {
		e.t.Error(err)
	}
	return text[max(0, len(text)-4000):]
}

func (e *engine) try(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(e.programs, "docker"), args...)
	cmd.Env = e.env()
	out, err := cmd.CombinedOutput()
	return strings.TrimRight(string(out), "\n"), err
}

func (e *engine) docker(args ...string) string {
	e.t.Helper()
	out, err := e.try(args...)
	if err != nil {
		e.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// stop ends the engine, and containerd with it, as a shutdown does.
func (e *engine) stop() {
	if e.cmd == nil || e.cmd.Process == nil {
		return
	}
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		e.t.Error(err)
	}
	select {
	case <-e.ended:
	case <-time.After(patience):
		e.t.Errorf("dockerd does not end:\n%s", e.log())
		_ = e.cmd.Process.Kill() // then its end is waited for
		<-e.ended
	}
	e.cmd = nil
}

// finish also removes the folder, unless mounts are left there.
func (e *engine) finish() {
	e.stop()
	removeWhenUnused(e.t, e.dir)
}

// dockerfile makes layers with what folders keep in ways of their own.
const dockerfile = `FROM bb:1
ENV KEY=value
RUN mkdir -p /d/e /gone/deep && echo one > /d/one && echo two > /d/e/two && busybox ln /d/one /d/hard && busybox ln -s one /d/soft && busybox chown 12:34 /d/one && busybox chmod 4751 /d/e/two && busybox mkfifo /d/pipe
RUN rm /d/one && rm -rf /d/e /gone && mkdir /d/e && echo new > /d/e/new
COPY big names /srv/
RUN true
RUN busybox chmod 700 /srv && busybox touch -d 2001-02-03 /srv/big
LABEL some=label
CMD ["/bin/cat", "/d/e/new", "/d/hard"]
`

// buildWithDocker fills the engine with images; all of them are in the archive
// at save, by docker save.
func buildWithDocker(e *engine) (save string) {
	e.docker("import", busyboxTar(e.t), "bb:1")
	context := e.t.TempDir()
	must(e.t, os.WriteFile(filepath.Join(context, "Dockerfile"), []byte(dockerfile), 0o644))
	must(e.t, os.WriteFile(filepath.Join(context, "big"), bytes.Repeat([]byte("0123456789abcde\n"), 1<<17), 0o644))
	must(e.t, os.Mkdir(filepath.Join(context, "names"), 0o755))
	must(e.t, os.WriteFile(filepath.Join(context, "names", "caf\u00e9 "+strings.Repeat("n", 200)), []byte("x"), 0o600))
	e.docker("build", "--network=none", "-t", "app:1", context)
	e.docker("tag", "app:1", "registry.example:5000/team/app:v1")
	if got := e.docker("run", "--rm", "--network=none", "app:1"); got != "new\none" {
		e.t.Fatalf("docker run: %q", got)
	}
	save = filepath.Join(e.t.TempDir(), "save.tar")
	e.docker("save", "-o", save, "app:1", "bb:1")
	return save
}

// savedImage is one image of an archive of docker save.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
	// id and config are of the configuration, diffs of the layers' tars, base first.
	id     digest.Digest
	config []byte
	diffs  []string
}

// readSave reads such an archive without any code of strata's.
func readSave(t *testing.T, archive string) []savedImage {
	t.Helper()
	f, err := os.Open(archive)
	must(t, err)
	defer f.Close()
	files, links := map[string][]byte{}, map[string]string{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if h.Typeflag == tar.TypeSymlink {
			links[h.Name] = path.Join(path.Dir(h.Name), h.Linkname)
			continue
		}
		files[h.Name], err = io.ReadAll(tr)
		must(t, err)
	}
	var images []savedImage
	must(t, json.Unmarshal(files["manifest.json"], &images))
	for i := range images {
		img := &images[i]
		img.config = files[img.Config]
		img.id = digest.FromBytes(img.config)
		for _, name := range img.Layers {
			if target, ok := links[name]; ok {
				name = target
			}
			img.diffs = append(img.diffs, digest.FromBytes(files[name]).String())
		}
	}
	return images
}

// TestDockerImport takes the images of a real engine over, and compares them with
// what that engine saved itself.
func TestDockerImport(t *testing.T) {
	testutil.RequireRoot(t)
	for _, name := range []string{"apt-get", "dpkg-deb", "podman", "runc"} {
		testutil.RequireProgram(t, name)
	}
	for _, driver := range []string{"overlay2", "vfs"} {
		t.Run(driver, func(t *testing.T) {
			r := newRoots(t, "overlay")
			e := startDocker(t, driver)
			save := buildWithDocker(e)
			var exit *exec.ExitError
			if out, err := r.try(binary, "docker-import", "--root", e.root(), "--list"); !errors.As(err, &exit) || exit.ExitCode() != 9 || !strings.Contains(out, "in use") {
				t.Errorf("the engine is running: %v, %s", err, out)
			}
			r.strata("docker-import", "--root", e.root(), "--force-running", "bb:1")
			all := strings.Fields(e.docker("images", "--all", "--quiet", "--no-trunc"))
			e.stop()

			before := testutil.Tree(t, e.root())
			saved := readSave(t, save)
			r.strata("docker-import", "--root", e.root())
			compareWithSave(r, saved)
			if got := r.podman("run", "--rm", "--network=none", "registry.example:5000/team/app:v1"); got != "new\none" {
				t.Errorf("podman run: %q", got)
			}
			r.strata("docker-import", "--root", e.root(), "--all")
			var ids []string
			for _, i := range r.records("images") {
				ids = append(ids, "sha256:"+i.ID)
			}
			slices.Sort(all)
			slices.Sort(ids)
			if diff := cmp.Diff(slices.Compact(all), ids); diff != "" {
				t.Errorf("all images:\n%s", diff)
			}
			if diff := cmp.Diff(before, testutil.Tree(t, e.root())); diff != "" {
				t.Errorf("the data root was changed:\n%s", diff)
			}
			importDamaged(t, e, saved)
		})
	}
}

// compareWithSave: the same IDs, names, configurations, diff IDs and bytes.
func compareWithSave(r *roots, saved []savedImage) {
	r.t.Helper()
	if got := r.records("images"); len(got) != len(saved) || len(saved) != 2 {
		r.t.Fatalf("%d images, docker saved %d: %+v", len(got), len(saved), got)
	}
	for _, want := range saved {
		img := r.records("image", "docker.io/library/"+want.RepoTags[0])[0]
		if "sha256:"+img.ID != want.id.String() {
			r.t.Errorf("%s has the ID %s, want %s", want.RepoTags[0], img.ID, want.id)
		}
		file := filepath.Join(r.dir, "config")
		r.strata("get-image-data", "-f", file, img.ID, want.id.String())
		if config, err := os.ReadFile(file); err != nil || !bytes.Equal(config, want.config) {
			r.t.Errorf("%s has another configuration: %v", want.RepoTags[0], err)
		}
		var diffs []string
		for _, l := range r.chain(img.ID) {
			diffs = append([]string{l.DiffDigest}, diffs...)
		}
		if diff := cmp.Diff(want.diffs, diffs); diff != "" {
			r.t.Errorf("%s has other layers:\n%s", want.RepoTags[0], diff)
		}
		r.checkDiffs(img.ID) // the bytes have those digests
	}
}

// importDamaged: a changed file is found, and only its image is left out.
func importDamaged(t *testing.T, e *engine, saved []savedImage) {
	t.Helper()
	changed := ""
	must(t, filepath.WalkDir(e.root(), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "/srv/big") && d.Type().IsRegular() {
			changed = path
			err = os.WriteFile(path, bytes.Repeat([]byte("0123456789abcdE\n"), 1<<17), 0o644)
		}
		return err
	}))
	if changed == "" {
		t.Fatal("no file to change")
	}
	r := newRoots(t, "vfs")
	out, err := r.try(binary, "--graph", r.graph(), "--run", r.runRoot(), "-s", r.driver, "docker-import", "--root", e.root())
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 6 || !strings.Contains(out, "srv/big") {
		t.Errorf("a changed file: %v, %s", err, out)
	}
	images := r.records("images")
	if len(images) != 1 || !slices.ContainsFunc(saved, func(s savedImage) bool {
		return s.RepoTags[0] == "bb:1" && s.id.Encoded() == images[0].ID
	}) {
		t.Errorf("images: %+v", images)
	}
}
