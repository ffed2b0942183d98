package layer

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestDelete(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		a := load(t, s, "", baseTar(t))
		b := load(t, s, a.ID, upperTar(t))
		c := create(t, s, CreateOptions{Parent: b.ID, BigData: []Datum{{"k", []byte("v")}}})
		ctx := context.Background()
		tx, err := s.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Close()
		for name, tt := range map[string]struct {
			ids  []ID
			want error
			text string
		}{
			"children":         {[]ID{a.ID}, ErrHasChildren, "used by layer " + string(b.ID) + ": layer has children"},
			"some children":    {[]ID{a.ID, b.ID}, ErrHasChildren, "used by layer " + string(c.ID) + ": layer has children"},
			"unknown":          {[]ID{"nope"}, ErrUnknown, "layer not known"},
			"one of them is":   {[]ID{c.ID, "nope"}, ErrUnknown, "layer not known"},
			"nothing is asked": {nil, nil, ""},
		} {
			cleanup, err := tx.Delete(ctx, tt.ids...)
			if !errors.Is(err, tt.want) || err != nil && err.Error() != tt.text {
				t.Errorf("%s: %v", name, err)
			}
			if cleanup == nil || cleanup() != nil {
				t.Errorf("%s: bad cleanup", name)
			}
		}
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if ids := listIDs(t, s); len(ids) != 3 {
			t.Fatalf("layers %v", ids)
		}
		remove(t, s, a.ID, c.ID, b.ID, c.ID)
		if ids := listIDs(t, s); len(ids) != 0 {
			t.Errorf("layers %v", ids)
		}
	})
}

func TestDeletedBytesGoAfterTheLock(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		l := load(t, s, "", baseTar(t))
		ctx := context.Background()
		tx, err := s.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Close()
		cleanup, err := tx.Delete(ctx, l.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if names := readDir(t, filepath.Join(e.graphDir(), tempName)); len(names) != 2 {
			t.Errorf("trash holds %v, want a lock and a directory", names)
		}
		// The same layer can come back before the bytes of the first are gone.
		load(t, s, "", baseTar(t))
		if err := cleanup(); err != nil {
			t.Error(err)
		}
		if got, err := diff(s, l.ID, "", plain); err != nil || !bytes.Equal(got, baseTar(t)) {
			t.Errorf("diff of the layer that came back: %v", err)
		}
	})
}
