package cli

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stratastore/strata/internal/testutil"
)

// nobody is a user that owns nothing and has no subordinate IDs.
const nobody = 64123

// TestOrdinaryUser runs the program as a user without any right: it goes into a
// user namespace by itself, and the store is the user's own.
func TestOrdinaryUser(t *testing.T) {
	testutil.RequireRoot(t)
	home := t.TempDir()
	for _, dir := range []string{home, filepath.Dir(home)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	program := copyProgram(t)
	user := func(args ...string) outcome { return runAs(t, program, home, args...) }
	if o := user("unshare", "true"); o.code != exitOK {
		t.Skipf("this kernel gives ordinary users no namespaces: %s", o.err)
	}

	if o := user("unshare", "id", "-u"); o.out != "0\n" {
		t.Errorf("unshare id -u: %+v", o)
	}
	if o := user("unshare", "sh", "-c", "exit 3"); o.code != exitFailure || !strings.Contains(o.err, "exit status 3") {
		t.Errorf("unshare sh: %+v", o)
	}
	o := user("status")
	if !strings.Contains(o.out, "Root: "+filepath.Join(home, ".local/share/containers/storage")+"\n") || o.code != exitOK {
		t.Fatalf("status: %+v", o)
	}
	if o := user("create-layer", "--name", "mine"); o.code != exitOK {
		t.Fatalf("create-layer: %+v", o)
	}
	if o := user("layer", "nope"); o.code != 3 || !strings.HasPrefix(o.err, "error: nope: layer not known\n") {
		t.Errorf("layer nope: %+v", o)
	}
	if o := user("unshare", program, "mount", "mine"); o.code != exitOK || !strings.HasPrefix(o.out, home) {
		t.Errorf("mount in a namespace: %+v", o)
	}
	if o := user("import", "--name", "root's", "/etc/passwd"); o.code == exitOK {
		t.Errorf("import of what is no tar: %+v", o)
	}
	if o := user("wipe"); o.code != exitOK {
		t.Errorf("wipe: %+v", o)
	}
	if o := user("shutdown", "--force"); o.code != exitOK {
		t.Errorf("shutdown: %+v", o)
	}
}

// copyProgram puts the test binary, which acts as the program by its name, where
// other users may run it.
func copyProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	path := filepath.Join(dir, programName)
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func runAs(t *testing.T, program, home string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=" + home, "XDG_RUNTIME_DIR=" + home, "PATH=" + os.Getenv("PATH"), "CONTAINERS_STORAGE_CONF=/dev/null", "TMPDIR=" + home}
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	_ = cmd.Run() // the exit code tells
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}
