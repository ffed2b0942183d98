package ontop

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/internal/tree"
)

func TestDiffAndCommit(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	must(t, os.Mkdir(base+"/again", 0o755), os.WriteFile(base+"/again/old", nil, 0o644))
	make1(t, d, base)
	path := mount(t, d, "A")
	write(t, path+"/file", "changed")
	write(t, path+"/new", "new")
	must(t, os.Remove(path+"/dir/inner"), os.RemoveAll(path+"/again"), os.Mkdir(path+"/again", 0o755))
	write(t, path+"/again/fresh", "")
	if err := d.CommitDir(t.Context(), "v", filepath.Join(t.TempDir(), "x")); !errors.Is(err, volume.ErrInUse) {
		t.Errorf("commit in use: %v", err)
	}
	changes, err := d.Diff(t.Context(), "v")
	must(t, err)
	var got []string
	for _, c := range changes {
		got = append(got, c.Kind.String()+" "+c.Path)
	}
	want := []string{"C /again", "A /again/fresh", "D /again/old", "C /dir", "D /dir/inner", "C /file", "A /new"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	merged := testutil.Tree(t, path, testutil.IgnoreNlink, testutil.IgnoreXattrs)
	unmount(t, d, "A")
	dir := filepath.Join(t.TempDir(), "committed")
	must(t, d.CommitDir(t.Context(), "v", dir))
	if diff := cmp.Diff(merged, testutil.Tree(t, dir, testutil.IgnoreNlink, testutil.IgnoreXattrs)); diff != "" {
		t.Error(diff)
	}
	if err := d.CommitDir(t.Context(), "v", dir); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// TestCommitAfterAKill: what a killed commit to the same directory left is removed, what another
// is at is not.
func TestCommitAfterAKill(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	dir := filepath.Join(t.TempDir(), "committed")
	left, killed, err := tree.NewDir(filepath.Dir(dir), commitPrefix(dir))
	must(t, err, killed.Close())
	busy, held, err := tree.NewDir(filepath.Dir(dir), commitPrefix(dir))
	must(t, err)
	defer held.Close()
	must(t, d.CommitDir(t.Context(), "v", dir))
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Error("what the killed commit left is there")
	}
	if _, err := os.Stat(busy); err != nil {
		t.Error(err)
	}
}

func TestCloneSnapshotRenameDiscard(t *testing.T) {
	testutil.RequireRoot(t)
	ctx := t.Context()
	d, base := setup(t)
	make1(t, d, base)
	path := mount(t, d, "A")
	write(t, path+"/file", "first")
	must(t, os.Remove(path+"/dir/inner"))
	if _, err := d.Clone(ctx, "v", "copy"); !errors.Is(err, volume.ErrInUse) {
		t.Errorf("clone in use: %v", err)
	}
	unmount(t, d, "A")
	_, err := d.Snapshot(ctx, "v", "snap")
	must(t, err)
	write(t, mount(t, d, "A")+"/file", "second")
	unmount(t, d, "A")
	_, err = d.Clone(ctx, "snap", "back")
	must(t, err, d.Discard(ctx, "v"), d.Rename(ctx, "v", "renamed"))
	if err := d.Rename(ctx, "renamed", "back"); !errors.Is(err, volume.ErrExists) {
		t.Error(err)
	}
	if err := d.Discard(ctx, "snap"); !errors.Is(err, errdefs.ErrReadOnly) {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		text     string
		writable bool
	}{"snap": {"first", false}, "back": {"first", true}, "renamed": {"base", true}} {
		path, err := d.Mount(ctx, name, "A")
		must(t, err)
		if got := read(t, path+"/file"); got != c.text {
			t.Errorf("%s has %s, want %s", name, got, c.text)
		}
		if _, err := os.Stat(path + "/dir/inner"); (err == nil) != (c.text == "base") {
			t.Errorf("%s: whiteout is lost or stays: %v", name, err)
		}
		if err := os.WriteFile(path+"/w", nil, 0o600); (err == nil) != c.writable {
			t.Errorf("%s: writing gives %v", name, err)
		}
		must(t, d.Unmount(ctx, name, "A"), d.Remove(ctx, name))
	}
}

// images is an image store with one image, which is a directory.
type images struct {
	dir   string
	mu    sync.Mutex
	users map[string]bool
	// stay makes Unmount fail.
	stay error
}

func (i *images) Mount(_ context.Context, image, user string) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if image != "img" {
		return "", errdefs.ErrNotFound
	}
	i.users[user] = true
	return i.dir, nil
}

