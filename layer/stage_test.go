package layer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/testutil"
)

func TestStageErrorsLeaveNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		tar := baseTar(t)
		packed := gzipped(t, tar)
		cancelled, cancel := context.WithCancel(context.Background())
		cancel()
		tests := []struct {
			name string
			ctx  context.Context
			opts StageOptions
			blob io.Reader
			want error
		}{
			{"unknown parent", nil, StageOptions{Parent: "nope"}, bytes.NewReader(tar), ErrUnknown},
			{"wrong diff ID", nil, StageOptions{Expect: emptyDiff}, bytes.NewReader(packed), errdefs.ErrCorrupt},
			{"wrong blob digest", nil, StageOptions{ExpectBlob: BlobDigest(emptyDiff)}, bytes.NewReader(packed), errdefs.ErrCorrupt},
			{"cut gzip", nil, StageOptions{}, bytes.NewReader(packed[:len(packed)-20]), nil},
			{"cut tar", nil, StageOptions{}, bytes.NewReader(tar[:700]), nil},
			{"rubbish", nil, StageOptions{}, strings.NewReader(strings.Repeat("rubbish", 1000)), nil},
			{"failing reader", nil, StageOptions{}, io.MultiReader(bytes.NewReader(tar[:2000]), failingReader{}), errBroken},
			{"cancelled", cancelled, StageOptions{}, bytes.NewReader(tar), context.Canceled},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				ctx := tt.ctx
				if ctx == nil {
					ctx = context.Background()
				}
				st, err := s.Stage(ctx, tt.opts, tt.blob)
				if err == nil {
					discard(t, st)
					t.Fatal("staged")
				}
				if tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				checkStore(t, e, s)
			})
		}
	})
}

var errBroken = errors.New("the line is broken")

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errBroken }

func TestDiscardedStageLeavesNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		st, err := s.Stage(context.Background(), StageOptions{}, bytes.NewReader(baseTar(t)))
		if err != nil {
			t.Fatal(err)
		}
		discard(t, st)
		discard(t, st)
	})
}

func TestStagedLayerIsInvisible(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		st, err := s.Stage(context.Background(), StageOptions{}, bytes.NewReader(baseTar(t)))
		if err != nil {
			t.Fatal(err)
		}
		defer discard(t, st)
		if ids := listIDs(t, s); len(ids) != 0 {
			t.Errorf("layers %v", ids)
		}
		// Another opener's sweep leaves it alone.
		listIDs(t, e.open(t))
		write(t, s, func(tx *WriteTx) {
			if _, err := tx.Adopt(context.Background(), st, CreateOptions{ID: "x"}); err != nil {
				t.Error(err)
			}
			if _, err := tx.Adopt(context.Background(), st, CreateOptions{ID: "y"}); !errors.Is(err, errdefs.ErrInvalid) {
				t.Errorf("adopted twice: %v", err)
			}
		})
	})
}

func TestStagedEmptyLayerHasNoDigests(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		parent := load(t, s, "", baseTar(t))
		st, err := s.Stage(context.Background(), StageOptions{Parent: parent.ID}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer discard(t, st)
		var l Layer
		write(t, s, func(tx *WriteTx) {
			if l, err = tx.Adopt(context.Background(), st, CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		})
		if l.DiffID != "" || l.BlobDigest != "" || l.Parent != parent.ID {
			t.Errorf("record %+v", l.Record)
		}
		if data, err := diff(s, l.ID, "", plain); err != nil || !bytes.Equal(data, make([]byte, 1024)) {
			t.Errorf("diff of %d bytes, %v", len(data), err)
		}
	})
}

func TestParentGoneBeforeAdoption(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		parent := load(t, s, "", baseTar(t))
		st, err := s.Stage(context.Background(), StageOptions{Parent: parent.ID}, bytes.NewReader(upperTar(t)))
		if err != nil {
			t.Fatal(err)
		}
		defer discard(t, st)
		remove(t, s, parent.ID)
		write(t, s, func(tx *WriteTx) {
			if _, err := tx.Adopt(context.Background(), st, CreateOptions{}); !errors.Is(err, ErrUnknown) {
				t.Errorf("adopted: %v", err)
			}
		})
	})
}

