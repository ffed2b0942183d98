//go:build linux && amd64

package faulttest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stratastore/strata/internal/faulttest"
	"github.com/stratastore/strata/internal/testutil"
)

// helperEnv makes this program one of the small ones that tests trace.
const helperEnv = "STRATA_FAULTTEST_HELPER"

func TestMain(m *testing.M) {
	faulttest.Launch()
	if name := os.Getenv(helperEnv); name != "" {
		if err := helpers[name](os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, name+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err := testutil.OwnMounts(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// helpers are small programs; each gets one argument.
var helpers = map[string]func(string) error{
	"steps":   steps,
	"threads": threads,
	"child":   child,
	"examine": examiner,
	"sleep":   func(string) error { time.Sleep(time.Hour); return nil },
}

// steps makes, fills, syncs, renames and removes a file, and reads another.
func steps(dir string) error {
	if _, err := os.ReadFile(filepath.Join(dir, "input")); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "a"))
	if err != nil {
		return err
	}
	if _, err := f.WriteString("text"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		return err
	}
	fmt.Println("renamed") // not counted: no file
	return os.Remove(filepath.Join(dir, "b"))
}

// threads makes directories from many goroutines at once.
func threads(dir string) error {
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() { errs[i] = os.Mkdir(filepath.Join(dir, fmt.Sprint(i)), 0o755) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// child makes one directory itself and lets another program make a second one.
func child(dir string) error {
	if err := os.Mkdir(filepath.Join(dir, "own"), 0o755); err != nil {
		return err
	}
	return exec.Command("mkdir", filepath.Join(dir, "other")).Run()
}
