package volume

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/errdefs"
)

// copying is a fake that has the powers to copy and rename.
type copying struct {
	*fake
	// renamed runs after a rename.
	renamed func()
	from    string
}

var (
	_ Cloner      = (*copying)(nil)
	_ Snapshotter = (*copying)(nil)
	_ Renamer     = (*copying)(nil)
	_ Filler      = (*copying)(nil)
)

func (c *copying) Clone(ctx context.Context, name, newName string) (Info, error) {
	return c.Create(ctx, newName, c.volumes[name])
}

func (c *copying) Snapshot(ctx context.Context, name, newName string) (Info, error) {
	return c.Clone(ctx, name, newName)
}

func (c *copying) Rename(_ context.Context, name, newName string) error {
	if err := c.call("rename", name); err != nil {
		return err
	}
	c.volumes[newName] = c.volumes[name]
	delete(c.volumes, name)
	if c.renamed != nil {
		c.renamed()
	}
	return nil
}

func (c *copying) CreateFrom(ctx context.Context, name string, options map[string]string, dir string) (Info, error) {
	c.from = dir
	return c.Create(ctx, name, options)
}

func TestCopiesKeepWhatIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	local := &copying{fake: newFake("local")}
	s := open(t, path, local)
	made := create(t, s, "", CreateOptions{Labels: map[string]string{"k": "v"}, Options: map[string]string{"o": "1"}})
	for newName, do := range map[string]func(context.Context, string, string) (Volume, error){"cloned": s.Clone, "kept": s.Snapshot} {
		v, err := do(t.Context(), made.Name, newName)
		if err != nil || v.Name != newName || v.Options["o"] != "1" {
			t.Errorf("%s: %v, %v", newName, v, err)
		}
	}
	if err := s.Rename(t.Context(), made.Name, "renamed"); err != nil {
		t.Fatal(err)
	}
	if s.drivers.Uses("local") != 3 {
		t.Errorf("the driver is acquired %d times", s.drivers.Uses("local"))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	found, err := open(t, path, local).Find(t.Context(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"cloned", "kept", "renamed"}, names(found.Volumes)); diff != "" {
		t.Fatal(diff)
	}
	for _, v := range found.Volumes { // somebody chose the names: a prune must not take them for anonymous
		if !maps.Equal(v.Labels, map[string]string{"k": "v"}) {
			t.Errorf("labels of %s: %v", v.Name, v.Labels)
		}
	}
}

func TestCopiesThatCanNotBe(t *testing.T) {
	local, plain := &copying{fake: newFake("local")}, newFake("plain", "there")
	s := open(t, filepath.Join(t.TempDir(), "metadata.db"), local, plain)
	create(t, s, "v", CreateOptions{})
	create(t, s, "used", CreateOptions{Holder: Holder{ID: "c"}})
	create(t, s, "p", CreateOptions{Driver: "plain"})
	for _, c := range []struct {
		name, from, to string
		kind           error
	}{
		{"itself", "v", "v", ErrExists}, {"taken", "v", "used", ErrExists}, {"of another driver", "v", "there", ErrExists},
		{"bad name", "v", "../v", ErrInvalidName}, {"bad source", "..", "new", ErrInvalidName}, {"missing", "none", "new", ErrNoSuchVolume},
		{"in use", "used", "new", ErrInUse}, {"no power", "p", "new", errdefs.ErrUnsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Clone(t.Context(), c.from, c.to)
			want(t, err, OpClone, c.kind)
			_, err = s.Snapshot(t.Context(), c.from, c.to)
			want(t, err, OpSnapshot, c.kind)
			want(t, s.Rename(t.Context(), c.from, c.to), OpRename, c.kind)
		})
	}
	local.failing(errBroken, "create", "rename")
	_, err := s.Clone(t.Context(), "v", "new")
	want(t, err, OpClone, errBroken)
	want(t, s.Rename(t.Context(), "v", "new"), OpRename, errBroken)
	local.failing(nil)
	_, err = s.Get(t.Context(), "new", GetOptions{})
	want(t, err, OpGet, ErrNoSuchVolume)
	if err := s.meta.db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Clone(t.Context(), "v", "new")
	want(t, err, OpClone)
	if _, there := local.volumes["new"]; there {
		t.Error("a clone that is not recorded is left")
	}
}

// TestRenameThatIsCutShort: the process dies after the driver renamed.
func TestRenameThatIsCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	local := &copying{fake: newFake("local")}
	s := open(t, path, local)
	create(t, s, "v", CreateOptions{Labels: map[string]string{"k": "v"}})
	local.renamed = func() {
		if err := s.meta.db.Close(); err != nil {
			t.Error(err)
		}
	}
	want(t, s.Rename(t.Context(), "v", "new"), OpRename)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	found, err := open(t, path, local).Find(t.Context(), Filter{})
	if err != nil || len(found.Volumes) != 1 || found.Volumes[0].Name != "new" || found.Volumes[0].Labels["k"] != "v" {
		t.Errorf("%+v, %v", found.Volumes, err)
	}
}

func TestVolumesThatStartWithContent(t *testing.T) {
	local, plain := &copying{fake: newFake("local")}, newFake("plain")
	s := open(t, "", local, plain)
	create(t, s, "v", CreateOptions{From: "/some/where"})
	if local.from != "/some/where" {
		t.Errorf("filled from %q", local.from)
	}
	_, err := s.Create(t.Context(), "w", CreateOptions{Driver: "plain", From: "/some/where"})
	want(t, err, OpCreate, errdefs.ErrUnsupported)
	d, err := s.Driver(t.Context(), "v")
	if err != nil || d.Name() != "local" {
		t.Errorf("driver %v, %v", d, err)
	}
	if _, err := s.Driver(t.Context(), "none"); !errors.Is(err, ErrNoSuchVolume) {
		t.Error(err)
	}
}
