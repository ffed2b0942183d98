package layer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
)

// The tests below run parts of themselves in other processes: this binary again,
// with a command in its environment for TestChildProcess.
const (
	childEnv = "STRATA_LAYER_TEST_CHILD"
	childDir = "STRATA_LAYER_TEST_DIR"
	answer   = "ANSWER "
)

// child prepares a command on the same store.
func (e *env) child(command ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildProcess$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(command, " "), childDir+"="+e.graph+"\n"+e.run+"\n"+e.driver)
	cmd.Stderr = os.Stderr
	return cmd
}

// runChild runs a command and returns its answer.
func (e *env) runChild(t testing.TB, command ...string) string {
	t.Helper()
	out, err := e.child(command...).Output()
	if err != nil {
		t.Errorf("child %v: %v\n%s", command, err, out)
	}
	_, text, _ := strings.Cut(string(out), answer)
	text, _, _ = strings.Cut(text, "\n")
	return text
}

func TestChildProcess(t *testing.T) {
	command := os.Getenv(childEnv)
	if command == "" {
		t.Skip("only runs in other processes")
	}
	dirs := strings.Split(os.Getenv(childDir), "\n")
	e := &env{graph: dirs[0], run: dirs[1], driver: dirs[2]}
	s, err := Open(e.options(t))
	if err != nil {
		t.Fatal(err)
	}
	text, err := childCommand(t, s, strings.Fields(command))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(answer + text)
}

func TestCountsAreSharedByProcesses(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		ctx := context.Background()
		l := load(t, s, "", baseTar(t))
		path, err := s.Mount(ctx, l.ID, MountOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if other := e.runChild(t, "mount", string(l.ID)); other != path {
			t.Errorf("the other process mounts at %s, want %s", other, path)
		}
		if n := mounted(t, s, l.ID); n != 2 {
			t.Errorf("counted %d times", n)
		}
		if gone, err := s.Unmount(ctx, l.ID, UnmountOptions{}); gone || err != nil {
			t.Errorf("first unmount: %v, %v", gone, err)
		}
		if _, err := os.Stat(filepath.Join(path, "etc/hello")); err != nil {
			t.Errorf("the other process' mount is gone: %v", err)
		}
		if gone := e.runChild(t, "unmount", string(l.ID)); gone != "true" {
			t.Errorf("last unmount, by the other process: %s", gone)
		}
		if n := mounted(t, s, l.ID); n != 0 {
			t.Errorf("counted %d times at the end", n)
		}
		// This process' driver still counts a mount that the other one undid.
		again, err := s.Mount(ctx, l.ID, MountOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(again, "etc/hello")); err != nil {
			t.Errorf("mounted again: %v", err)
		}
		if gone, err := s.Unmount(ctx, l.ID, UnmountOptions{}); !gone || err != nil {
			t.Errorf("unmount: %v, %v", gone, err)
		}
		if e.driver == "overlay" && isMountPoint(t, again) {
			t.Error("the kernel still has the mount")
		}
	})
}

func TestProcessesStageTheSameLayer(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		const processes = 3
		out := make([]string, processes)
		var group sync.WaitGroup
		for i := range processes {
			group.Go(func() { out[i] = e.runChild(t, "load") })
		}
		group.Wait()
		if n := strings.Count(strings.Join(out, " "), "won"); n != 1 {
			t.Errorf("%d processes won: %v", n, out)
		}
		if ids := listIDs(t, s); len(ids) != 1 {
			t.Errorf("layers %v", ids)
		}
	})
}

func TestKilledProcessesLeaveNothing(t *testing.T) {
	for _, command := range []string{"die-staged", "die-flagged", "die-adopted", "die-deleted"} {
		t.Run(command, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, e *env) {
				_ = e.child(command).Run() // kills itself
				s := e.open(t)
				if ids := listIDs(t, s); len(ids) != 0 {
					t.Errorf("layers %v", ids)
				}
			})
		})
	}
}

func childCommand(t *testing.T, s *Store, args []string) (string, error) {
	ctx := context.Background()
	switch args[0] {
	case "mount":
		return s.Mount(ctx, ID(args[1]), MountOptions{})
	case "unmount":
		gone, err := s.Unmount(ctx, ID(args[1]), UnmountOptions{})
		return fmt.Sprint(gone), err
	case "hammer":
		seed, steps := atoi(t, args[1]), atoi(t, args[2])
		hammerTogether(t, s, uint64(seed), 2, steps)
		return "done", nil
	case "kill":
		return "survived", killedAt(t, s, args[1:])
	case "chain-register", "chain-hold", "chain-rw-create", "chain-rw-init", "chain-come-and-go":
		return chainCommand(t, s, args)
	case "load":
		if stageAndAdopt(t, s, baseTar(t)) {
			return "won", nil
		}
		return "lost", nil
	}
	return "", dieAt(t, s, args[0])
}

// dieAt kills this process at a point where it has something half done.
func dieAt(t *testing.T, s *Store, point string) error {
	ctx := context.Background()
	l := Layer{}
	if point == "die-deleted" {
		l = load(t, s, "", baseTar(t))
	}
	st, err := s.Stage(ctx, StageOptions{}, strings.NewReader(string(upperTar(t))))
	if err != nil || point == "die-staged" {
		return errors.Join(err, unix.Kill(os.Getpid(), unix.SIGKILL))
	}
	tx, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	switch point {
	case "die-flagged":
		s.current.driver = &suicidal{s.current.driver}
		_, err = tx.Create(ctx, CreateOptions{BigData: []Datum{{"k", []byte("v")}}})
	case "die-adopted":
		_, err = tx.Adopt(ctx, st, CreateOptions{})
	case "die-deleted":
		_, err = tx.Delete(ctx, l.ID)
	}
	return errors.Join(err, unix.Kill(os.Getpid(), unix.SIGKILL))
}

// suicidal is a driver that ends the process when it has made a layer.
type suicidal struct{ graphdriver.Driver }

func (d *suicidal) Create(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.CreateOptions) error {
	if err := d.Driver.Create(ctx, id, parent, opts); err != nil {
		return err
	}
	return unix.Kill(os.Getpid(), unix.SIGKILL)
}

func atoi(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
