package image_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/testutil"
)

func TestSeparateImageStore(t *testing.T) {
	own, graph := filepath.Join(t.TempDir(), "vfs-images"), filepath.Join(t.TempDir(), "vfs-images")
	before := open(t, image.Options{Dirs: []string{graph}})
	_, err := create(t, before, image.CreateOptions{ID: "old", Names: []string{"n"}, BigData: []image.BigDatum{{Key: "a"}}})
	must(t, err)
	s := open(t, image.Options{Dirs: []string{own, graph}})
	_, err = create(t, s, image.CreateOptions{ID: "new"})
	must(t, err)
	if diff := cmp.Diff([]string{"new", "old"}, list(t, s)); diff != "" {
		t.Fatalf("images (-want +got):\n%s", diff)
	}
	if _, err := create(t, s, image.CreateOptions{ID: "old"}); !errors.Is(err, image.ErrDuplicateID) {
		t.Errorf("ID of the other directory: %v", err)
	}
	if _, err := create(t, s, image.CreateOptions{Names: []string{"n"}}); !errors.Is(err, image.ErrDuplicateName) {
		t.Errorf("name of the other directory: %v", err)
	}
	must(t, change(t, s, func(tx *image.WriteTx) error {
		_, err := tx.AddNames(t.Context(), "new", []string{"n"})
		return err
	}))
	if got := get(t, s, "old").Names; len(got) != 0 {
		t.Errorf("the name was not taken: %v", got)
	}
	it, err := s.StageItem(t.Context(), image.BigDatum{Key: "b", Data: []byte("x")})
	must(t, err)
	must(t, change(t, s, func(tx *image.WriteTx) error { return tx.SetBigData("old", it) }))
	must(t, it.Discard())
	if _, err := os.Stat(filepath.Join(graph, "old", "b")); err != nil {
		t.Errorf("item of an image in the graph root: %v", err)
	}
	must(t, change(t, s, func(tx *image.WriteTx) error { return tx.Delete("old") }))
	if diff := cmp.Diff([]string{"new"}, list(t, s)); diff != "" {
		t.Fatalf("images (-want +got):\n%s", diff)
	}
	if got := list(t, before); len(got) != 0 {
		t.Errorf("the graph root's view: %v", got)
	}
}

