package lockfile_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/lockfile"
)

func lockPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "layers.lock")
}

// Who excludes whom, with another process of ours, with the other engines' kind of
// lock, and within this process.
func TestMatrix(t *testing.T) {
	for _, holder := range []string{"shared", "exclusive", "classic-shared", "classic-exclusive"} {
		for _, mode := range []string{"shared", "exclusive"} {
			t.Run(mode+" against "+holder, func(t *testing.T) {
				t.Parallel()
				path := lockPath(t)
				p := startHolder(t, holder, path)
				l := lockfile.New(path, lockfile.Options{})
				together := strings.HasSuffix(holder, "shared") && mode == "shared"
				checkTake(t, l, mode, together)
				p.release(t)
				checkTake(t, l, mode, true)
			})
		}
	}
}

func TestMatrixInProcess(t *testing.T) {
	for _, sameLock := range []bool{true, false} {
		for _, holder := range []string{"shared", "exclusive"} {
			for _, mode := range []string{"shared", "exclusive"} {
				path := lockPath(t)
				first := lockfile.New(path, lockfile.Options{})
				second := first
				if !sameLock {
					second = lockfile.New(path, lockfile.Options{})
				}
				held, err := take(soon(t), first, holder)
				if err != nil {
					t.Fatal(err)
				}
				checkTake(t, second, mode, holder == "shared" && mode == "shared")
				unlock(t, held)
				checkTake(t, second, mode, true)
			}
		}
	}
}

// A classic lock of another process must be kept out by ours, in both modes.
func TestExcludesClassic(t *testing.T) {
	path := lockPath(t)
	l := lockfile.New(path, lockfile.Options{})
	for _, mode := range []string{"shared", "exclusive"} {
		held, err := take(soon(t), l, mode)
		if err != nil {
			t.Fatal(err)
		}
		if got := classicTry(t, path, "exclusive"); !errors.Is(got, unix.EAGAIN) && !errors.Is(got, unix.EACCES) {
			t.Errorf("exclusive classic lock against %s: %v", mode, got)
		}
		got := classicTry(t, path, "shared")
		if excluded := got != nil; excluded != (mode == "exclusive") {
			t.Errorf("shared classic lock against %s: %v", mode, got)
		}
		unlock(t, held)
	}
}

// classicTry tries a classic lock without waiting. In one process it conflicts
// with open-file-description locks like that of another process.
func classicTry(t *testing.T, path, mode string) error {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return unix.FcntlFlock(f.Fd(), unix.F_SETLK, classicLock(mode))
}

func checkTake(t *testing.T, l *lockfile.Lock, mode string, want bool) {
	t.Helper()
	ctx := soon(t)
	if !want {
		ctx = shortly(t)
	}
	held, err := take(ctx, l, mode)
	switch {
	case want && err != nil:
		t.Errorf("%s: %v", mode, err)
	case !want && err == nil:
		t.Errorf("%s: got the lock", mode)
	case !want && !errors.Is(err, context.DeadlineExceeded):
		t.Errorf("%s: %v, want the context's error", mode, err)
	}
	if held == nil {
		return
	}
	if held.Exclusive() != (mode == "exclusive") {
		t.Errorf("%s: Exclusive() = %t", mode, held.Exclusive())
	}
	unlock(t, held)
}

func unlock(t *testing.T, h *lockfile.Held) {
	t.Helper()
	if err := h.Unlock(); err != nil {
		t.Error(err)
	}
}

func TestTryExclusive(t *testing.T) {
	path := lockPath(t)
	l := lockfile.New(path, lockfile.Options{})
	for _, holder := range []string{"shared", "classic-exclusive"} {
		p := startHolder(t, holder, path)
		if _, err := l.TryExclusive(); !errors.Is(err, errdefs.ErrLocked) {
			t.Errorf("against %s: %v", holder, err)
		}
		p.release(t)
		held, err := l.TryExclusive()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.TryExclusive(); !errors.Is(err, errdefs.ErrLocked) {
			t.Errorf("against this process: %v", err)
		}
		unlock(t, held)
	}
}

