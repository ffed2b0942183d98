package layer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

func mapped(host, size int) idmap.Mapping {
	r := []idmap.Range{{HostID: host, Size: size}}
	return idmap.Mapping{UIDs: r, GIDs: r}
}

// copyLayer stages and adopts a copy with other owners.
func copyLayer(t testing.TB, s *Store, original ID, m idmap.Mapping) Layer {
	t.Helper()
	ctx := context.Background()
	st, err := s.StageCopy(ctx, original, m)
	if err != nil {
		t.Fatal(err)
	}
	defer discard(t, st)
	if err := st.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	var l Layer
	write(t, s, func(tx *WriteTx) {
		if l, err = tx.Adopt(ctx, st, CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	return get(t, s, l.ID)
}

// ownerIn returns the owner of a file in the mounted layer.
func ownerIn(t testing.TB, s *Store, id ID, name string) (uid, gid int) {
	t.Helper()
	path, err := s.Mount(context.Background(), id, MountOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(path, name), &st); err != nil {
		t.Error(err)
	}
	if _, err := s.Unmount(context.Background(), id, UnmountOptions{}); err != nil {
		t.Error(err)
	}
	return int(st.Uid), int(st.Gid)
}

// TestCopyIsAnAlternative: a copy stands beside its original and differs from it in
// owners only.
func TestCopyIsAnAlternative(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		base := load(t, s, "", baseTar(t))
		upper := load(t, s, base.ID, upperTar(t))
		m := mapped(300000, 1000)
		copied := copyLayer(t, s, upper.ID, m)
		if d := cmp.Diff(upper.Record, copied.Record, cmpopts.IgnoreFields(Record{}, "ID", "Created", "UIDMap", "GIDMap"), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("records differ (-original +copy):\n%s", d)
		}
		if copied.ID == upper.ID || !copied.Mapping().Equal(m) || copied.Chain != upper.Chain {
			t.Errorf("copy %+v", copied)
		}
		for _, l := range []Layer{upper, copied} {
			if got, err := diff(s, l.ID, "", plain); err != nil || !bytes.Equal(got, upperTar(t)) {
				t.Errorf("tar of %s: %v", l.ID, err)
			}
		}
		for id, want := range map[ID]int{upper.ID: 0, copied.ID: 300000} {
			if uid, gid := ownerIn(t, s, id, "etc/hello"); uid != want || gid != want {
				t.Errorf("etc/hello of %s belongs to %d:%d, want %d", id, uid, gid, want)
			}
		}
		other := copyLayer(t, s, copied.ID, mapped(400000, 1000))
		if uid, _ := ownerIn(t, s, other.ID, "etc/hello"); uid != 400000 || other.Parent != base.ID {
			t.Errorf("copy of the copy: owner %d, parent %s", uid, other.Parent)
		}
		remove(t, s, other.ID, copied.ID)
		if got, err := diff(s, upper.ID, "", plain); err != nil || !bytes.Equal(got, upperTar(t)) {
			t.Errorf("tar after the copies are gone: %v", err)
		}
	})
}

func TestStageCopyRefuses(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		base := load(t, s, "", testutil.Tar(t, testutil.Entry{Name: "f", UID: 77}))
		before := testutil.Tree(t, e.graph, testutil.IgnoreMtime)
		tests := []struct {
			name string
			id   ID
			m    idmap.Mapping
			want error
		}{
			{"unknown", "none", mapped(5, 5), ErrUnknown},
			{"nothing", "", mapped(5, 5), errdefs.ErrInvalid},
			{"own mapping", base.ID, idmap.Mapping{}, errdefs.ErrInvalid},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if _, err := s.StageCopy(context.Background(), tt.id, tt.m); !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
			})
		}
		if d := cmp.Diff(before, testutil.Tree(t, e.graph, testutil.IgnoreMtime)); d != "" {
			t.Errorf("left behind (-before +after):\n%s", d)
		}
	})
}

// TestCopyOfAReplacedLayer: a copy is of no use when its original is not there any more.
func TestCopyOfAReplacedLayer(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		ctx := context.Background()
		base := load(t, s, "", baseTar(t))
		st, err := s.StageCopy(ctx, base.ID, mapped(300000, 1000))
		if err != nil {
			t.Fatal(err)
		}
		defer discard(t, st)
		remove(t, s, base.ID)
		load(t, s, "", baseTar(t))
		write(t, s, func(tx *WriteTx) {
			if _, err := tx.Adopt(ctx, st, CreateOptions{}); !errors.Is(err, ErrParentChanged) {
				t.Errorf("adopt: %v", err)
			}
		})
	})
}

// TestOtherMappingThanTheParents: the files below come along with other owners, in
// layers that are created and in layers that are unpacked.
func TestOtherMappingThanTheParents(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		ctx := context.Background()
		base := load(t, s, "", baseTar(t))
		m := mapped(300000, 1000)
		created := create(t, s, CreateOptions{ID: "created", Parent: base.ID, Mapping: m})
		st, err := s.Stage(ctx, StageOptions{Parent: base.ID, Mapping: m}, bytes.NewReader(upperTar(t)))
		if err != nil {
			t.Fatal(err)
		}
		defer discard(t, st)
		write(t, s, func(tx *WriteTx) {
			if _, err := tx.Adopt(ctx, st, CreateOptions{ID: "unpacked"}); err != nil {
				t.Fatal(err)
			}
		})
		unpacked := get(t, s, "unpacked")
		for _, l := range []Layer{created, unpacked} {
			if l.Parent != base.ID || !l.Mapping().Equal(m) {
				t.Errorf("layer %+v", l)
			}
			if uid, _ := ownerIn(t, s, l.ID, "etc/hello"); uid != 300000 {
				t.Errorf("etc/hello of %s belongs to %d", l.ID, uid)
			}
		}
		if changes, err := s.Changes(ctx, created.ID, "", DiffOptions{}); err != nil || len(changes) > 0 {
			t.Errorf("changes of the created one: %v, %v", changes, err)
		}
		if got, err := diff(s, unpacked.ID, "", plain); err != nil || !bytes.Equal(got, upperTar(t)) {
			t.Errorf("tar of the unpacked one: %v", err)
		}
	})
}

// TestCopyFromAnAdditionalStore: the original is only read.
func TestCopyFromAnAdditionalStore(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		other := newEnv(t, e.driver)
		shared := other.open(t)
		base := load(t, shared, "", baseTar(t))
		upper := load(t, shared, base.ID, upperTar(t))
		before := testutil.Tree(t, filepath.Join(other.graph, e.driver), testutil.IgnoreMtime)
		e.additional = []string{other.graph}
		s := e.open(t)
		copied := copyLayer(t, s, upper.ID, mapped(300000, 1000))
		if copied.ReadOnly || copied.Parent != base.ID {
			t.Errorf("copy %+v", copied)
		}
		if got, err := diff(s, copied.ID, "", plain); err != nil || !bytes.Equal(got, upperTar(t)) {
			t.Errorf("tar: %v", err)
		}
		if uid, _ := ownerIn(t, s, copied.ID, "opq/new"); uid != 300000 {
			t.Errorf("opq/new belongs to %d", uid)
		}
		if d := cmp.Diff(before, testutil.Tree(t, filepath.Join(other.graph, e.driver), testutil.IgnoreMtime)); d != "" {
			t.Errorf("the additional store was written:\n%s", d)
		}
		if _, err := os.Stat(filepath.Join(e.graphDir(), string(copied.ID)+".tar-split.gz")); err != nil {
			t.Error(err)
		}
	})
}