// TestSecondPartNotSaved: the new image takes a name from one of the other part, which can
// not be saved. It goes again, or, when that can not be saved either, keeps its data.
func TestSecondPartNotSaved(t *testing.T) {
	for _, c := range []struct {
		name   string
		broken int // files that can be written before
		want   []string
	}{
		{"taken back", 1, []string{"old"}},
		{"not even taken back", 2, []string{"new", "old"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			top := t.TempDir()
			own, graph := filepath.Join(top, "own/vfs-images"), filepath.Join(top, "graph/vfs-images")
			s := open(t, image.Options{Dirs: []string{graph}})
			_, err := create(t, s, image.CreateOptions{ID: "old", Names: []string{"n"}})
			must(t, err)
			s = open(t, image.Options{Dirs: []string{own, graph}})
			st, err := s.Stage(t.Context(), image.CreateOptions{
				ID: "new", Names: []string{"n"}, MoveNames: true, BigData: []image.BigDatum{{Key: "a", Data: []byte("text")}},
			})
			must(t, err)
			full := errors.New("no space")
			err = change(t, s, func(tx *image.WriteTx) error {
				if _, err := tx.Adopt(t.Context(), st, "top"); err != nil {
					return err
				}
				under := map[int]string{1: graph, 2: top}[c.broken]
				t.Cleanup(faults.Enable(faults.Rule{Point: "atomicfile.write", Under: under, Skip: c.broken - 1, Err: full}))
				return nil
			})
			must(t, st.Discard())
			if !errors.Is(err, full) {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(c.want, list(t, s)); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
			_, err = os.Stat(filepath.Join(own, "new", "a"))
			if there := err == nil; there != (len(c.want) == 2) {
				t.Errorf("data of the image: %v", err)
			}
		})
	}
}

func TestAdditionalStore(t *testing.T) {
	foreign := filepath.Join(t.TempDir(), "vfs-images")
	_, err := create(t, open(t, image.Options{Dirs: []string{foreign}}), image.CreateOptions{
		ID: "i1", Names: []string{"n"}, BigData: []image.BigDatum{{Key: "manifest", Data: []byte("m")}},
	})
	must(t, err)
	before := snapshot(t, foreign)
	s := open(t, image.Options{Additional: []string{filepath.Join(t.TempDir(), "none"), foreign}})
	if img := get(t, s, "n"); !img.ReadOnly || img.ID != "i1" {
		t.Fatalf("image %s, read only %t", img.ID, img.ReadOnly)
	}
	refused := map[string]func(tx *image.WriteTx) error{
		"delete":   func(tx *image.WriteTx) error { return tx.Delete("i1") },
		"metadata": func(tx *image.WriteTx) error { return tx.SetMetadata("i1", "x") },
		"writable lookup": func(tx *image.WriteTx) error {
			_, err := tx.LookupWritable("i1")
			return err
		},
	}
	for name, f := range refused {
		if err := change(t, s, f); !errors.Is(err, image.ErrUnknown) {
			t.Errorf("%s: %v, want ErrUnknown", name, err)
		}
	}
	must(t, change(t, s, func(tx *image.WriteTx) error {
		_, err := tx.AddNames(t.Context(), "i1", []string{"x"})
		return err
	}))
	img := get(t, s, "i1")
	if diff := cmp.Diff([]string{"x", "n"}, img.Names); diff != "" || img.ReadOnly {
		t.Fatalf("the copy: read only %t, names (-want +got):\n%s", img.ReadOnly, diff)
	}
	view(t, s, func(tx *image.ReadTx) {
		data, err := tx.BigData(t.Context(), img, "manifest")
		if err != nil || string(data) != "m" {
			t.Errorf("the copy's item: %q, %v", data, err)
		}
	})
	must(t, change(t, s, func(tx *image.WriteTx) error { return tx.Delete("i1") }))
	if img := get(t, s, "i1"); !img.ReadOnly {
		t.Error("the original is gone")
	}
	if diff := cmp.Diff(before, snapshot(t, foreign)); diff != "" {
		t.Errorf("the additional store was written (-before +after):\n%s", diff)
	}
}

// TestAdditionalStoreWithoutLockFile: on read-only media its lock file can not be
// made; its images are left out and the others stay usable.
func TestAdditionalStoreWithoutLockFile(t *testing.T) {
	testutil.RequireRoot(t)
	foreign := filepath.Join(t.TempDir(), "vfs-images")
	must(t, os.Mkdir(foreign, 0o700))
	must(t, os.WriteFile(filepath.Join(foreign, "images.json"), []byte(`[{"id":"ro","created":"2024-01-02T03:04:05Z"}]`), 0o600))
	must(t, unix.Mount(foreign, foreign, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, testutil.Unmount(foreign)) })
	must(t, unix.Mount("", foreign, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	s := open(t, image.Options{Additional: []string{foreign}})
	_, err := create(t, s, image.CreateOptions{ID: "own"})
	must(t, err)
	if diff := cmp.Diff([]string{"own"}, list(t, s)); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	view(t, s, func(tx *image.ReadTx) {
		if _, err := tx.Lookup("ro"); !errors.Is(err, image.ErrUnknown) {
			t.Errorf("lookup: %v", err)
		}
		if _, err := tx.ByTopLayer("none"); err != nil {
			t.Errorf("by layer: %v", err)
		}
	})
}

// TestBackups: each directory has a file of its own, and the graph root's is the
// same with and without a separate image store.
func TestBackups(t *testing.T) {
	own, graph, backup := filepath.Join(t.TempDir(), "vfs-images"), filepath.Join(t.TempDir(), "vfs-images"), filepath.Join(t.TempDir(), "backup")
	plain := open(t, image.Options{Dirs: []string{graph}, BackupDir: backup})
	split := open(t, image.Options{Dirs: []string{own, graph}, BackupDir: backup})
	for _, id := range []image.ID{"g1", "g2"} {
		_, err := create(t, plain, image.CreateOptions{ID: id})
		must(t, err)
	}
	for _, id := range []image.ID{"i1", "i2"} {
		_, err := create(t, split, image.CreateOptions{ID: id})
		must(t, err)
	}
	data, err := os.ReadFile(filepath.Join(backup, "vfs-images.json"))
	if err != nil || !strings.Contains(string(data), `"id":"g1"`) || strings.Contains(string(data), `"id":"i1"`) {
		t.Errorf("backup of the graph root's: %s, %v", data, err)
	}
	entries, err := os.ReadDir(backup)
	earlier := func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), ".earlier.json") }
	if newest := slices.DeleteFunc(entries, earlier); err != nil || len(newest) != 2 {
		t.Errorf("backups %v, %v", newest, err)
	}
}
