package drivertest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// The variables that make Run play a victim.
const (
	victimEnv = "STRATA_DRIVERTEST_VICTIM"
	rootEnv   = "STRATA_DRIVERTEST_ROOT"
)

// The ways to die. Victims find the layers "base" and "child", if the case made them.
const (
	victimMount  = "mount"  // with child mounted
	victimStage  = "stage"  // with a filled stage
	victimApply  = "apply"  // in the middle of filling a stage
	victimAdopt  = "adopt"  // with layer "adopted" just adopted
	victimTrash  = "trash"  // with base in the trash
	victimDirect = "direct" // in the middle of filling child in place
)

// killed runs a process that opens the driver in the case's root and kills itself at
// the given point.
func (e *env) killed(victim string) {
	e.Helper()
	var pattern []string
	for part := range strings.SplitSeq(e.test, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.CommandContext(e.Context(), os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.v") //nolint:gosec // this very program
	cmd.Env = append(os.Environ(), victimEnv+"="+victim, rootEnv+"="+e.root)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signal() == syscall.SIGKILL {
			return
		}
	}
	e.Fatalf("victim %q did not kill itself: %v\n%s", victim, err, out.Bytes())
}

// die is what the victim does instead of the suite.
func (s Suite) die(t *testing.T, victim, root string) {
	e := &env{TB: t, suite: s, root: root}
	e.d = s.New(t, root)
	switch victim {
	case victimMount:
		dir := e.get(e.d, "child")
		e.must(os.WriteFile(filepath.Join(dir, "by-victim"), nil, 0o600))
	case victimStage:
		e.stage("base", bigTar(e))
	case victimApply:
		st, err := power[graphdriver.Stager](e, e.d).Stage(e.Context(), "base", graphdriver.CreateOptions{})
		e.must(err)
		_, err = st.ApplyDiff(e.Context(), &lethalReader{r: bytes.NewReader(bigTar(e)), after: 200_000}, graphdriver.ApplyOptions{})
		e.must(err)
	case victimAdopt:
		e.must(e.stage("base", bigTar(e)).Adopt(e.Context(), "adopted"))
	case victimTrash:
		_, err := power[graphdriver.Trasher](e, e.d).Trash(e.Context(), "base")
		e.must(err)
	case victimDirect:
		diff := &lethalReader{r: bytes.NewReader(bigTar(e)), after: 200_000}
		_, err := e.d.ApplyDiff(e.Context(), "child", "base", diff, graphdriver.ApplyOptions{})
		e.must(err)
	default:
		t.Fatalf("unknown victim %q", victim)
	}
	kill()
}

func kill() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// lethalReader kills the process once that many bytes were read.
type lethalReader struct {
	r     io.Reader
	after int
}

func (l *lethalReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p[:min(len(p), 4096)])
	if l.after -= n; l.after <= 0 {
		kill()
	}
	return n, err
}

// bigTar is about half a megabyte in files of several sizes.
func bigTar(t testing.TB) []byte {
	var entries []testutil.Entry
	for _, dir := range []string{"a/", "a/b/", "c/"} {
		entries = append(entries, testutil.Entry{Name: dir})
		for n := range 20 {
			name := dir + strings.Repeat("n", n+1)
			entries = append(entries, testutil.Entry{Name: name, Body: strings.Repeat(name, 200*n)})
		}
	}
	return testutil.Tar(t, entries...)
}
