package strata_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/faults"
)

// childEnv makes the test binary run one job instead of the tests, so that tests
// have other processes to share a store with, and to kill.
const childEnv = "STRATA_TEST_CHILD"

// anyPoint is every step.
const anyPoint = "*"

// childJob is what a child does to a store.
type childJob struct {
	GraphRoot, RunRoot, Driver string
	// Job is a name of jobs.
	Job string
	// Arg tells children of one kind apart.
	Arg int
	// Point and Skip kill the child at a named step, or at any; see package faults.
	Point string
	Skip  int
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		if err := runChild(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := skipExamples(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// skipExamples leaves the examples out for ordinary users: layers have owners,
// and unlike tests examples can not skip themselves.
func skipExamples() error {
	if os.Geteuid() == 0 || os.Getenv("STRATA_TEST_REQUIRE_ROOT") == "1" {
		return nil
	}
	fmt.Fprintln(os.Stderr, "examples are skipped: they need root")
	return flag.Set("test.skip", "^Example")
}

func runChild(text string) error {
	var j childJob
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	ctx := context.Background()
	s, err := strata.Open(ctx, strata.Options{GraphRoot: j.GraphRoot, RunRoot: j.RunRoot, Driver: j.Driver})
	if err != nil {
		return err
	}
	if j.Point != "" {
		faults.Enable(faults.Rule{Point: strings.TrimPrefix(j.Point, anyPoint), Skip: j.Skip, Do: func() {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // returns before the signal arrives
			select {}
		}})
	}
	return errors.Join(jobs[j.Job](ctx, s, j.Arg), s.Close(ctx))
}

// startChild runs a job in another process.
func startChild(t testing.TB, opts strata.Options, j childJob) *exec.Cmd {
	t.Helper()
	j.GraphRoot, j.RunRoot, j.Driver = opts.GraphRoot, opts.RunRoot, opts.Driver
	text, err := json.Marshal(j)
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = &bytes.Buffer{}
	must(t, cmd.Start())
	return cmd
}

// waitChild reports whether the child was killed; any other failure fails the test.
func waitChild(t testing.TB, cmd *exec.Cmd) (killed bool) {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("child: %v\n%s", err, cmd.Stderr)
	}
	return false
}
