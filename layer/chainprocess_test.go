package layer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/lease"
)

// ready is what a child says before it waits for the end of its input.
const ready = "READY "

// waiting is a child that has done its command and holds what it got.
type waiting struct {
	*exec.Cmd
	in    io.Closer
	said  string
	ended bool
}

// hold starts a child and returns when it says that it is ready.
func (e *env) hold(t testing.TB, command ...string) *waiting {
	t.Helper()
	w := &waiting{Cmd: e.child(command...)}
	in, err := w.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	w.in = in
	t.Cleanup(func() {
		if !w.ended {
			_ = w.Process.Kill()
			_ = w.Wait()
		}
	})
	for lines := bufio.NewScanner(out); w.said == "" && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), ready); ok {
			w.said = text
		}
	}
	if w.said == "" {
		t.Fatalf("child %v never got ready", command)
	}
	return w
}

// kill ends the child as nothing can prevent.
func (w *waiting) kill(t testing.TB) {
	t.Helper()
	w.ended = true
	if err := w.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = w.Wait()
}

// chainCommand is what children do with a ChainStore.
func chainCommand(t *testing.T, s *Store, args []string) (string, error) {
	ctx := context.Background()
	leaseDir := filepath.Join(filepath.Dir(s.opts.GraphDir), "strata", "leases")
	c, err := NewChainStore(s, ChainStoreOptions{LeaseDir: leaseDir})
	if err != nil {
		return "", err
	}
	switch args[0] {
	case "chain-register": // and end, holding nothing
		r, err := c.Register(ctx, bytes.NewReader(baseTar(t)), "")
		if err != nil {
			return "", err
		}
		return fmt.Sprint(r.CacheID()), c.Close()
	case "chain-hold":
		r, err := c.Register(ctx, bytes.NewReader(baseTar(t)), "")
		if err != nil {
			return "", err
		}
		return wait(r.CacheID())
	case "chain-rw-create":
		r, err := c.CreateRWLayer(ctx, "m", ChainID(args[1]), RWOptions{Init: putHosts})
		if err != nil {
			return "", err
		}
		return wait(r.MountID())
	case "chain-rw-init":
		_, err := c.CreateRWLayer(ctx, "m", ChainID(args[1]), RWOptions{Init: func(context.Context, string) error {
			_, err := wait("init")
			return err
		}})
		return "", err
	case "chain-come-and-go":
		for i := range atoi(t, args[1]) {
			if err := comeAndGo(c, fmt.Sprint(i%2), numbered(t, "base"), upperTar(t)); err != nil {
				return "", err
			}
		}
		return "done", c.Close()
	}
	return "", fmt.Errorf("command %v", args)
}

// wait says that it is ready and returns when the parent closes the pipe.
func wait[T ~string](what T) (string, error) {
	fmt.Println(ready + string(what))
	_, err := io.Copy(io.Discard, os.Stdin)
	return string(what), err
}

func TestProcessesRegisterTheSameLayer(t *testing.T) {
	eachChainStore(t, func(t *testing.T, e *env, c *ChainStore) {
		const processes = 4
		out := make([]string, processes)
		var group sync.WaitGroup
		for i := range processes {
			group.Go(func() { out[i] = e.runChild(t, "chain-register") })
		}
		group.Wait()
		ids, err := c.store.driver().(graphdriver.Lister).List(context.Background())
		if err != nil || len(ids) != 1 {
			t.Errorf("the driver has %v, %v", ids, err)
		}
		for _, id := range out {
			if id != string(ids[0]) {
				t.Errorf("a process got layer %q", id)
			}
		}
		if names := readDir(t, e.leaseDir()); len(names) != 0 {
			t.Errorf("leases of processes that ended: %v", names)
		}
		// It stays when all have ended, and is there for the next one.
		r, err := c.Get(context.Background(), ChainID(get(t, c.store, ID(ids[0])).DiffID))
		if err != nil {
			t.Fatal(err)
		}
		release(t, c, r, r)
	})
}

func TestAnotherProcessHoldsTheLayer(t *testing.T) {
	eachChainStore(t, func(t *testing.T, e *env, c *ChainStore) {
		ctx := context.Background()
		r, err := c.Register(ctx, bytes.NewReader(baseTar(t)), "")
		if err != nil {
			t.Fatal(err)
		}
		other := e.hold(t, "chain-hold")
		if other.said != string(r.CacheID()) {
			t.Fatalf("the child holds %s", other.said)
		}
		var leased *LeasedError
		if err := Leased(e.leaseDir(), "no such layer"); err != nil {
			t.Error(err)
		}
		release(t, c, r) // the child holds it
		if err := Leased(e.leaseDir(), r.CacheID()); !errors.As(err, &leased) || leased.PID != other.Process.Pid || !errors.Is(err, ErrLeased) {
			t.Errorf("error %v, want the child's PID %d", err, other.Process.Pid)
		}
		if removed, err := c.Collect(ctx, 0); err != nil || len(removed) != 0 {
			t.Errorf("collected %v, %v", removed, err)
		}
		other.kill(t)
		if err := Leased(e.leaseDir(), r.CacheID()); err != nil {
			t.Errorf("the dead child holds it: %v", err)
		}
		if unheld, err := c.Unheld(ctx, 0); err != nil || len(unheld) != 1 {
			t.Errorf("unheld %v, %v", unheld, err)
		}
		if removed, err := c.Collect(ctx, 0); err != nil || len(removed) != 1 || removed[0].ID != r.CacheID() {
			t.Errorf("collected %v, %v", removed, err)
		}
		if err := c.Cleanup(ctx); err != nil {
			t.Fatal(err)
		}
		if names := readDir(t, e.leaseDir()); len(names) != 1 {
			t.Errorf("lease files %v, want one's own", names)
		}
	})
}

