package cli

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestInterrupt sends signals to the program while it waits for input that never
// comes: the first one ends the work in an orderly way, and nothing is left behind.
// That SIGHUP is one of them matters where a terminal goes away.
func TestInterrupt(t *testing.T) {
	// What is ignored stays so in a program that is started; what is caught does not.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	tests := []struct {
		program string
		signal  syscall.Signal
	}{
		{programName, syscall.SIGINT}, {classicName, syscall.SIGINT}, {programName, syscall.SIGTERM}, {programName, syscall.SIGHUP},
	}
	for _, tt := range tests {
		t.Run(tt.program+" "+tt.signal.String(), func(t *testing.T) {
			dir := t.TempDir()
			roots := []string{"--graph", filepath.Join(dir, "graph"), "--run", filepath.Join(dir, "run"), "--storage-driver", "vfs"}
			var errs bytes.Buffer
			cmd := exec.Command(tt.program, append(roots, "import-layer", "-i", "never")...)
			cmd.Env = append(os.Environ(), "HOME="+dir, "CONTAINERS_STORAGE_CONF=/dev/null")
			cmd.Stderr = &errs
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			waitFor(t, filepath.Join(dir, "run"))
			time.Sleep(100 * time.Millisecond) // until it reads
			if err := cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // the exit code tells
			if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
				t.Errorf("exit code %d, want %d; stderr: %s", code, exitInterrupted, errs.String())
			}
			if out, err := exec.Command(programName, append(roots, "layers")...).CombinedOutput(); err != nil || len(out) != 0 {
				t.Errorf("layers: %v %s", err, out)
			}
		})
	}
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	for start := time.Now(); time.Since(start) < 5*time.Minute; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s does not appear", path)
}
