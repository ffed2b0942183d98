package layer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// TestApplyBelowAMountElsewhere: a mount that only another mount namespace has is counted,
// and goes on showing the layer's files.
func TestApplyBelowAMountElsewhere(t *testing.T) {
	e := newEnv(t, "overlay")
	s := e.open(t)
	ctx := context.Background()
	l := load(t, s, "", baseTar(t))
	for _, mounted := range []ID{l.ID, create(t, s, CreateOptions{Parent: l.ID}).ID} {
		dir, err := s.Mount(ctx, mounted, MountOptions{})
		if err != nil {
			t.Fatal(err)
		}
		elsewhere, err := os.Open(dir) // as a process in that namespace would
		if err != nil {
			t.Fatal(err)
		}
		defer elsewhere.Close()
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
		name := "new-" + string(mounted)
		apply(t, s, mounted, testutil.Tar(t, testutil.Entry{Name: name, Body: "new"}))
		if _, err := os.Stat(filepath.Join("/proc/self/fd", strconv.Itoa(int(elsewhere.Fd())), name)); err != nil {
			t.Error("not where its users see it: ", err)
		}
		if _, err := s.Unmount(ctx, mounted, UnmountOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReplaceBelowAMount: counted or not, no file goes away under a mount.
func TestReplaceBelowAMount(t *testing.T) {
	e := newEnv(t, "overlay")
	s := e.open(t)
	ctx := context.Background()
	l := load(t, s, "", baseTar(t))
	child := create(t, s, CreateOptions{Parent: l.ID})
	st, err := s.Stage(ctx, StageOptions{Image: true}, bytes.NewReader(baseTar(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer discard(t, st)
	replace := func() (err error) {
		write(t, s, func(tx *WriteTx) { err = tx.Replace(ctx, l.ID, st) })
		return err
	}
	if _, err := s.driver().Get(ctx, graphdriver.ID(child.ID), graphdriver.MountOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := replace(); !errors.Is(err, ErrMounted) || errdefs.Hint(err) == "" {
		t.Errorf("below a mount that nobody counted: %v", err)
	}
	if err := s.driver().Put(ctx, graphdriver.ID(child.ID)); err != nil {
		t.Fatal(err)
	}
	if err := replace(); err != nil {
		t.Error(err)
	}
}

// TestApplyInACircle: records whose parents go round in a circle are damage, and no reason
// to go round with them.
func TestApplyInACircle(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		create(t, s, CreateOptions{ID: "a"})
		create(t, s, CreateOptions{ID: "b", Parent: "a"})
		sound := readRecords(t, e)
		writeRecords(t, e, strings.Replace(sound, `"id":"a",`, `"id":"a","parent":"b",`, 1))
		apply(t, e.open(t), "a", testutil.Tar(t, testutil.Entry{Name: "new", Body: "new"}))
		writeRecords(t, e, sound)
	})
}
