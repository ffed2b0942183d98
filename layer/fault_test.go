package layer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/testutil"
)

// The steps of the write paths at which something can fail.
var faultPoints = []string{
	"atomicfile.create", "atomicfile.write", "atomicfile.sync", "atomicfile.rename", "atomicfile.syncdir",
	"recordfile.token", "bigdata.put", "overlay.rename", "overlay.trash", "overlay.note",
	"overlay.restage", "overlay.unpack", "overlay.replace", "vfs.restage", "vfs.replace",
	"layer.split.move", "layer.exchange.split", "layer.exchange.settle", "layer.exchange.place",
}

// changesOf leaves out what a driver can not do.
func changesOf(driver string) []change {
	return slices.DeleteFunc(slices.Clone(changes), func(c change) bool { return c.name == "stack" && driver != "overlay" })
}

func pointsOf(driver string) []string {
	return slices.DeleteFunc(slices.Clone(faultPoints), func(p string) bool {
		of, _, _ := strings.Cut(p, ".")
		return (of == "overlay" || of == "vfs") && of != driver
	})
}

// change is an operation on a store that holds the layer "old", with what may be
// there afterwards.
type change struct {
	name string
	run  func(s *Store, old ID, tar []byte) error
	// before and after are the possible lists of layers, as names.
	before, after []string
}

var changes = []change{
	{"load", faultLoad, []string{"old"}, []string{"old", "new"}},
	{"stack", faultStack, []string{"old"}, []string{"old", "new", "newer"}},
	{"create", faultCreate, []string{"old"}, []string{"old", "new"}},
	{"delete", faultDelete, []string{"old"}, nil},
	{"apply", faultApply, []string{"old"}, []string{"old"}},
	{"metadata", faultMetadata, []string{"old"}, []string{"old"}},
}

func faultLoad(s *Store, old ID, tar []byte) (err error) {
	ctx := context.Background()
	st, err := s.Stage(ctx, StageOptions{Parent: old}, bytes.NewReader(tar))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Discard()) }()
	tx, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Close()
	if _, err := tx.Adopt(ctx, st, CreateOptions{Names: []string{"new"}, BigData: []Datum{{"k", tar}}}); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func faultStack(s *Store, old ID, tar []byte) (err error) {
	ctx := context.Background()
	low, err := s.Stage(ctx, StageOptions{Parent: old}, bytes.NewReader(tar))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, low.Discard()) }()
	high, err := s.StageOn(ctx, low, StageOptions{}, bytes.NewReader(tar))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, high.Discard()) }()
	stack := []Adoption{
		{low, CreateOptions{ID: NewID(), Names: []string{"new"}, BigData: []Datum{{"k", tar}}}},
		{high, CreateOptions{ID: NewID(), Names: []string{"newer"}}},
	}
	tx, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Close()
	if _, err := tx.AdoptStack(ctx, stack...); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func faultCreate(s *Store, old ID, _ []byte) error {
	tx, err := s.Begin(context.Background())
	if err != nil {
		return err
	}
	defer tx.Close()
	if _, err := tx.Create(context.Background(), CreateOptions{Parent: old, Names: []string{"new"}}); err != nil {
		return err
	}
	return tx.Commit(context.Background())
}

func faultDelete(s *Store, old ID, _ []byte) error {
	tx, err := s.Begin(context.Background())
	if err != nil {
		return err
	}
	defer tx.Close()
	cleanup, err := tx.Delete(context.Background(), old)
	if err == nil {
		err = tx.Commit(context.Background())
	}
	return errors.Join(err, tx.Close(), cleanup())
}

func faultApply(s *Store, old ID, tar []byte) error {
	_, err := s.ApplyDiff(context.Background(), old, bytes.NewReader(tar), ApplyOptions{})
	return err
}

func faultMetadata(s *Store, old ID, _ []byte) error {
	tx, err := s.Begin(context.Background())
	if err != nil {
		return err
	}
	defer tx.Close()
	if err := tx.SetMetadata(old, "changed"); err != nil {
		return err
	}
	return tx.Commit(context.Background())
}

// prepare makes a store with one layer.
func prepareFault(t *testing.T, e *env) ID {
	s, err := Open(e.options(t))
	if err != nil {
		t.Fatal(err)
	}
	l := load(t, s, "", baseTar(t))
	write(t, s, func(tx *WriteTx) {
		if err := tx.SetNames(l.ID, "old"); err != nil {
			t.Fatal(err)
		}
	})
	return l.ID
}

