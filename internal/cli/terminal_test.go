package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudoterminal of a given width and returns its two ends.
func openTerminal(t *testing.T, width uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudoterminals: %v", err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 25, Col: width}); err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// TestOutputByTerminal runs the program with a real terminal and with a pipe: tables
// in the one, the reference's text in the other.
func TestOutputByTerminal(t *testing.T) {
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	strata := filepath.Join(dir, programName)
	if err := os.Symlink(program, strata); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(strata, append([]string{"--graph", dir + "/g", "--run", dir + "/r", "--storage-driver", "vfs"}, args...)...)
		cmd.Env = []string{"HOME=" + dir}
		return cmd
	}
	name := "localhost/" + strings.Repeat("long", 20)
	if out, err := command("create-layer", "--id", "lay1", "--name", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	piped, err := command("layers").Output()
	if want := "lay1\n\tname: " + name + "\n"; err != nil || string(piped) != want {
		t.Errorf("in a pipe: %q, %v; want %q", piped, err, want)
	}

	const width = 50
	master, slave := openTerminal(t, width)
	defer master.Close()
	cmd := command("layers")
	cmd.Stdout = slave
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	if err := slave.Close(); err != nil {
		t.Error(err)
	}
	var shown bytes.Buffer
	_, _ = io.Copy(&shown, master) // ends with EIO, since no program has the terminal any more
	lines := strings.Split(strings.TrimSpace(shown.String()), "\r\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "ID ") || !strings.HasPrefix(lines[1], "lay1 ") {
		t.Fatalf("on a terminal: %q", lines)
	}
	if n := len([]rune(lines[1])); n > width {
		t.Errorf("a line of %d columns on a terminal of %d: %q", n, width, lines[1])
	}
}

// TestManualPagesRender has the pages formatted by groff, which complains of what
// it does not understand.
func TestManualPagesRender(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("no groff")
	}
	pages, err := filepath.Glob("../../docs/man/*.1")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no manual pages: %v", err)
	}
	if testing.Short() {
		pages = pages[:3]
	}
	var complaints bytes.Buffer
	cmd := exec.Command(groff, append([]string{"-man", "-Tutf8", "-ww", "-z", "-rCHECKSTYLE=1"}, pages...)...)
	cmd.Stderr = &complaints
	if err := cmd.Run(); err != nil || complaints.Len() > 0 {
		t.Errorf("%v: %s", err, complaints.String())
	}
}
