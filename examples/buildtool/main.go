// Command buildtool is a small image builder on the strata library: it takes a
// base image, copies files, runs steps in the mounted container, and saves the
// result as an OCI archive. With -epoch, the same input gives the same bytes.
//
//	buildtool [-graph DIR -run DIR] [-f Buildfile] [-t NAME] [-epoch SECONDS] [-o FILE] [CONTEXT]
//
// A Buildfile has one instruction a line: FROM an image of the store or an
// archive, COPY SOURCE TARGET, RUN a line for /bin/sh, and the instructions of
// oci.ParseChange (CMD, ENV, LABEL, …). It becomes one layer.
//
// It needs the rights to mount and chroot; an ordinary user has them in
// "strata unshare buildtool …".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/oci"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "buildtool:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("buildtool", flag.ContinueOnError)
	graph := flags.String("graph", "", "graph root; storage.conf says it otherwise")
	runRoot := flags.String("run", "", "run root; storage.conf says it otherwise")
	file := flags.String("f", "Buildfile", "the instructions, in the context directory")
	tag := flags.String("t", "", "name for the image")
	epoch := flags.Int64("epoch", -1, "seconds since 1970: nothing in the image is newer")
	output := flags.String("o", "", "save the image as an OCI archive")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir := flags.Arg(0)
	if dir == "" {
		dir = "."
	}
	steps, err := readRecipe(filepath.Join(dir, *file))
	if err != nil {
		return err
	}
	store, err := openStore(ctx, *graph, *runRoot)
	if err != nil {
		return err
	}
	// The store must be closed also after the signal that ended the build.
	defer func() { err = errors.Join(err, store.Close(context.WithoutCancel(ctx))) }()

	b := builder{store: store, dir: dir, output: os.Stderr}
	if *epoch >= 0 {
		b.epoch = time.Unix(*epoch, 0)
	}
	built, err := b.build(ctx, steps, *tag)
	if err != nil {
		return err
	}
	fmt.Println(built.ID)
	if *output == "" {
		return nil
	}
	return oci.SaveFile(ctx, store, *output, []oci.Selected{{Image: string(built.ID)}},
		oci.SaveOptions{Format: oci.OCIArchive, Compression: archive.Gzip})
}

// openStore opens the store of storage.conf, or the one at the given roots.
func openStore(ctx context.Context, graph, runRoot string) (*strata.Store, error) {
	cfg, err := config.Load(config.SystemEnv())
	if err != nil {
		return nil, err
	}
	opts := strata.ConfiguredOptions(cfg)
	if graph != "" {
		opts.GraphRoot = graph
	}
	if runRoot != "" {
		opts.RunRoot = runRoot
	}
	return strata.Open(ctx, opts)
}
