package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/volume/plugin"
)

// TestVolumeServerInParallel mounts and unmounts through the server and through the command
// at the same time, with few IDs. It ends as it began.
func TestVolumeServerInParallel(t *testing.T) {
	r := newRoots(t, "overlay")
	s := serveVolumes(t, r, filepath.Join(r.dir, "p.sock"))
	client, err := plugin.NewClient("strata", plugin.Address{Addr: "unix://" + s.socket}, plugin.ClientOptions{})
	must(t, err)
	base := filepath.Join(r.dir, "base")
	must(t, os.Mkdir(base, 0o755))
	_, err = client.Create(t.Context(), "vol", map[string]string{"base": base, "volatile": "yes"})
	must(t, err)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			id := fmt.Sprint("id", i%4)
			path, err := client.Mount(context.Background(), "vol", id)
			if err == nil {
				err = mounted(path)
			}
			if err := errors.Join(err, client.Unmount(context.Background(), "vol", id)); err != nil {
				t.Error(err)
			}
		})
	}
	// The commands come one after the other: only one at a time has the database.
	all.Go(func() {
		common := []string{"--graph", r.graph(), "--run", r.runRoot(), "-s", r.driver, "volume"}
		for _, verb := range []string{"mount", "unmount"} {
			for i := range 4 {
				if out, err := r.try(binary, append(common, verb, fmt.Sprint("--id=hand", i), "vol")...); err != nil {
					t.Errorf("%s: %v: %s", verb, err, out)
				}
			}
		}
	})
	all.Wait()
	s.unused("vol")

	// A request that no engine sends gets an answer all the same.
	for _, name := range []string{"", "..", "a/b", ".server", strings.Repeat("n", 300)} {
		if _, err := client.Mount(t.Context(), name, "id"); err == nil {
			t.Errorf("the name %q is taken", name)
		}
		if err := client.Remove(t.Context(), name); err == nil {
			t.Errorf("the name %q is removed", name)
		}
	}
	for _, id := range []string{"", "..", "a/b", ".hidden"} {
		if _, err := client.Mount(t.Context(), "vol", id); err == nil {
			t.Errorf("the ID %q is taken", id)
		}
	}
	must(t, client.Remove(t.Context(), "vol"))
}

func mounted(path string) error {
	if at, err := mountapi.IsMountPoint(path); err != nil || !at {
		return errors.Join(fmt.Errorf("%s is not mounted", path), err)
	}
	return nil
}