// Staging holds no lock: another may delete the layer below while its tree is copied, or
// while the blob comes in. What fails then says so.
func TestParentGoneWhileStaging(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		for _, point := range []string{"vfs.copy", ""} {
			t.Run("at "+point, func(t *testing.T) {
				parent := load(t, s, "", baseTar(t)).ID
				gone := false
				goes := func() { remove(t, s, parent); gone = true }
				if point != "" {
					defer faults.Enable(faults.Rule{Point: point, Under: filepath.Dir(e.graph), Times: 1, Do: goes, Err: fs.ErrNotExist})()
				}
				st, err := s.Stage(t.Context(), StageOptions{Parent: parent}, readerFunc(func([]byte) (int, error) {
					if point == "" {
						goes()
					}
					return 0, errBroken
				}))
				want := ErrVanished
				if !gone { // the driver has no such step
					want = errBroken
					defer remove(t, s, parent)
				}
				if st != nil || !errors.Is(err, want) || errors.Is(err, ErrVanished) != gone {
					t.Errorf("%v, want %v", err, want)
				}
			})
		}
	})
}

func TestParentReplacedBeforeAdoption(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		parent := load(t, s, "", baseTar(t))
		st, err := s.Stage(context.Background(), StageOptions{Parent: parent.ID}, bytes.NewReader(upperTar(t)))
		if err != nil {
			t.Fatal(err)
		}
		defer discard(t, st)
		remove(t, s, parent.ID)
		load(t, s, "", baseTar(t)) // the same ID, in another place of the driver
		write(t, s, func(tx *WriteTx) {
			if _, err := tx.Adopt(context.Background(), st, CreateOptions{}); !errors.Is(err, ErrParentChanged) {
				t.Errorf("adopted: %v", err)
			}
		})
	})
}

func TestSameLayerStagedTwiceAtOnce(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		tar := baseTar(t)
		const stagers = 4
		won := make([]bool, stagers)
		var group sync.WaitGroup
		for i := range stagers {
			group.Go(func() { won[i] = stageAndAdopt(t, s, tar) })
		}
		group.Wait()
		if n := len(slices.DeleteFunc(won, func(w bool) bool { return !w })); n != 1 {
			t.Errorf("%d of %d stagers won", n, stagers)
		}
		if ids := listIDs(t, s); len(ids) != 1 {
			t.Errorf("layers %v", ids)
		}
		if got, err := diff(s, ImageLayerID("", DiffID(testutil.Digest(tar))), "", plain); err != nil || !bytes.Equal(got, tar) {
			t.Errorf("diff: %v", err)
		}
	})
}

// stageAndAdopt reports whether its stage became the layer.
func stageAndAdopt(t testing.TB, s *Store, tar []byte) bool {
	ctx := context.Background()
	st, err := s.Stage(ctx, StageOptions{}, bytes.NewReader(tar))
	if err != nil {
		t.Errorf("stage: %v", err)
		return false
	}
	defer discard(t, st)
	tx, err := s.Begin(ctx)
	if err != nil {
		t.Errorf("begin: %v", err)
		return false
	}
	defer tx.Close()
	_, err = tx.Adopt(ctx, st, CreateOptions{ID: ImageLayerID("", st.DiffID())})
	if errors.Is(err, ErrDuplicateID) {
		return false
	}
	if err == nil {
		err = tx.Commit(ctx)
	}
	if err != nil {
		t.Errorf("adopt: %v", err)
	}
	return err == nil
}

func TestFailedCreationLeavesNothing(t *testing.T) {
	e := newEnv(t, "vfs")
	broken := errors.New("driver is broken")
	e.wrap = func(d graphdriver.Driver) graphdriver.Driver { return &failing{Driver: d, create: broken} }
	s := e.open(t)
	tx, err := s.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	if _, err := tx.Create(context.Background(), CreateOptions{BigData: []Datum{{"k", []byte("v")}}}); !errors.Is(err, broken) {
		t.Errorf("create: %v", err)
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	if data := readRecords(t, e); data != "[]" {
		t.Errorf("records %s", data)
	}
}

func TestLeftoversOfTheSameIDAreRemovedFirst(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		ctx := context.Background()
		if err := s.driver().Create(ctx, "x", "", graphdriver.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		for path, data := range map[string]string{"x.tar-split.gz": "old", "x/item": "old"} {
			path = filepath.Join(e.graphDir(), path)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		create(t, s, CreateOptions{ID: "x"})
		if _, err := os.Stat(filepath.Join(e.graphDir(), "x")); !os.IsNotExist(err) {
			t.Errorf("old data items: %v", err)
		}
		if data, err := diff(s, "x", "", plain); err != nil || !bytes.Equal(data, make([]byte, 1024)) {
			t.Errorf("diff of %d bytes, %v", len(data), err)
		}
	})
}
