package layer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// fixture is an unpacked store of another engine.
type fixture struct {
	env
	layers  string        // its list as JSON
	digests map[ID]string // of the uncompressed diffs
	changes []string      // of the container c-changed
}

// openFixture unpacks one into a fresh directory. Its paths differ from those that
// it was made with, which only mountpoints.json holds.
func openFixture(t testing.TB, name, driver string) *fixture {
	t.Helper()
	testutil.RequireRoot(t)
	dir := t.TempDir()
	testutil.Unpack(t, filepath.Join("testdata", name+".tar.zst"), dir)
	root := filepath.Join(dir, name)
	f := &fixture{digests: map[ID]string{}}
	f.env = env{driver: driver, graph: filepath.Join(root, "graph"), run: filepath.Join(root, "run")}
	if images := filepath.Join(root, "images"); exists(images) {
		f.image = images
	}
	f.transient = exists(filepath.Join(f.runDir(), volatileName))
	f.read(t, filepath.Join(root, "expected.txt"))
	return f
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// read parses expected.txt; damaged stores have none.
func (f *fixture) read(t testing.TB, path string) {
	t.Helper()
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	section := ""
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if heading, ok := strings.CutPrefix(line, "== "); ok {
			section = heading
			continue
		}
		id, sum, pair := strings.Cut(line, " ")
		switch {
		case line == "":
		case section == "layers":
			f.layers = line
		case strings.HasPrefix(section, "diffs") && pair:
			f.digests[ID(id)] = sum
		case strings.HasPrefix(section, "changes"):
			f.changes = append(f.changes, line)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestFixtures(t *testing.T) {
	for name, driver := range map[string]string{
		"plain-overlay": "overlay", "plain-vfs": "vfs", "split-overlay": "overlay", "transient-overlay": "overlay",
	} {
		t.Run(name, func(t *testing.T) {
			f := openFixture(t, name, driver)
			s := f.open(t)
			view(t, s, func(tx *ReadTx) { compareList(t, tx, f.layers) })
			for id, want := range f.digests {
				if driver == "vfs" && id == f.changedContainer(t) {
					continue // has deletions: the other engine gives them the time of the export
				}
				data, err := diff(s, id, "", plain)
				if err != nil {
					t.Errorf("diff of %s: %v", id, err)
					continue
				}
				if got := testutil.Digest(data).Encoded(); got != want {
					t.Errorf("diff of %s has digest %s, want %s", id, got, want)
				}
			}
			if len(f.digests) == 0 {
				t.Error("the fixture expects no diffs")
			}
			f.compareChanges(t, s)
		})
	}
}

// compareList compares the records with the other engine's JSON, key by key in order.
func compareList(t *testing.T, tx *ReadTx, want string) {
	t.Helper()
	layers, err := tx.Layers()
	if err != nil {
		t.Fatal(err)
	}
	records := make([]Record, len(layers))
	for i := range layers {
		records[i] = layers[i].Record
	}
	got, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("list differs:\n got %s\nwant %s", got, want)
	}
}

func (f *fixture) compareChanges(t *testing.T, s *Store) {
	t.Helper()
	if len(f.changes) == 0 {
		return
	}
	id := f.changedContainer(t)
	changes, err := s.Changes(context.Background(), id, "", DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, c.String())
	}
	if d := cmp.Diff(f.changes, got); d != "" {
		t.Errorf("changes (-want +got):\n%s", d)
	}
}

// changedContainer returns the layer of the container c-changed.
func (f *fixture) changedContainer(t *testing.T) ID {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.graph, f.driver+"-containers", "containers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var containers []struct {
		Names []string
		Layer ID
	}
	if err := json.Unmarshal(data, &containers); err != nil {
		t.Fatal(err)
	}
	for _, c := range containers {
		if len(c.Names) == 1 && c.Names[0] == "c-changed" {
			return c.Layer
		}
	}
	t.Fatal("the fixture has no container c-changed")
	return ""
}

func TestFixtureWithFlaggedLayer(t *testing.T) {
	f := openFixture(t, "damaged-flagged", "overlay")
	before := strings.Count(readRecords(t, &f.env), `"id":`)
	s := f.open(t)
	view(t, s, func(tx *ReadTx) {
		if n := len(tx.IDs()); n >= before+1 || n == 0 {
			t.Errorf("%d layers", n)
		}
	})
	if strings.Contains(readRecords(t, &f.env), "incomplete") {
		t.Error("the flagged record is still there")
	}
}

