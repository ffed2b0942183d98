package strata_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// exampleStore opens a store in a temporary directory. Real stores leave Driver
// empty, or take all their options from package config.
func exampleStore(ctx context.Context) (s *strata.Store, remove func()) {
	dir, err := os.MkdirTemp("", "strata-example-")
	if err != nil {
		log.Fatal(err)
	}
	s, err = strata.Open(ctx, strata.Options{
		GraphRoot: filepath.Join(dir, "graph"),
		RunRoot:   filepath.Join(dir, "run"),
		Driver:    "vfs",
	})
	if err != nil {
		log.Fatal(err)
	}
	return s, func() {
		if _, err := s.Shutdown(ctx, strata.ShutdownOptions{Force: true}); err != nil {
			log.Print(err)
		}
		if err := s.Close(ctx); err != nil {
			log.Print(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			log.Print(err)
		}
	}
}

// exampleTar makes a layer's tar with one file.
func exampleTar(name, content string) io.Reader {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}
	if err := w.WriteHeader(h); err != nil {
		log.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	return &buf
}

// Open a store and ask what it is.
func ExampleOpen() {
	ctx := context.Background()
	s, remove := exampleStore(ctx)
	defer remove()

	status, err := s.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", status[2].Key, status[2].Value)
	// Output:
	// Driver Name: vfs
}

// Import a layer from its tar and get the very same tar back.
func ExampleStore_ImportLayer() {
	ctx := context.Background()
	s, remove := exampleStore(ctx)
	defer remove()

	l, err := s.ImportLayer(ctx, strata.LayerOptions{Names: []string{"base"}}, exampleTar("hello", "hello\n"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d bytes of tar\n", l.DiffSize)

	diff, err := s.Diff(ctx, "base", "", strata.DiffOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer diff.Close()
	h, err := tar.NewReader(diff).Next()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(h.Name, h.Size)
	// Output:
	// 2048 bytes of tar
	// hello 6
}

// Make an image and a container on top, change a file, and see what changed.
func ExampleStore_Mount() {
	ctx := context.Background()
	s, remove := exampleStore(ctx)
	defer remove()

	l, err := s.ImportLayer(ctx, strata.LayerOptions{}, exampleTar("hello", "hello\n"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := s.CreateImage(ctx, image.CreateOptions{TopLayer: string(l.ID), Names: []string{"localhost/hello:1"}}); err != nil {
		log.Fatal(err)
	}
	c, err := s.CreateContainer(ctx, strata.ContainerOptions{Image: "localhost/hello:1", Names: []string{"greeter"}})
	if err != nil {
		log.Fatal(err)
	}

	root, err := s.Mount(ctx, "greeter", strata.MountOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "hello"), []byte("good morning\n"), 0o644); err != nil {
		log.Fatal(err)
	}
	if _, err := s.Unmount(ctx, "greeter", strata.UnmountOptions{}); err != nil {
		log.Fatal(err)
	}

	changes, err := s.Changes(ctx, string(c.Layer), "")
	if err != nil {
		log.Fatal(err)
	}
	for _, change := range changes {
		fmt.Println(change)
	}
	// Output:
	// Modify "/hello"
}

// Delete a container, then its image with the layers that only it needs.
func ExampleStore_DeleteImage() {
	ctx := context.Background()
	s, remove := exampleStore(ctx)
	defer remove()

	l, err := s.ImportLayer(ctx, strata.LayerOptions{ID: "base"}, exampleTar("hello", "hello\n"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := s.CreateImage(ctx, image.CreateOptions{ID: "greeting", TopLayer: string(l.ID)}); err != nil {
		log.Fatal(err)
	}
	if _, err := s.CreateContainer(ctx, strata.ContainerOptions{ID: "greeter", Image: "greeting"}); err != nil {
		log.Fatal(err)
	}

	_, err = s.DeleteImage(ctx, "greeting", strata.DeleteImageOptions{})
	fmt.Println(err)
	if err := s.DeleteContainer(ctx, "greeter"); err != nil {
		log.Fatal(err)
	}
	removed, err := s.DeleteImage(ctx, "greeting", strata.DeleteImageOptions{})
	fmt.Println(removed, err)
	// Output:
	// image used by greeter: image is in use by a container
	// [base] <nil>
}

// Open the store of storage.conf, as Podman does.
func ExampleConfiguredOptions() {
	env := config.SystemEnv()
	cfg, err := config.Load(env)
	if err != nil {
		log.Fatal(err)
	}
	opts := strata.ConfiguredOptions(cfg)
	opts.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	fmt.Println(opts.GraphRoot != "", opts.RunRoot != "")
	// Output:
	// true true
}

// List images with what they hold, from one consistent moment.
func ExampleStore_Snapshot() {
	ctx := context.Background()
	s, remove := exampleStore(ctx)
	defer remove()
	l, err := s.ImportLayer(ctx, strata.LayerOptions{ID: "base"}, exampleTar("hello", "hello\n"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := s.CreateImage(ctx, image.CreateOptions{ID: "greeting", TopLayer: string(l.ID), Names: []string{"localhost/hello:1"}}); err != nil {
		log.Fatal(err)
	}

	snap, err := s.Snapshot(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, i := range snap.Images {
		fmt.Println(i.ID, i.Names, i.TopLayer)
	}
	fmt.Println(len(snap.Layers), "layer,", len(snap.Containers), "containers")
	// Output:
	// greeting [localhost/hello:1] base
	// 1 layer, 0 containers
}

// Errors match with errors.Is, carry what they are about, and say what to do next.
func ExampleStore_DeleteLayer() {
	ctx := context.Background()
	s, remove := exampleStore(ctx)
	defer remove()
	if _, err := s.ImportLayer(ctx, strata.LayerOptions{ID: "base"}, exampleTar("hello", "hello\n")); err != nil {
		log.Fatal(err)
	}
	if _, err := s.CreateImage(ctx, image.CreateOptions{ID: "greeting", TopLayer: "base"}); err != nil {
		log.Fatal(err)
	}

	err := s.DeleteLayer(ctx, "base")
	fmt.Println(errors.Is(err, layer.ErrUsedByImage), errors.Is(err, errdefs.ErrInUse))
	var inUse *strata.InUseError
	if errors.As(err, &inUse) {
		fmt.Println("needed by", inUse.ByID)
	}
	// Output:
	// true true
	// needed by greeting
}

// Attach data to an image and read it back with its digest.
func ExampleStore_SetBigData() {
	ctx := context.Background()
	s, remove := exampleStore(ctx)
	defer remove()
	if _, err := s.CreateImage(ctx, image.CreateOptions{ID: "greeting"}); err != nil {
		log.Fatal(err)
	}
	if err := s.SetBigData(ctx, strata.KindImage, "greeting", "note", []byte("remember")); err != nil {
		log.Fatal(err)
	}
	size, err := s.BigDataSize(ctx, strata.KindImage, "greeting", "note")
	if err != nil {
		log.Fatal(err)
	}
	digest, err := s.BigDataDigest(ctx, strata.KindImage, "greeting", "note")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(size, digest.Encoded()[:12])
	// Output:
	// 8 35379d9c009e
}
