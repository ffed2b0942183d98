package powertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/testutil"
)

// childEnv makes the test binary examine one image instead of running tests.
const childEnv = "STRATA_POWER_CHILD"

// examination is what a child is to do: mount the image, as after the reboot that
// follows a power cut, and look at the store on it. Without an image the store is
// below Dir already.
type examination struct {
	Image, FileSystem, Driver, Dir string
	// Volumes is the command to look at the volumes with; "": at the rest.
	Volumes string
}

// mountPoint is where children mount, each in a namespace of its own. Nobody removes
// that directory, which would undo the mounts on it in every namespace.
const mountPoint = "/mnt"

// outcome is what it found.
type outcome struct {
	// Opened is the state before anything but opening was done, Swept after GC.
	Opened, Swept storeState
	// Findings are those that are left after the sweep.
	Findings []string
	// Errors of any step.
	Errors []string
}

// examine runs a child over an image. Its mounts end with it.
func examine(e examination) (*outcome, error) {
	return e.run(func(cmd *exec.Cmd) error { return cmd.Start() })
}

func (e examination) run(start func(*exec.Cmd) error) (*outcome, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err = start(cmd); err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("examine: %w\n%s", err, stderr.String())
	}
	out := &outcome{}
	return out, json.Unmarshal(stdout.Bytes(), out)
}

// runChild is the child's main.
func runChild(text string) error {
	var e examination
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return err
	}
	if err := e.mount(); err != nil {
		return err
	}
	out := &outcome{}
	look := func() error { return e.look(context.Background(), out) }
	if e.Volumes != "" {
		look = func() error { return e.lookAtVolumes(out) }
	}
	if err := look(); err != nil {
		out.Errors = append(out.Errors, err.Error())
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func (e examination) mount() error {
	if err := errors.Join(testutil.LeaveOverlays(), testutil.HidePlugins()); err != nil {
		return err
	}
	if e.Image == "" {
		return nil
	}
	dev, err := attachLoop(e.Image)
	if err != nil {
		return err
	}
	defer dev.Close() // the mount keeps it
	return fileSystem{name: e.FileSystem}.mount(dev.Name(), e.Dir)
}

// look opens the store and goes through all that the durability promise says.
func (e examination) look(ctx context.Context, out *outcome) (err error) {
	graph := filepath.Join(e.Dir, "graph")
	opts := strata.Options{GraphRoot: graph, RunRoot: filepath.Join(e.Dir, "run-after-reboot"), Driver: e.Driver}
	s, err := strata.Open(ctx, opts)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	if _, err := s.Snapshot(ctx); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if out.Opened, err = observe(graph, e.Driver); err != nil {
		return err
	}
	gc, err := s.GC(ctx, strata.GCOptions{})
	if err != nil {
		return fmt.Errorf("gc: %w", err)
	}
	for _, f := range gc.Failed {
		out.Errors = append(out.Errors, fmt.Sprintf("gc: %s: %v", f.Path, f.Err))
	}
	if out.Swept, err = observe(graph, e.Driver); err != nil {
		return err
	}
	return e.prove(ctx, s, out)
}

// prove demands that nothing is found any more and that the store can be used.
func (e examination) prove(ctx context.Context, s *strata.Store, out *outcome) error {
	verified, err := s.Verify(ctx, strata.VerifyOptions{})
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	checked, err := s.Check(ctx, strata.CheckOptions{})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	for _, f := range verified.Findings {
		out.Findings = append(out.Findings, "verify: "+f.String())
	}
	for _, f := range checked.Findings {
		out.Findings = append(out.Findings, "check: "+f.String())
	}
	l, err := s.CreateLayer(ctx, strata.LayerOptions{})
	if err != nil {
		return fmt.Errorf("create a layer after recovery: %w", err)
	}
	if err := s.DeleteLayer(ctx, string(l.ID)); err != nil {
		return fmt.Errorf("delete a layer after recovery: %w", err)
	}
	return nil
}
