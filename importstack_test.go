package strata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// stackOf describes n layers with one file each; done counts how each ended.
func stackOf(t testing.TB, n int, done *[]error) []strata.StackLayer {
	t.Helper()
	var stack []strata.StackLayer
	for i := range n {
		tar := testutil.Tar(t, testutil.Entry{Name: fmt.Sprintf("f%d", i), Body: fmt.Sprint(i)})
		stack = append(stack, strata.StackLayer{
			Expect: layer.DiffID(testutil.Digest(tar)),
			Open:   func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tar)), nil },
			Done:   func(err error) { *done = append(*done, err) },
		})
	}
	return stack
}

func TestImportStack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		importLayer(t, s, "base", "", testutil.Entry{Name: "base"})
		var done []error
		const n = 40 // more than are staged at a time
		stack := stackOf(t, n, &done)
		layers, err := s.ImportStack(ctx, strata.StackOptions{Parent: "base"}, stack)
		must(t, err)
		if len(layers) != n || len(done) != n || slices.ContainsFunc(done, func(err error) bool { return err != nil }) {
			t.Fatalf("%d layers, ended %v", len(layers), done)
		}
		parent := layer.ID("base")
		for i, l := range layers {
			if l.ID != layer.ImageLayerID(parent, stack[i].Expect) || l.Parent != parent || l.DiffID != stack[i].Expect {
				t.Errorf("layer %d: %+v", i, l.Record)
			}
			parent = l.ID
		}
		if data := diff(t, s, string(parent), ""); len(data) == 0 {
			t.Error("no diff")
		}
		createContainerOn(t, s, parent)
	})
}

// createContainerOn mounts what was imported.
func createContainerOn(t *testing.T, s *storetest.Store, top layer.ID) {
	t.Helper()
	createImage(t, s, "img", string(top))
	createContainer(t, s, "con", "img")
	write(t, s, "con", "written", "x")
}

func TestFailedStacksLeaveNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		var done []error
		broken := errors.New("broken")
		stack := stackOf(t, 3, &done)
		stack[2].Open = func(context.Context) (io.ReadCloser, error) { return nil, broken }
		layers, err := s.ImportStack(ctx, strata.StackOptions{}, stack)
		if !errors.Is(err, broken) || len(done) != 3 || done[1] != nil || !errors.Is(done[2], broken) {
			t.Errorf("error %v, ended %v", err, done)
		}
		if left := layerIDs(t, s); len(left) != len(layers) {
			t.Errorf("layers %v, said %v", left, layers)
		}
		stack = stackOf(t, 2, &done)
		stack[1].Expect = layer.EmptyDiffID
		if _, err := s.ImportStack(ctx, strata.StackOptions{}, stack); !errors.Is(err, errdefs.ErrCorrupt) {
			t.Errorf("another diff ID: %v", err)
		}
		if _, err := s.ImportStack(ctx, strata.StackOptions{Parent: "nothing"}, stackOf(t, 1, &done)); !errors.Is(err, layer.ErrUnknown) {
			t.Errorf("unknown parent: %v", err)
		}
	})
}