// settled opens the store anew, as the next process does, and makes sure that it
// is as before or as after the change, and whole.
func settled(t *testing.T, e *env, c change, old ID) (done bool) {
	t.Helper()
	s, err := Open(e.options(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	view(t, s, func(tx *ReadTx) {
		layers, err := tx.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			names = append(names, strings.Join(l.Names, ","))
		}
	})
	if !slices.Equal(names, c.before) && !slices.Equal(names, c.after) {
		t.Errorf("layers %v, want %v or %v", names, c.before, c.after)
	}
	checkStore(t, e, s)
	for _, id := range listIDs(t, s) {
		l := get(t, s, id)
		data, err := diff(s, id, "", plain)
		if err != nil {
			t.Errorf("diff of %v: %v", l.Names, err)
		}
		if l.DiffID != "" && l.DiffID != DiffID(testutil.Digest(data)) || len(l.Flags) > 0 {
			t.Errorf("%v has diff ID %s, its diff %s; flags %v", l.Names, l.DiffID, testutil.Digest(data), l.Flags)
		}
	}
	if c.name != "apply" {
		return slices.Equal(names, c.after)
	}
	now := get(t, s, old).DiffID
	if now != DiffID(testutil.Digest(baseTar(t))) && now != DiffID(testutil.Digest(upperTar(t))) {
		t.Errorf("the layer's diff ID is %q", now)
	}
	return now == DiffID(testutil.Digest(upperTar(t)))
}

var errFault = errors.New("injected fault")

func TestFaultsLeaveOldOrNew(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		for _, c := range changesOf(e.driver) {
			for _, point := range pointsOf(e.driver) {
				t.Run(c.name+" "+point, func(t *testing.T) { failEverywhere(t, e.driver, c, point) })
			}
		}
	})
}

// failEverywhere lets the first, the second, ... passage of a point fail, until the
// change has fewer.
func failEverywhere(t *testing.T, driver string, c change, point string) {
	tar := upperTar(t)
	for skip := 0; ; skip++ {
		e := newEnv(t, driver)
		old := prepareFault(t, e)
		s, err := Open(e.options(t))
		if err != nil {
			t.Fatal(err)
		}
		hit := false
		disable := faults.Enable(faults.Rule{
			Point: point, Under: filepath.Dir(e.graph), Skip: skip, Times: 1, Err: errFault, Do: func() { hit = true },
		})
		err = c.run(s, old, tar)
		disable()
		if !hit {
			return
		}
		if done := settled(t, e, c, old); err == nil && !done {
			t.Errorf("failure %d was not reported", skip)
		}
		if t.Failed() {
			t.Fatalf("passage %d: the change said %v", skip, err)
		}
	}
}

func TestKilledAtEveryStep(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	eachDriver(t, func(t *testing.T, e *env) {
		for i, c := range changes {
			if c.name == "stack" && e.driver != "overlay" {
				continue
			}
			for _, point := range pointsOf(e.driver) {
				if point == "atomicfile.write" || point == "atomicfile.sync" {
					continue // to those who look later, no different from atomicfile.create
				}
				t.Run(c.name+" "+point, func(t *testing.T) { killEverywhere(t, e.driver, i, point) })
			}
		}
	})
}

func killEverywhere(t *testing.T, driver string, i int, point string) {
	for skip := 0; ; skip++ {
		e := newEnv(t, driver)
		old := prepareFault(t, e)
		out, err := e.child("kill", fmt.Sprint(i), string(old), point, fmt.Sprint(skip)).Output()
		if strings.Contains(string(out), answer) {
			return // it passed the point less often
		}
		if err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("child: %v\n%s", err, out)
		}
		e.killed = true
		settled(t, e, changes[i], old)
		if t.Failed() {
			t.Fatalf("killed at passage %d", skip)
		}
	}
}

// killedAt runs a change in this process, which dies on the way.
func killedAt(t *testing.T, s *Store, args []string) error {
	faults.Enable(faults.Rule{Point: args[2], Skip: atoi(t, args[3]), Times: 1, Do: func() {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}})
	return changes[atoi(t, args[0])].run(s, ID(args[1]), upperTar(t))
}
