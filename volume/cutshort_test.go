package volume

import (
	"context"
	"maps"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// settling is a driver that is left alone in the middle of a call, and told later how many
// mounts its users have.
type settling struct {
	*copying
	during func(op string)
}

var _ Settler = (*settling)(nil)

func (s *settling) Create(ctx context.Context, name string, options map[string]string) (Info, error) {
	defer s.during("create")
	return s.copying.Create(ctx, name, options)
}

func (s *settling) Clone(ctx context.Context, name, newName string) (Info, error) {
	return s.Create(ctx, newName, nil)
}

func (s *settling) Mount(ctx context.Context, name, id string) (string, error) {
	defer s.during("mount")
	return s.copying.Mount(ctx, name, id)
}

func (s *settling) Unmount(ctx context.Context, name, id string) error {
	defer s.during("unmount")
	return s.copying.Unmount(ctx, name, id)
}

func (s *settling) Settle(_ context.Context, name, id string, n int) error {
	s.mounts[name+"/"+id] = n
	return nil
}

// TestCutShort: the process dies while the driver works. Who comes next finds all of it or
// nothing: a volume with its labels, a mount that was never answered taken back, an unmount
// finished.
func TestCutShort(t *testing.T) {
	for _, tt := range []struct {
		name, op string
		do       func(s *Store, ctx context.Context) error
		labels   map[string]map[string]string
		mounts   map[string]int
	}{
		{"create", "create", func(s *Store, ctx context.Context) error {
			_, err := s.Create(ctx, "new", CreateOptions{Labels: map[string]string{"of": "new"}})
			return err
		}, map[string]map[string]string{"new": {"of": "new"}}, map[string]int{"v/a": 1}},
		{"clone", "create", func(s *Store, ctx context.Context) error {
			_, err := s.Clone(ctx, "w", "new")
			return err
		}, map[string]map[string]string{"new": {"of": "w"}}, map[string]int{"v/a": 1}},
		{"mount", "mount", func(s *Store, ctx context.Context) error {
			_, err := s.Mount(ctx, "v", Holder{ID: "b"})
			return err
		}, nil, map[string]int{"v/a": 1, "v/b": 0}},
		{"mount again", "mount", func(s *Store, ctx context.Context) error {
			_, err := s.Mount(ctx, "v", Holder{ID: "a"})
			return err
		}, nil, map[string]int{"v/a": 1}},
		{"unmount", "unmount", func(s *Store, ctx context.Context) error { return s.Unmount(ctx, "v", "a") }, nil, map[string]int{"v/a": 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "metadata.db")
			d := &settling{copying: &copying{fake: newFake("local")}, during: func(string) {}}
			s := open(t, path, d)
			create(t, s, "v", CreateOptions{Labels: map[string]string{"of": "v"}})
			create(t, s, "w", CreateOptions{Labels: map[string]string{"of": "w"}})
			if _, err := s.Mount(t.Context(), "v", Holder{ID: "a"}); err != nil {
				t.Fatal(err)
			}
			d.during = func(op string) {
				if op == tt.op {
					_ = s.meta.db.Close() // nothing more is written
				}
			}
			_ = tt.do(s, t.Context()) // nobody is there any more to hear of it
			d.during = func(string) {}
			s = open(t, path, d)
			labels := map[string]map[string]string{"v": {"of": "v"}, "w": {"of": "w"}}
			maps.Copy(labels, tt.labels)
			found, err := s.Find(t.Context(), Filter{})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range found.Volumes {
				if diff := cmp.Diff(labels[v.Name], v.Labels); diff != "" {
					t.Errorf("labels of %s: %s", v.Name, diff)
				}
			}
			if diff := cmp.Diff(tt.mounts, d.mounts); diff != "" || len(found.Volumes) != len(labels) {
				t.Errorf("%d volumes, mounts %s", len(found.Volumes), diff)
			}
			if want, got := tt.mounts["v/a"], s.CountReferences("v"); got != want {
				t.Errorf("%d holders, want %d", got, want)
			}
		})
	}
}

// TestCutShortWithoutSettling: of a driver that can not be told, a mount in doubt stays the
// holder's, who takes it back.
func TestCutShortWithoutSettling(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	local := newFake("local")
	s := open(t, path, local)
	create(t, s, "v", CreateOptions{})
	local.fail = func(op, _ string) error {
		if op == "mount" {
			_ = s.meta.db.Close()
		}
		return nil
	}
	_, err := s.Mount(t.Context(), "v", Holder{ID: "a"})
	want(t, err, OpMount)
	local.failing(nil)
	s = open(t, path, local)
	want(t, s.Remove(t.Context(), "v", RemoveOptions{}), OpRemove, ErrInUse)
	if err := s.Unmount(t.Context(), "v", "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "v", RemoveOptions{}); err != nil {
		t.Error(err)
	}
}

// TestUnmountThatFails: the holder stays until the driver has let go.
func TestUnmountThatFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	d := &settling{copying: &copying{fake: newFake("local")}, during: func(string) {}}
	s := open(t, path, d)
	create(t, s, "v", CreateOptions{})
	for range 2 {
		if _, err := s.Mount(t.Context(), "v", Holder{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		d.failing(errBroken, "unmount")
		want(t, s.Unmount(t.Context(), "v", "a"), OpUnmount, errBroken)
		d.failing(nil)
		want(t, s.Remove(t.Context(), "v", RemoveOptions{}), OpRemove, ErrInUse)
		if err := s.Unmount(t.Context(), "v", "a"); err != nil || s.CountReferences("v") != 0 {
			t.Error(err)
		}
	}
	if _, err := s.Mount(t.Context(), "v", Holder{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	d.failing(errBroken, "unmount")
	want(t, s.Unmount(t.Context(), "v", "a"), OpUnmount, errBroken)
	d.failing(nil)
	_ = s.Close()
	if n := open(t, path, d).CountReferences("v"); n != 0 || d.mounts["v/a"] != 0 {
		t.Errorf("%d holders, %v", n, d.mounts)
	}
}

// TestDropHolders: a driver has forgotten its users, and so does the store.
func TestDropHolders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	local := newFake("local")
	s := open(t, path, local)
	create(t, s, "v", CreateOptions{})
	if _, err := s.Mount(t.Context(), "v", Holder{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	want(t, s.DropHolders(t.Context(), "v", func(context.Context) error { return errBroken }), OpUnused, errBroken)
	if n := s.CountReferences("v"); n != 1 {
		t.Errorf("%d holders of a driver that forgot none", n)
	}
	if err := s.DropHolders(t.Context(), "v", func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if n := s.CountReferences("v"); n != 0 {
		t.Errorf("%d holders", n)
	}
	_ = s.Close()
	if n := open(t, path, local).CountReferences("v"); n != 0 {
		t.Errorf("%d holders once more", n)
	}
}