func (i *images) Unmount(_ context.Context, _, user string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stay == nil {
		delete(i.users, user)
	}
	return i.stay
}

func TestOnTopOfAnImage(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	store := &images{dir: base, users: map[string]bool{}}
	d.opts.Images = store
	if _, err := d.Create(t.Context(), "v", map[string]string{"lower": "none"}); !errors.Is(err, errdefs.ErrNotFound) {
		t.Error(err)
	}
	_, err := d.Create(t.Context(), "v", map[string]string{"lower": "img"})
	must(t, err)
	if got := read(t, mount(t, d, "A")+"/file"); got != "base" || !store.users["volume:v"] {
		t.Errorf("%s %v", got, store.users)
	}
	if changes, err := d.Diff(t.Context(), "v"); len(changes) != 0 || err != nil || len(store.users) != 1 {
		t.Errorf("%v, %v", changes, err)
	}
	must(t, mountapi.Unmount(d.place("v").path(mountDir)))
	d, err = New(t.Context(), Options{Root: d.opts.Root, Images: store})
	must(t, err)
	if len(store.users) != 0 {
		t.Error("the image of a user who is gone is still used after a restart")
	}
	mount(t, d, "B")
	unmount(t, d, "B")
	if len(store.users) != 0 {
		t.Error("the image is still used")
	}
	// A process that is killed while it makes a volume leaves its folder and its use of the image.
	half := d.opts.Root + "/" + newPrefix + "1"
	store.users[imageUser(newPrefix+"1")] = true
	must(t, os.Mkdir(half, 0o700), os.Chtimes(half, longAgo, longAgo))
	_, err = New(t.Context(), Options{Root: d.opts.Root, Images: store})
	must(t, err)
	if len(store.users) != 0 {
		t.Error("the image of a volume that was never completed is still used")
	}
}

// TestImageThatStaysMounted: a volume is not made, and the next start unmounts its image.
func TestImageThatStaysMounted(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	store := &images{dir: base, users: map[string]bool{}, stay: errors.New("busy")}
	d.opts.Images = store
	if _, err := d.Create(t.Context(), "v", map[string]string{"lower": "img"}); !errors.Is(err, store.stay) {
		t.Error(err)
	}
	if list, err := d.List(t.Context()); len(list) != 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	store.stay = nil
	d, err := New(t.Context(), Options{Root: d.opts.Root, Images: store})
	must(t, err, d.Close())
	if left, _ := os.ReadDir(d.opts.Root); len(left) != 0 || len(store.users) != 0 {
		t.Errorf("left: %v, %v", left, store.users)
	}
}

func FuzzNames(f *testing.F) {
	for _, seed := range []string{"v", "..", "a/b", ".x", "\x00"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, name, id string) {
		if checkName(name) == nil && filepath.Join("/r", name) != "/r/"+name {
			t.Errorf("name %q", name)
		}
		if checkID(id) == nil && (filepath.Join("/r", id) != "/r/"+id || hidden(id)) {
			t.Errorf("id %q", id)
		}
	})
}

func FuzzOptions(f *testing.F) {
	f.Add("base", "/", "volatile", "yes")
	f.Add("base", "rel", "x", "")
	d := &Driver{opts: Options{Root: "/nonexistent-state"}, log: discard()}
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		m, err := d.parseOptions(map[string]string{k1: v1, k2: v2})
		if err == nil && (!filepath.IsAbs(m.Base) || filepath.Clean(m.Base) != m.Base) {
			t.Errorf("base %q", m.Base)
		}
	})
}

// layers packs as the command does, with the archive package.
type layers struct{}

func (layers) Pack(ctx context.Context, w io.Writer, upper string, lowers []string) error {
	changes, err := archive.OverlayChanges(ctx, upper, lowers, archive.WhiteoutTrusted, archive.CompareOptions{})
	if err != nil {
		return err
	}
	return archive.PackChanges(ctx, w, upper, changes, archive.PackOptions{Whiteouts: archive.WhiteoutTrusted})
}

func TestCommitTar(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	path := mount(t, d, "A")
	write(t, path+"/new", "new")
	must(t, os.Remove(path+"/dir/inner"))
	unmount(t, d, "A")
	var out bytes.Buffer
	must(t, d.CommitTar(t.Context(), "v", &out, layers{}))
	var names []string
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		names = append(names, h.Name)
	}
	if diff := cmp.Diff([]string{"dir/", "dir/.wh.inner", "new"}, names); diff != "" {
		t.Error(diff)
	}
}
