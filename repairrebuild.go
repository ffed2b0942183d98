package strata

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/layer"
)

// rebuild unpacks a layer once more from its own tar, which its files still give exactly: only
// its tree has names too many, lacks some, or has other attributes. It is done once for
// all findings about the layer.
func (r *repairer) rebuild(ctx context.Context, id layer.ID) error {
	if err, was := r.rebuilt[id]; was {
		return err
	}
	err := r.keepExtras(id)
	if err == nil {
		err = r.unpackAgain(ctx, id)
	}
	r.rebuilt[id] = err
	return err
}

func (r *repairer) unpackAgain(ctx context.Context, id layer.ID) (err error) {
	diff, err := r.store.layers.Diff(ctx, id, "", layer.DiffOptions{Packing: layer.PackedAs(archive.None)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, diff.Close()) }()
	return r.store.HealLayer(ctx, id, diff)
}

// keepExtras copies to the trash what the layer's tree has and its tar has not.
func (r *repairer) keepExtras(id layer.ID) error {
	p, err := r.store.place(id)
	if err != nil || r.opts.Discard {
		return err
	}
	for _, f := range r.report.Findings {
		if f.ID != string(id) || f.Kind != KindLayer || f.Problem != ProblemContentModified || f.Change != "+" {
			continue
		}
		to := filepath.Join(r.trash.dir, "layer-"+f.ID, "extra", f.Path)
		if err := copyTree(filepath.Join(p.diff, f.Path), to); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies the files and directories at path; anything else has no content to keep.
func copyTree(path, to string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		if err := os.CopyFS(to, os.DirFS(path)); !errors.Is(err, fs.ErrInvalid) {
			return err
		}
		return nil // something in it is no file: it has no content
	case 0:
	default:
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close() // only read
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
