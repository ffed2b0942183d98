package strata_test

import (
	"context"
	"fmt"
	"log"
	"path/filepath"

	"github.com/stratastore/strata/layer"
)

// Register a stack of layers by chain ID, as an importer of images does, work in a
// read-write layer on top, and give everything back.
func ExampleStore_Substores() {
	ctx := context.Background()
	s, remove := exampleStore(ctx)
	defer remove()
	chains := s.Substores().Chains

	// A reference to each layer keeps it while nothing else does.
	base, err := chains.Register(ctx, exampleTar("hello", "hello\n"), "")
	if err != nil {
		log.Fatal(err)
	}
	top, err := chains.Register(ctx, exampleTar("world", "world\n"), base.ChainID())
	if err != nil {
		log.Fatal(err)
	}
	// From here on base is kept by top.
	if _, err := chains.Release(ctx, base); err != nil {
		log.Fatal(err)
	}

	work, err := chains.CreateRWLayer(ctx, "build-1", top.ChainID(), layer.RWOptions{})
	if err != nil {
		log.Fatal(err)
	}
	dir, err := work.Mount(ctx, "")
	if err != nil {
		log.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(files), "files")
	if err := work.Unmount(ctx); err != nil {
		log.Fatal(err)
	}

	// An image record on top would keep the layers now: s.CreateImage, with
	// TopLayer: string(top.CacheID()). Without one, they go with their last user.
	if _, err := chains.Release(ctx, top); err != nil {
		log.Fatal(err)
	}
	removed, err := chains.ReleaseRWLayer(ctx, work)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(removed), "layers removed, the first one", removed[0].ChainID == top.ChainID())
	// Output:
	// 2 files
	// 2 layers removed, the first one true
}
