package strata_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// engine runs programs of the other engines on the same store.
type engine struct {
	t testing.TB
	s *storetest.Store
}

// engines skips the test when the programs are missing.
func engines(t testing.TB, s *storetest.Store, programs ...string) engine {
	t.Helper()
	for _, p := range programs {
		testutil.RequireProgram(t, p)
	}
	return engine{t, s}
}

// storage runs containers-storage and returns its output.
func (e engine) storage(args ...string) string {
	e.t.Helper()
	out, err := e.try("containers-storage", append([]string{
		"--graph", e.s.GraphRoot(), "--run", e.s.RunRoot(), "--storage-driver", e.s.DriverName(), "--debug=false",
	}, args...)...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// podman and buildah take the same global options.
func (e engine) podman(args ...string) string { return e.with("podman", args...) }

func (e engine) buildah(args ...string) string { return e.with("buildah", args...) }

func (e engine) with(program string, args ...string) string {
	e.t.Helper()
	global := []string{"--root", e.s.GraphRoot(), "--runroot", e.s.RunRoot(), "--storage-driver", e.s.DriverName()}
	if program == "podman" {
		global = append(global, "--tmpdir", filepath.Join(filepath.Dir(e.s.RunRoot()), "tmp"), "--cgroup-manager=cgroupfs", "--events-backend=file")
	}
	out, err := e.try(program, append(global, args...)...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// specifier is how image tools name an image of this store.
func (e engine) specifier(name string) string {
	return fmt.Sprintf("containers-storage:[%s@%s+%s]%s", e.s.DriverName(), e.s.GraphRoot(), e.s.RunRoot(), name)
}

func (e engine) skopeo(args ...string) string {
	e.t.Helper()
	out, err := e.try("skopeo", append([]string{"--insecure-policy"}, args...)...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// try returns standard output without blanks at its ends.
func (e engine) try(program string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "BUILDAH_ISOLATION=chroot")
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(args, " "), err, &stdout, &stderr)
	}
	return strings.TrimSpace(stdout.String()), nil
}

// list runs containers-storage and returns the first words of its lines that are
// not indented.
func (e engine) list(args ...string) (out []string) {
	e.t.Helper()
	for line := range strings.Lines(e.storage(args...)) {
		if line = strings.TrimRight(line, "\n"); line != "" && line[0] != '\t' {
			out = append(out, line)
		}
	}
	return out
}

// TestStorageCommandOnStrata: what strata made, containers-storage lists, reads,
// mounts, changes and deletes.
func TestStorageCommandOnStrata(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		e := engines(t, s, "containers-storage")
		ctx := t.Context()
		importLayer(t, s, "lay1", "", testutil.Entry{Name: "f", Body: "one"})
		importLayer(t, s, "lay2", "lay1", testutil.Entry{Name: "g", Body: "two"}, testutil.Entry{Name: ".wh.f"})
		createImage(t, s, "img1", "lay2", "app:1")
		must(t, s.SetBigData(ctx, strata.KindImage, "img1", "A_b", []byte("data")))
		c := createContainer(t, s, "con1", "img1", "web")
		must(t, s.SetMetadata(ctx, "con1", "text"))

		wantEqual(t, "layers", []string{"lay1", "lay2", string(c.Layer)}, e.list("layers"))
		wantEqual(t, "images", []string{"img1"}, e.list("images"))
		wantEqual(t, "containers", []string{"con1"}, e.list("containers"))
		wantEqual(t, "data", "data", e.storage("get-image-data", "img1", "A_b"))
		wantEqual(t, "metadata", "con1: text", e.storage("metadata", "con1"))
		wantEqual(t, "records", recordsOf(t, s), e.storage("layers", "--json"))

		root := e.storage("mount", "con1")
		wantEqual(t, "tree", []string{"g"}, paths(t, root))
		must(t, os.WriteFile(filepath.Join(root, "h"), []byte("three"), 0o600))
		if n, err := s.Mounted(ctx, "web"); err != nil || n != 1 {
			t.Errorf("mounted %d times, %v", n, err)
		}
		must(t, errOf(s.Unmount(ctx, "web", strata.UnmountOptions{})))
		wantEqual(t, "changes", `Add "/h"`, e.storage("changes", string(c.Layer)))
		for id, l := range map[string]string{"lay1": "", "lay2": "lay1"} {
			out := filepath.Join(t.TempDir(), "diff")
			e.storage("diff", "-u", "-f", out, id)
			data, err := os.ReadFile(out)
			must(t, err)
			if !bytes.Equal(data, diff(t, s, id, l)) {
				t.Errorf("the engine's diff of %s has other bytes", id)
			}
		}
		e.storage("add-names", "-n", "extra", "con1")
		names, err := s.Names(ctx, "con1")
		must(t, err)
		wantEqual(t, "names", []string{"extra", "web"}, sorted(names))
		e.storage("delete-container", "web")
		e.storage("delete-image", "img1")
		wantIDs(t, s, nil, nil, nil)
	})
}

func recordsOf(t testing.TB, s *storetest.Store) string {
	t.Helper()
	all, err := s.Layers(t.Context())
	must(t, err)
	records := make([]layer.Record, len(all))
	for i, l := range all {
		records[i] = l.Record
	}
	text, err := json.Marshal(records)
	must(t, err)
	return string(text)
}

// TestStrataOnStorageCommand: what containers-storage made, strata lists, reads,
// mounts, changes and deletes.
func TestStrataOnStorageCommand(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		e := engines(t, s, "containers-storage")
		ctx := t.Context()
		blob := filepath.Join(t.TempDir(), "blob.tar")
		data := testutil.Tar(t, testutil.Entry{Name: "d/"}, testutil.Entry{Name: "d/f", Body: "one"})
		must(t, os.WriteFile(blob, data, 0o600))
		e.storage("import-layer", "-i", "lay1", "-n", "base", "-f", blob)
		e.storage("create-layer", "-i", "lay2", "lay1")
		e.storage("create-image", "-i", "img1", "-n", "app:1", "-m", "meta", "lay2")
		e.storage("set-image-data", "-f", blob, "img1", "manifest")
		e.storage("create-container", "-i", "con1", "-n", "web", "img1")

		c, err := s.Container(ctx, "web")
		must(t, err)
		wantIDs(t, s, []string{"lay1", "lay2", string(c.Layer)}, []string{"img1"}, []string{"con1"})
		if !bytes.Equal(diff(t, s, "base", ""), data) {
			t.Error("the diff has other bytes")
		}
		got, err := s.BigData(ctx, strata.KindImage, "img1", "manifest")
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes of data, %v", len(got), err)
		}
		root, err := s.Mount(ctx, "web", strata.MountOptions{})
		must(t, err)
		wantEqual(t, "path", root, e.storage("mount", "web"))
		must(t, os.Remove(filepath.Join(root, "d/f")))
		e.storage("unmount", "web")
		if n, err := s.Mounted(ctx, "web"); err != nil || n != 1 {
			t.Errorf("mounted %d times, %v", n, err)
		}
		must(t, errOf(s.Unmount(ctx, "web", strata.UnmountOptions{})))
		wantEqual(t, "diff", []string{"d/", "d/.wh.f"}, sorted(tarNames(t, diff(t, s, "web", ""))))
		must(t, errOf(s.SetNames(ctx, "img1", []string{"other:1"})))
		wantEqual(t, "names seen by the engine", "other:1", e.storage("get-names", "img1"))
		must(t, s.DeleteContainer(ctx, "web"))
		removed, err := s.DeleteImage(ctx, "other:1", strata.DeleteImageOptions{})
		must(t, err)
		wantEqual(t, "removed", []layer.ID{"lay2", "lay1"}, removed)
		for _, verb := range []string{"layers", "images", "containers"} {
			wantEqual(t, verb, []string(nil), e.list(verb))
		}
	})
}