func TestFixtureWithZeroLengthRecords(t *testing.T) {
	f := openFixture(t, "damaged-zero-layers", "overlay")
	s, err := Open(f.options(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.View(context.Background()); !errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("view: %v, want ErrCorrupt", err)
	}
}

func TestFixtureWithShortTarSplit(t *testing.T) {
	f := openFixture(t, "damaged-short-tar-split", "overlay")
	s := f.open(t)
	corrupt := 0
	for _, id := range listIDs(t, s) {
		_, err := diff(s, id, "", plain)
		if errors.Is(err, errdefs.ErrCorrupt) {
			corrupt++
		} else if err != nil {
			t.Errorf("diff of %s: %v", id, err)
		}
	}
	if corrupt != 1 {
		t.Errorf("%d layers are corrupt, want 1", corrupt)
	}
}

func TestFixtureWithStaleCount(t *testing.T) {
	f := openFixture(t, "damaged-stale-count", "overlay")
	s := f.open(t)
	ctx := context.Background()
	var id ID
	view(t, s, func(tx *ReadTx) {
		layers, err := tx.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			if l.MountCount == 3 {
				id = l.ID
			}
		}
	})
	if id == "" {
		t.Fatal("no layer has the stale count")
	}
	if n, err := s.Mounted(ctx, id); n != 0 || err != nil {
		t.Errorf("stale mount counts as %d, %v", n, err)
	}
	if mounted, counted, err := s.MountedLayers(ctx); len(mounted) != 0 || !slices.Equal(counted, []ID{id}) || err != nil {
		t.Errorf("mounted layers %v, counted %v, %v", mounted, counted, err)
	}
	if _, err := s.Mount(ctx, id, MountOptions{}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Mounted(ctx, id); n != 1 || err != nil {
		t.Errorf("mounted %d times after one mount, %v", n, err)
	}
	if gone, err := s.Unmount(ctx, id, UnmountOptions{}); !gone || err != nil {
		t.Errorf("unmount: %v, %v", gone, err)
	}
}

func TestFixtureSurvivesItsOwnDeletion(t *testing.T) {
	for name, driver := range map[string]string{"plain-overlay": "overlay", "plain-vfs": "vfs", "split-overlay": "overlay", "transient-overlay": "overlay"} {
		t.Run(name, func(t *testing.T) {
			f := openFixture(t, name, driver)
			s := f.open(t)
			remove(t, s, listIDs(t, s)...)
			ids, err := s.driver().(graphdriver.Lister).List(context.Background())
			if err != nil || len(ids) != 0 {
				t.Errorf("the driver still has %v, %v", ids, err)
			}
		})
	}
}

// What a power cut leaves of the driver's small files is mended from the records.
func TestFixturesWithLostNotes(t *testing.T) {
	for _, name := range []string{"damaged-empty-lower", "damaged-empty-link", "damaged-no-links"} {
		t.Run(name, func(t *testing.T) {
			sound := openFixture(t, "plain-overlay", "overlay")
			f := openFixture(t, name, "overlay")
			s := f.open(t)
			ctx := context.Background()
			for id, want := range sound.digests {
				path, err := s.Mount(ctx, id, MountOptions{})
				if err != nil {
					t.Errorf("mount %s: %v", id, err)
					continue
				}
				if !exists(filepath.Join(path, "etc/os-release")) && len(get(t, s, id).Parent) > 0 {
					t.Errorf("%s is mounted without its ancestors", id)
				}
				if _, err := s.Unmount(ctx, id, UnmountOptions{}); err != nil {
					t.Errorf("unmount %s: %v", id, err)
				}
				data, err := diff(s, id, "", plain)
				if err != nil {
					t.Errorf("diff of %s: %v", id, err)
					continue
				}
				if got := testutil.Digest(data).Encoded(); got != want {
					t.Errorf("diff of %s has digest %s, want %s", id, got, want)
				}
			}
		})
	}
}

func TestLostNotesDoNotStopChildren(t *testing.T) {
	f := openFixture(t, "damaged-empty-lower", "overlay")
	s := f.open(t)
	for _, id := range listIDs(t, s) {
		child := create(t, s, CreateOptions{Parent: id})
		staged := load(t, s, id, upperTar(t))
		if data, err := diff(s, child.ID, "", plain); err != nil || len(data) != 1024 {
			t.Errorf("diff of a child of %s: %d bytes, %v", id, len(data), err)
		}
		if data, err := diff(s, staged.ID, "", plain); err != nil || !bytes.Equal(data, upperTar(t)) {
			t.Errorf("diff of a staged child of %s: %v", id, err)
		}
	}
}