func TestKilledHolderLetsGo(t *testing.T) {
	for _, role := range []string{"exclusive", "classic-exclusive"} {
		path := lockPath(t)
		p := startHolder(t, role, path)
		got := make(chan error, 1)
		go func() {
			held, err := lockfile.New(path, lockfile.Options{}).Exclusive(soon(t))
			if err == nil {
				err = held.Unlock()
			}
			got <- err
		}()
		time.Sleep(20 * time.Millisecond)
		p.kill()
		if err := <-got; err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}

// A wait that was cancelled must not keep anybody from the lock: not a queued
// writer the readers, and nothing may be taken later on its behalf.
func TestCancelledWaitLeavesNothing(t *testing.T) {
	path := lockPath(t)
	l := lockfile.New(path, lockfile.Options{})
	first, err := l.Shared(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Exclusive(shortly(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error = %v", err)
	}
	checkTake(t, l, "shared", true)
	unlock(t, first)

	p := startHolder(t, "shared", path)
	if _, err := l.Exclusive(shortly(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error = %v", err)
	}
	checkTake(t, l, "shared", true)
	p.release(t)
	held, err := lockfile.New(path, lockfile.Options{}).TryExclusive()
	if err != nil {
		t.Fatalf("after the cancelled wait: %v", err)
	}
	unlock(t, held)
}

func TestCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := lockfile.New(lockPath(t), lockfile.Options{})
	if _, err := l.Shared(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("error = %v", err)
	}
}

// A writer in the queue must get its turn although readers keep coming.
func TestWriterIsNotStarved(t *testing.T) {
	l := lockfile.New(lockPath(t), lockfile.Options{})
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				if held, err := l.Shared(ctx); err == nil {
					time.Sleep(time.Millisecond)
					_ = held.Unlock()
				}
			}
		})
	}
	for range 5 {
		checkTake(t, l, "exclusive", true)
	}
	stop()
	group.Wait()
}

func TestMutualExclusion(t *testing.T) {
	path := lockPath(t)
	locks := []*lockfile.Lock{lockfile.New(path, lockfile.Options{}), lockfile.New(path, lockfile.Options{})}
	var inside, rounds atomic.Int64
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			for range 30 {
				held, err := locks[i%2].Exclusive(soon(t))
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two holders at once")
				}
				rounds.Add(1)
				inside.Add(-1)
				unlock(t, held)
			}
		})
	}
	group.Wait()
	if rounds.Load() != 180 {
		t.Errorf("%d rounds", rounds.Load())
	}
}

func TestUnlockTwice(t *testing.T) {
	l := lockfile.New(lockPath(t), lockfile.Options{})
	held, err := l.Exclusive(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	unlock(t, held)
	other, err := l.Exclusive(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	unlock(t, held) // must not give back what somebody else has now
	if _, err := l.TryExclusive(); !errors.Is(err, errdefs.ErrLocked) {
		t.Errorf("error = %v", err)
	}
	unlock(t, other)
	if _, err := held.Token(); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("Token after Unlock: %v", err)
	}
	if _, err := held.Touch(); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("Touch after Unlock: %v", err)
	}
}

// Whoever waited for a file that its holder removed has to wait for the new one.
func TestRemovedLockFile(t *testing.T) {
	path := lockPath(t)
	l := lockfile.New(path, lockfile.Options{})
	held, err := l.Exclusive(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	other := lockfile.New(path, lockfile.Options{})
	got := make(chan *lockfile.Held, 1)
	go func() {
		h, err := other.Exclusive(soon(t))
		if err != nil {
			t.Error(err)
		}
		got <- h
	}()
	time.Sleep(20 * time.Millisecond)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	unlock(t, held)
	second := <-got
	if _, err := lockfile.New(path, lockfile.Options{}).TryExclusive(); !errors.Is(err, errdefs.ErrLocked) {
		t.Errorf("the waiter locked a file that nobody finds: %v", err)
	}
	unlock(t, second)
}

func TestReadOnly(t *testing.T) {
	path := lockPath(t)
	l := lockfile.New(path, lockfile.Options{ReadOnly: true})
	if !l.ReadOnly() || l.Path() != path {
		t.Errorf("ReadOnly() = %t, Path() = %s", l.ReadOnly(), l.Path())
	}
	checkTake(t, l, "shared", true)
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("lock file: %v, %v", info, err)
	}
	if _, err := l.Exclusive(soon(t)); !errors.Is(err, errdefs.ErrReadOnly) {
		t.Errorf("Exclusive = %v", err)
	}
	if _, err := l.TryExclusive(); !errors.Is(err, errdefs.ErrReadOnly) {
		t.Errorf("TryExclusive = %v", err)
	}
}

func TestReadOnlyMedium(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if err := os.WriteFile(filepath.Join(dir, "there.lock"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	checkTake(t, lockfile.New(filepath.Join(dir, "there.lock"), lockfile.Options{ReadOnly: true}), "shared", true)
	_, err := lockfile.New(filepath.Join(dir, "missing.lock"), lockfile.Options{ReadOnly: true}).Shared(soon(t))
	if !errors.Is(err, unix.EROFS) || !errors.Is(err, errdefs.ErrReadOnly) {
		t.Errorf("missing file: %v", err)
	}
	_, err = lockfile.New(filepath.Join(dir, "there.lock"), lockfile.Options{}).Shared(soon(t))
	if !errors.Is(err, errdefs.ErrReadOnly) {
		t.Errorf("opened for writing: %v", err)
	}
}

func TestMissingDirectory(t *testing.T) {
	l := lockfile.New(filepath.Join(t.TempDir(), "none", "layers.lock"), lockfile.Options{})
	if _, err := l.Shared(soon(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v", err)
	}
	if _, err := l.TryExclusive(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the first failure kept the lock: %v", err)
	}
}