// ociImage lays an image down as the engines do: layers under derived IDs,
// manifest and config as data items, all in one save (on-disk format, 7).
func ociImage(t testing.TB, s *storetest.Store, name string, layers ...[]byte) image.Image {
	t.Helper()
	ctx := t.Context()
	type descriptor struct {
		MediaType string        `json:"mediaType"`
		Digest    digest.Digest `json:"digest"`
		Size      int           `json:"size"`
	}
	var parent layer.ID
	var diffIDs []digest.Digest
	var blobs []descriptor
	for _, data := range layers {
		d := testutil.Digest(data)
		id := layer.ImageLayerID(parent, layer.DiffID(d))
		l, err := s.ImportLayer(ctx, strata.LayerOptions{ID: id, Parent: string(parent), Expect: layer.DiffID(d), Image: true}, bytes.NewReader(data))
		must(t, err)
		parent = l.ID
		diffIDs = append(diffIDs, d)
		blobs = append(blobs, descriptor{"application/vnd.oci.image.layer.v1.tar", d, len(data)})
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z",
		"config": map[string]any{"Cmd": []string{"/bin/true"}}, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	must(t, err)
	configDigest := digest.FromBytes(config)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": descriptor{"application/vnd.oci.image.config.v1+json", configDigest, len(config)}, "layers": blobs,
	})
	must(t, err)
	i, err := s.CreateImage(ctx, image.CreateOptions{
		ID: image.ID(configDigest.Encoded()), TopLayer: string(parent), Names: []string{name}, NamesHistory: []string{name}, Metadata: "{}",
		BigData: []image.BigDatum{
			{Key: configDigest.String(), Data: config},
			{Key: "manifest-" + digest.FromBytes(manifest).String(), Data: manifest},
			{Key: "manifest", Data: manifest},
		},
	})
	must(t, err)
	return i
}

