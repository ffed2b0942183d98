package oci

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/layer"
)

// ImportOptions describe an image made from a root file system.
type ImportOptions struct {
	// Names are full references; there may be none.
	Names []string
	// Message goes into the history.
	Message string
	// Created is the image's time; zero means Epoch, and now without one. With a
	// fixed one, the same tar gives the same image ID.
	Created time.Time
	// Epoch, when not zero, makes the image of a directory reproducible: no file in
	// it is newer. It does not touch the bytes of a tar.
	Epoch time.Time
	// Platform is written to the configuration; the zero value is the program's own.
	Platform v1.Platform
	// Progress is told about the layer; nil is not.
	Progress Progress
}

// Import makes an image of one layer from a root file system's tar, which may be
// compressed. After an error, nothing is left.
//
// errdefs.ErrCorrupt for an input without a byte: what a pipe gives whose writer failed.
func Import(ctx context.Context, store Store, tar io.Reader, opts ImportOptions) (Loaded, error) {
	opts.Created = createdAt(opts.Created, opts.Epoch)
	if opts.Platform.OS == "" {
		var err error
		if opts.Platform, err = ParsePlatform(""); err != nil {
			return Loaded{}, err
		}
	}
	in := bufio.NewReader(tar)
	if _, err := in.Peek(1); errors.Is(err, io.EOF) {
		return Loaded{}, errdefs.New(errdefs.ErrCorrupt, "import: the input is empty, not a tar")
	}
	return drafted(ctx, store, func(d *strata.Draft) (Loaded, error) { return importTar(ctx, store, d, in, opts) })
}

func importTar(ctx context.Context, store Store, d *strata.Draft, tar io.Reader, opts ImportOptions) (Loaded, error) {
	task := orSilent(opts.Progress).Start("import", -1)
	l, err := storeDiff(ctx, store, d, "", tar, task)
	if err != nil {
		task.Done("failed")
		return Loaded{}, fmt.Errorf("import: %w", err)
	}
	task.Done("done")
	config, err := importConfig(l, opts)
	if err != nil {
		return Loaded{}, err
	}
	return build(ctx, store, d, config, []layer.Layer{l}, opts.Names)
}

func importConfig(l layer.Layer, opts ImportOptions) ([]byte, error) {
	created := opts.Created.UTC()
	message := opts.Message
	if message == "" {
		message = "imported from a root file system"
	}
	return json.Marshal(v1.Image{
		Created:  &created,
		Platform: opts.Platform,
		RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.Digest(l.DiffID)}},
		History:  []v1.History{{Created: &created, CreatedBy: "strata import", Comment: message}},
	})
}

// ImportDir is Import of the tree below dir, packed reproducibly; dir is not changed.
func ImportDir(ctx context.Context, store Store, dir string, opts ImportOptions) (Loaded, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	go func() { w.CloseWithError(archive.Pack(ctx, w, dir, archive.PackOptions{})) }()
	defer r.Close()
	in := clamped(ctx, r, opts.Epoch)
	defer in.Close()
	return Import(ctx, store, in, opts)
}
