package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
)

func statusVerb() *Verb {
	return &Verb{
		Name: "status", Group: groupStore, Summary: "Show where the store is and what its driver can do", JSON: true,
		Examples: []Example{
			{"See which driver is used", "strata status"},
			{"Look at another store", "strata status --graph /mnt/store --run /run/store"},
		},
		Run: onStore(status),
	}
}

func status(ctx context.Context, c *Call, store *strata.Store) error {
	items, err := store.Status(ctx)
	if err != nil {
		return err
	}
	pairs := [][2]string{}
	for _, i := range items {
		pairs = append(pairs, [2]string{i.Key, i.Value})
	}
	if reason := store.DriverReason(); reason != "" && !c.classic() {
		pairs = append(pairs, [2]string{"Driver Reason", reason})
	}
	return c.Show(Result{
		Text: func(b *bytes.Buffer) {
			for _, p := range pairs {
				fmt.Fprintf(b, "%s: %s\n", p[0], p[1])
			}
		},
		JSON:      pairs,
		OldStderr: true,
	})
}

func shutdownVerb() *Verb {
	force := false
	return &Verb{
		Name: "shutdown", Group: groupStore, Summary: "Release what the store holds in the system", JSON: true,
		Detail: "With layers mounted this fails, unless --force unmounts them first. The store can be used again at any time.",
		Examples: []Example{
			{"Let go of the store, to move or delete its directory", "strata shutdown"},
		},
		Options: []option.Option{option.Bool(&force, "force,f", "Unmount all layers first")},
		Run:     onStore(func(ctx context.Context, c *Call, store *strata.Store) error { return shutdown(ctx, c, store, force) }),
	}
}

func shutdown(ctx context.Context, c *Call, store *strata.Store, force bool) error {
	_, err := store.Shutdown(ctx, strata.ShutdownOptions{Force: force})
	var busy *strata.MountedError
	switch {
	case err == nil:
		return c.Show(Result{JSON: ""})
	case force && errors.As(err, &busy) && !c.classic():
		return c.Show(Result{JSON: ""}) // they were mounted, and that is what --force is for
	}
	c.Fail(Failure{Err: fmt.Errorf("shutdown: %w", err), Line: "shutdown: " + classicText(err)})
	if c.classic() {
		return c.Show(Result{JSON: struct{}{}})
	}
	return nil
}

func wipeVerb() *Verb {
	return &Verb{
		Name: "wipe", Group: groupStore, Summary: "Delete all containers, images and layers", JSON: true,
		Detail: "Everything goes, without a question. Mounted layers are unmounted. Additional read-only stores are left alone.",
		Examples: []Example{
			{"Empty a store that is not the system's", "strata wipe --graph /tmp/graph --run /tmp/run"},
		},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			if err := store.Wipe(ctx); err != nil {
				return err
			}
			return c.Show(Result{JSON: ""})
		}),
	}
}