func twoLayers(t testing.TB) [][]byte {
	return [][]byte{
		testutil.Tar(t, testutil.Entry{Name: "bin/"}, testutil.Entry{Name: "bin/true", Body: "#!/nothing\n", Mode: 0o755}, testutil.Entry{Name: "gone", Body: "x"}),
		testutil.Tar(t, testutil.Entry{Name: ".wh.gone"}, testutil.Entry{Name: "etc/"}, testutil.Entry{Name: "etc/f", Body: "two", UID: 5, GID: 6}),
	}
}

// TestPodmanOnStrata: an image that strata made is listed, inspected, used and
// deleted by podman and buildah, and copied out by skopeo with the same digests.
func TestPodmanOnStrata(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		e := engines(t, s, "podman", "buildah", "skopeo")
		ctx := t.Context()
		layers := twoLayers(t)
		i := ociImage(t, s, "localhost/strata:1", layers...)

		wantEqual(t, "podman images", "localhost/strata:1 "+string(i.ID), e.podman("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{slice .ID 7}}"))
		wantEqual(t, "podman inspect", i.Digest.String(), e.podman("inspect", "--format", "{{.Digest}}", "localhost/strata:1"))
		dir := t.TempDir()
		e.skopeo("copy", e.specifier("localhost/strata:1"), "dir:"+dir)
		for _, data := range layers {
			copied, err := os.ReadFile(filepath.Join(dir, testutil.Digest(data).Encoded()))
			if err != nil || !bytes.Equal(copied, data) {
				t.Errorf("copied layer: %d bytes, %v", len(copied), err)
			}
		}
		e.podman("create", "--name", "pod1", "localhost/strata:1")
		c, err := s.Container(ctx, "pod1")
		must(t, err)
		if c.Image != i.ID {
			t.Errorf("podman's container is of image %s", c.Image)
		}
		write(t, s, "pod1", "etc/new", "12345")
		wantEqual(t, "podman diff", "A /etc/new", grep(e.podman("diff", "pod1"), "/etc/new"))
		if _, err := s.DeleteImage(ctx, string(i.ID), strata.DeleteImageOptions{}); err == nil {
			t.Error("an image that podman uses was deleted")
		}
		name := e.buildah("from", "localhost/strata:1")
		b, err := s.Container(ctx, name)
		must(t, err)
		wantEqual(t, "buildah's container", i.ID, b.Image)
		e.buildah("rm", name)
		e.podman("rm", "pod1")
		e.podman("rmi", "localhost/strata:1")
		wantIDs(t, s, nil, nil, nil)
	})
}

