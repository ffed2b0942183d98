// Package storetest opens stores for tests and checks at the end of each test
// that the store on disk is consistent.
package storetest

import (
	"context"
	"os"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/testutil"
)

// Drivers are the drivers that Each runs a test on.
func Drivers() []string { return []string{"vfs", "overlay"} }

// Store is an open store of a test. When the test ends, Check runs and the store
// is shut down by force.
type Store struct {
	*strata.Store
	// Options are what it was opened with; the roots are temporary directories.
	Options strata.Options
	t       testing.TB
	damaged bool
	// tolerant accepts what nothing refers to.
	tolerant bool
}

// Each runs f as a subtest for every driver, side by side, each with a fresh
// store. All of it needs root: layers have owners.
func Each(t *testing.T, f func(t *testing.T, s *Store)) {
	t.Helper()
	for _, driver := range Drivers() {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			f(t, New(t, driver))
		})
	}
}

// New opens a fresh store with the driver in temporary directories. The changes
// are applied to its options first.
func New(t testing.TB, driver string, changes ...func(*strata.Options)) *Store {
	t.Helper()
	testutil.RequireRoot(t)
	dir := shortDir(t)
	opts := strata.Options{GraphRoot: dir + "/graph", RunRoot: dir + "/run", Driver: driver}
	for _, change := range changes {
		change(&opts)
	}
	return Open(t, opts)
}

// shortDir is a t.TempDir whose name is short wherever $TMPDIR is: podman refuses run
// roots of more than 50 characters.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the store's directory: %v", err)
		}
	})
	return dir
}

// Open opens a store that may exist already.
func Open(t testing.TB, opts strata.Options) *Store {
	t.Helper()
	testutil.RequireRoot(t)
	inner, err := strata.Open(t.Context(), opts)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	s := &Store{Store: inner, Options: opts, t: t}
	t.Cleanup(s.finish)
	return s
}

// Wrap is for a test that opens and closes stores by itself: nothing is checked when
// the test ends.
func Wrap(t testing.TB, inner *strata.Store, opts strata.Options) *Store {
	return &Store{Store: inner, Options: opts, t: t}
}

// Again opens the same store once more, as another process would.
func (s *Store) Again(t testing.TB) *Store {
	t.Helper()
	return Open(t, s.Options)
}

// Damaged says that the test leaves references dangling on purpose: Check then
// looks only at what each object has of its own.
func (s *Store) Damaged() { s.damaged = true }

// Tolerate says that the test has processes killed, which may leave files, and
// layers, that nothing refers to: Check does not look for such.
func (s *Store) Tolerate() { s.tolerant = true }

// finish checks and shuts down. The test's own context has ended by now.
func (s *Store) finish() {
	ctx := context.WithoutCancel(s.t.Context())
	s.Check(ctx)
	if _, err := s.Shutdown(ctx, strata.ShutdownOptions{Force: true}); err != nil {
		s.t.Logf("shut down: %v", err) // mounts that the test left
	}
	if err := s.Close(ctx); err != nil {
		s.t.Errorf("close store: %v", err)
	}
}