func TestRWLayersOutliveTheirProcess(t *testing.T) {
	eachChainStore(t, func(t *testing.T, e *env, c *ChainStore) {
		ctx := context.Background()
		a := register(t, c, nil, "a")
		creator := e.hold(t, "chain-rw-create", string(a.ChainID()))
		m, err := c.GetRWLayer(ctx, "m")
		if err != nil || string(m.MountID()) != creator.said || m.Parent().ChainID() != a.ChainID() {
			t.Fatalf("%v, %v", m, err)
		}
		releaseRW(t, c, m) // the creator has a reference, too
		if _, err := c.CreateRWLayer(ctx, "m", "", RWOptions{}); !errors.Is(err, ErrMountExists) {
			t.Errorf("create: %v", err)
		}
		creator.kill(t)
		if removed, err := c.Collect(ctx, 0); err != nil || len(removed) != 0 {
			t.Errorf("collected %v, %v", removed, err)
		}
		again, err := c.GetRWLayer(ctx, "m")
		if err != nil {
			t.Fatal(err)
		}
		inMount(t, again, func(dir string) {
			if _, err := os.Stat(filepath.Join(dir, "etc/hosts")); err != nil {
				t.Error(err)
			}
		})
		release(t, c, a)
		releaseRW(t, c, again, a)
		if ids := listIDs(t, c.store); len(ids) != 0 {
			t.Errorf("layers %v", ids)
		}
	})
}

func TestKilledWhileFillingAnInitLayer(t *testing.T) {
	eachChainStore(t, func(t *testing.T, e *env, c *ChainStore) {
		ctx := context.Background()
		a := register(t, c, nil, "a")
		child := e.hold(t, "chain-rw-init", string(a.ChainID()))
		release(t, c, a)
		if removed, err := c.Collect(ctx, 0); err != nil || len(removed) != 0 {
			t.Errorf("collected %v, %v", removed, err)
		}
		if err := c.Cleanup(ctx); err != nil {
			t.Fatal(err)
		}
		if ids := listIDs(t, c.store); len(ids) != 2 {
			t.Errorf("layers %v", ids)
		}
		child.kill(t)
		if err := c.Cleanup(ctx); err != nil {
			t.Fatal(err)
		}
		if ids := listIDs(t, c.store); !slices.Equal(ids, []ID{a.CacheID()}) {
			t.Errorf("layers %v, want the registered one, which is no orphan", ids)
		}
		createRW(t, c, "m", nil, RWOptions{}) // the name is free
		if removed, err := c.Collect(ctx, 0); err != nil || len(removed) != 1 {
			t.Errorf("collected %v, %v", removed, err)
		}
	})
}

func TestProcessesComeAndGoTogether(t *testing.T) {
	eachChainStore(t, func(t *testing.T, e *env, c *ChainStore) {
		rounds := "10"
		if testing.Short() {
			rounds = "3"
		}
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				if said := e.runChild(t, "chain-come-and-go", rounds); said != "done" {
					t.Errorf("a child said %q", said)
				}
			})
		}
		group.Wait()
		if ids := listIDs(t, c.store); len(ids) != 0 {
			t.Errorf("layers %v", ids)
		}
		if held, err := lease.Held(e.leaseDir()); err != nil || len(held) != 0 {
			t.Errorf("leases %v, %v", held, err)
		}
	})
}

func TestCollectByAge(t *testing.T) {
	eachChainStore(t, func(t *testing.T, e *env, c *ChainStore) {
		ctx := context.Background()
		a := register(t, c, nil, "a")
		b := register(t, c, a, "b")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		next := e.chainStore(t, c.store, nil)
		if removed, err := next.Collect(ctx, 1<<40); err != nil || len(removed) != 0 {
			t.Errorf("young ones: %v, %v", removed, err)
		}
		removed, err := next.Collect(ctx, 0)
		if err != nil || len(removed) != 2 || removed[0].ID != b.CacheID() || removed[1].ID != a.CacheID() {
			t.Errorf("removed %v, %v", removed, err)
		}
	})
}

// Cleanup lets go of the driver for everybody; who goes on sets it up again.
func TestCleanupReleasesTheDriver(t *testing.T) {
	e := newEnv(t, "overlay")
	s := e.open(t)
	c := e.chainStore(t, s, nil)
	ctx := context.Background()
	m := createRW(t, c, "m", register(t, c, nil, "a"), RWOptions{})
	home := filepath.Join(e.graph, e.driver)
	if !isMountPoint(t, home) {
		t.Skip("the driver makes no private mount here")
	}
	if err := c.Cleanup(ctx); err != nil {
		t.Fatal(err)
	}
	if isMountPoint(t, home) {
		t.Error("the driver's home is still mounted")
	}
	inMount(t, m, func(dir string) { writeFile(t, filepath.Join(dir, "f"), "x") })
	if _, err := m.Mount(ctx, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(home, unix.MNT_DETACH) }()
	if err := c.Cleanup(ctx); err != nil {
		t.Errorf("while a layer is mounted: %v", err)
	}
	if err := m.Unmount(ctx); err != nil {
		t.Error(err)
	}
}