func grep(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// TestStrataOnPodman: what skopeo, podman and buildah stored is listed, mounted,
// diffed and deleted by strata.
func TestStrataOnPodman(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		e := engines(t, s, "podman", "buildah", "skopeo")
		ctx := t.Context()
		source := storetest.New(t, "vfs")
		layers := twoLayers(t)
		want := ociImage(t, source, "localhost/strata:1", layers...)
		archive := "oci-archive:" + filepath.Join(t.TempDir(), "image.tar")
		e.skopeo("copy", engine{t, source}.specifier("localhost/strata:1"), archive)
		e.skopeo("copy", archive, e.specifier("localhost/copy:1"))
		e.buildah("from", "--name", "build1", "localhost/copy:1")
		e.podman("create", "--name", "pod1", "localhost/copy:1")

		i, err := s.Image(ctx, "localhost/copy:1")
		must(t, err)
		wantEqual(t, "image ID", want.ID, i.ID)
		all, err := s.Layers(ctx)
		must(t, err)
		for n, data := range layers {
			if !bytes.Equal(diff(t, s, string(all[n].ID), ""), data) {
				t.Errorf("layer %d has another diff", n)
			}
		}
		for _, name := range []string{"build1", "pod1"} {
			write(t, s, name, "etc/new", "12345")
			if n, err := s.DiffSize(ctx, name, ""); err != nil || n != 5 {
				t.Errorf("diff size of %s: %d, %v", name, n, err)
			}
			must(t, s.DeleteContainer(ctx, name))
		}
		wantEqual(t, "buildah's list", "", e.buildah("containers", "-q"))
		must(t, errOf(s.DeleteImage(ctx, string(i.ID), strata.DeleteImageOptions{})))
		wantIDs(t, s, nil, nil, nil)
		wantEqual(t, "podman's images", "", e.podman("images", "-q"))
	})
}

// TestBesideStorageCommand has strata and containers-storage create, mount and
// delete at once. Nobody sees an error, and nothing is left.
func TestBesideStorageCommand(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		e := engines(t, s, "containers-storage")
		shared(t, s)
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for n := range errs {
			wg.Go(func() {
				if n%2 == 0 {
					errs[n] = useStore(t.Context(), s.Store, n)
				} else {
					errs[n] = e.use(n)
				}
			})
		}
		wg.Wait()
		must(t, errors.Join(errs...))
		wantIDs(t, s, []string{"shared"}, []string{"shared"}, nil)
	})
}

// use does a user's rounds with containers-storage.
func (e engine) use(n int) error {
	for i := range 5 {
		id := fmt.Sprintf("e%d-%d", n, i)
		for _, args := range [][]string{
			{"create-layer", "-i", id, "shared"}, {"create-image", "-i", id, id}, {"create-container", "-i", "c" + id, id},
			{"mount", "c" + id}, {"layers"}, {"unmount", "c" + id}, {"delete-container", "c" + id}, {"delete-image", id},
		} {
			_, err := e.try("containers-storage", append([]string{
				"--graph", e.s.GraphRoot(), "--run", e.s.RunRoot(), "--storage-driver", e.s.DriverName(), "--debug=false",
			}, args...)...)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
