// Package testutil holds what strata's tests share: rules for skipping, small
// tars made in code, and trees dumped as text for comparing. Only tests import it.
package testutil

import (
	"os"
	"os/exec"
	"testing"

	"github.com/opencontainers/go-digest"
)

// The variables that turn skipping into failing, set to 1 where a run has to
// prove that nothing was left out.
const (
	requireRootEnv     = "STRATA_TEST_REQUIRE_ROOT"
	requireProgramsEnv = "STRATA_TEST_REQUIRE_PROGRAMS"
)

// RequireRoot skips the test when it does not run as root; with
// STRATA_TEST_REQUIRE_ROOT=1 it fails instead.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, requireRootEnv, "needs root")
	}
}

// RequireProgram returns the path of a program, skipping the test when it is not
// installed; with STRATA_TEST_REQUIRE_PROGRAMS=1 it fails instead.
func RequireProgram(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, requireProgramsEnv, "needs the program "+name)
	}
	return path
}

func missing(t testing.TB, env, what string) {
	t.Helper()
	if os.Getenv(env) == "1" {
		t.Fatalf("%s (%s=1 forbids to skip)", what, env)
	}
	t.Skip(what)
}

// Digest returns the SHA-256 digest of b.
func Digest(b []byte) digest.Digest { return digest.FromBytes(b) }
