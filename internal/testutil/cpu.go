package testutil

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime is what this process spends on do: unlike the time that goes by, it hardly depends
// on what else the machine does. Nothing else may run in the process meanwhile, so not in a
// parallel test.
func CPUTime(t testing.TB, do func()) time.Duration {
	t.Helper()
	before := spent(t)
	do()
	return spent(t) - before
}

func spent(t testing.TB) time.Duration {
	t.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
