package layer

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stratastore/strata/internal/idmap"
)

// Storage options are the driver's to refuse, and then nothing is made.
func TestStorageOptionsOfRWLayers(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		a := register(t, c, nil, "a")
		opts := RWOptions{Init: putHosts, StorageOpt: map[string]string{"colour": "red"}}
		if _, err := c.CreateRWLayer(context.Background(), "m", a.ChainID(), opts); err == nil {
			t.Error("made with an unknown storage option")
		}
		release(t, c, a, a)
		if ids := listIDs(t, c.store); len(ids) != 0 {
			t.Errorf("layers %v", ids)
		}
	})
}

// Layers with other owners are not the ones that were registered, and do not get
// in the way.
func TestLayersWithOtherOwnersAreNotSeen(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		ctx := context.Background()
		ranges := []idmap.Range{{ContainerID: 0, HostID: 100000, Size: 65536}}
		shifted, err := NewChainStore(s, ChainStoreOptions{LeaseDir: e.leaseDir(), Mapping: idmap.Mapping{UIDs: ranges, GIDs: ranges}})
		if err != nil {
			t.Fatal(err)
		}
		defer shifted.Close()
		plain := e.chainStore(t, s, nil)
		first := register(t, shifted, nil, "a")
		if _, err := plain.Get(ctx, first.ChainID()); !errors.Is(err, ErrNoLayer) {
			t.Errorf("get: %v", err)
		}
		if all, err := plain.Map(ctx); err != nil || len(all) != 0 {
			t.Errorf("map %v, %v", all, err)
		}
		second := register(t, plain, nil, "a")
		if second.CacheID() == first.CacheID() || second.ChainID() != first.ChainID() {
			t.Errorf("layers %s and %s", first.CacheID(), second.CacheID())
		}
		release(t, shifted, first, first)
		release(t, plain, second, second)
	})
}

// Layers of additional stores are referred to and built on, and stay.
func TestLayersOfAdditionalStores(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		other := newEnv(t, e.driver)
		theirs := register(t, other.chainStore(t, other.open(t), nil), nil, "theirs")
		e.additional = []string{other.graph}
		c := e.chainStore(t, e.open(t), nil)
		base, err := c.Get(context.Background(), theirs.ChainID())
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.Register(context.Background(), bytes.NewReader(numbered(t, "theirs")), "")
		if err != nil || again.CacheID() != theirs.CacheID() {
			t.Fatalf("%v, %v", again, err)
		}
		top := register(t, c, base, "top")
		release(t, c, again)
		release(t, c, base)
		release(t, c, top, top)
		if ids := listIDs(t, c.store); !slices.Equal(ids, []ID{theirs.CacheID()}) {
			t.Errorf("layers %v", ids)
		}
	})
}

// No room while unpacking, or for the tar-split, is an error and leaves nothing.
func TestRegisterOnAFullDisk(t *testing.T) {
	for _, driver := range []string{"vfs", "overlay"} {
		t.Run(driver, func(t *testing.T) {
			e := smallEnv(t, driver)
			s := e.open(t)
			c, err := NewChainStore(s, ChainStoreOptions{LeaseDir: filepath.Join(t.TempDir(), "leases")})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			a := register(t, c, nil, "a")
			empty := fill(t, e)
			if _, err := c.Register(context.Background(), bytes.NewReader(baseTar(t)), a.ChainID()); !isFull(err) {
				t.Errorf("error %v", err)
			}
			empty()
			release(t, c, a, a)
			if ids := listIDs(t, s); len(ids) != 0 {
				t.Errorf("layers %v", ids)
			}
		})
	}
}

func TestLeasedErrorsTell(t *testing.T) {
	err := &LeasedError{Layer: "abc", PID: 4711}
	if got := err.Error(); got != "layer abc used by process 4711: layer is in use by a process" {
		t.Errorf("text %q", got)
	}
	if err.Hint() == "" {
		t.Error("no hint")
	}
}
