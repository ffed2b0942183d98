package layer

import (
	"context"
	"errors"
	"testing"
)

func TestTakeBack(t *testing.T) {
	stop := errors.New("somebody was faster")
	for _, test := range []struct {
		name          string
		mounts, after int
		borrower      string
		counted       bool
		err           error
	}{
		{name: "one of two", mounts: 2, after: 1, borrower: "me"},
		{name: "the last", mounts: 1, after: 0, borrower: "me"},
		{name: "another one's", mounts: 2, after: 2, borrower: "she"},
		{name: "one of two by its word", mounts: 2, after: 1, counted: true},
		{name: "the last by its word", mounts: 1, after: 0, counted: true},
		{name: "mounted by others", mounts: 1, after: 1},
		{name: "not mounted", counted: true},
		{name: "never counted"},
		{name: "refused", mounts: 1, after: 1, counted: true, err: stop},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, e *env) {
				s := e.open(t)
				ctx := context.Background()
				c := create(t, s, CreateOptions{})
				for i := range test.mounts {
					borrower := test.borrower // of the first one
					if i > 0 {
						borrower = ""
					}
					if _, err := s.Mount(ctx, c.ID, MountOptions{Borrower: borrower}); err != nil {
						t.Fatal(err)
					}
				}
				err := e.open(t).TakeBack(ctx, c.ID, "me", func() (bool, error) { return test.counted, test.err })
				if !errors.Is(err, test.err) {
					t.Errorf("error %v, want %v", err, test.err)
				}
				if n := mounted(t, s, c.ID); n != test.after {
					t.Errorf("mounted %d times, want %d", n, test.after)
				}
				if _, err := s.Unmount(ctx, c.ID, UnmountOptions{Force: true}); err != nil {
					t.Error(err)
				}
			})
		})
	}
	s := newEnv(t, "vfs").open(t)
	if err := s.TakeBack(context.Background(), "nope", "me", func() (bool, error) { return true, nil }); err != nil {
		t.Errorf("a layer that is gone: %v", err)
	}
}

// TestTakeBackUnmountsWhatNobodyCounted: as a process leaves it that dies between the two.
func TestTakeBackUnmountsWhatNobodyCounted(t *testing.T) {
	e := newEnv(t, "overlay")
	s := e.open(t)
	ctx := context.Background()
	c := create(t, s, CreateOptions{})
	path, err := s.getLayer(ctx, nil, &c, MountOptions{})
	if err != nil || !isMountPoint(t, path) {
		t.Fatalf("mounted at %q, %v", path, err)
	}
	if err := e.open(t).TakeBack(ctx, c.ID, "me", func() (bool, error) { return false, nil }); err != nil || isMountPoint(t, path) {
		t.Errorf("still mounted, %v", err)
	}
}
