package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
)

// DiffOptions belong to Diff, Changes and DiffSize.
type DiffOptions struct {
	// Packing of Diff's stream.
	Packing Packing
	// Mapping, when not empty, replaces the layer's own: for a container's layer
	// that is shifted only while it is mounted (on-disk format, 4.7).
	Mapping idmap.Mapping
	// Whole compares with the empty tree; base is not looked at.
	Whole bool
}

// Diff returns the tar that turns base into id; base "" means id's parent.
//
// Against its own parent, a layer that came as a tar gives back exactly that tar,
// checked against its diff ID as it is read: Read returns an errdefs.ErrCorrupt
// instead of io.EOF when the store's files were changed. Otherwise the diff is
// computed from the files; nothing is known that it could be checked against.
//
// No lock is held once Diff has returned, however slowly the tar is read. What is
// open stays readable; when the layer is deleted meanwhile, Read returns an
// ErrVanished instead of io.EOF. So whoever saw io.EOF has the whole, right tar.
// Because the end of a computed diff looks at the records once more, do not
// read it while holding a transaction of this store.
//
// ctx governs the reading too. The caller closes the reader; closing early stops
// the work. Errors: ErrUnknown; errdefs.ErrUnsupported for a packing that can not
// be written; errdefs.ErrCorrupt for a damaged tar-split.
func (s *Store) Diff(ctx context.Context, id, base ID, opts DiffOptions) (io.ReadCloser, error) {
	if opts.Packing.chosen {
		if err := writable(opts.Packing.compression); err != nil {
			return nil, err
		}
	}
	stream, err := s.openExact(ctx, id, base, opts)
	if err != nil {
		return nil, errors.Join(err, closeStream(stream))
	}
	if stream != nil {
		return stream, nil
	}
	return s.openComputed(ctx, id, base, opts)
}

// writable refuses compressions that can not be written, before a byte is read.
// The text is the other engines'.
func writable(c archive.Compression) error {
	w, err := archive.Compress(io.Discard, c)
	if errors.Is(err, errdefs.ErrUnsupported) {
		return errdefs.New(errdefs.ErrUnsupported, "unsupported compression format "+c.Extension())
	}
	if err != nil {
		return err
	}
	return w.Close()
}

// openExact returns nil without an error when there is no exact diff to be had.
// The shared lock is held while the tar-split and the layer's directories are
// opened, and no longer: open files outlive a deletion.
func (s *Store) openExact(ctx context.Context, id, base ID, opts DiffOptions) (_ *diffStream, err error) {
	tx, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, tx)
	l, err := tx.complete(id)
	if err != nil {
		return nil, err
	}
	packing := opts.Packing.of(&l.Record)
	if err := writable(packing); err != nil {
		return nil, err
	}
	if l.DiffID != "" && !isDigest(l.DiffID) {
		return nil, corruptDigest(id, l.DiffID.Validate())
	}
	if base != "" && base != l.Parent || opts.Whole && l.Parent != "" {
		return nil, nil
	}
	source, err := s.exactSource(ctx, tx, &l)
	if source == nil || err != nil {
		return nil, err
	}
	check := newPin(s, l)
	return newDiffStream(ctx, packing, &verified{source: source, want: l.DiffID, pin: check, id: id}), nil
}

// exactSource opens what is needed to write the layer's tar; nil if it has none.
func (s *Store) exactSource(ctx context.Context, tx *ReadTx, l *Layer) (tarSource, error) {
	if s.exactDriver() {
		if l.DiffID == "" {
			return nil, nil
		}
		return s.driverSource(ctx, l)
	}
	split, err := openSplit(tx.holder(l.ID).part.dir, l.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return s.additionalSource(ctx, l)
	}
	if err != nil {
		return nil, fmt.Errorf("diff of layer %s: %w", l.ID, err)
	}
	var files archive.FileGetCloser
	err = healer(tx.heal).retry(ctx, l.ID, func() (err error) {
		files, err = s.openFiles(ctx, l.ID)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("diff of layer %s: %w", l.ID, err), split.Close())
	}
	return &splitSource{split: split, files: files}, nil
}

// driverSource is the exact tar of a driver that keeps it itself.
func (s *Store) driverSource(ctx context.Context, l *Layer) (tarSource, error) {
	opts := graphdriver.DiffOptions{Mapping: l.Mapping(), MountLabel: l.MountLabel}
	tar, err := s.driver().Diff(ctx, graphdriver.ID(l.ID), graphdriver.ID(l.Parent), opts)
	if err != nil {
		return nil, fmt.Errorf("diff of layer %s: %w", l.ID, err)
	}
	return &copySource{tar}, nil
}

// openFiles opens the layer's own files by their names in its tar.
func (s *Store) openFiles(ctx context.Context, id ID) (archive.FileGetCloser, error) {
	driver, did := s.driver(), graphdriver.ID(id)
	if getter, ok := driver.(graphdriver.DiffGetter); ok {
		return getter.DiffGetter(ctx, did)
	}
	path, err := driver.Get(ctx, did, graphdriver.MountOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	put := func() error { return driver.Put(context.WithoutCancel(ctx), did) }
	files, err := archive.OpenFiles(path)
	if err != nil {
		return nil, errors.Join(err, put())
	}
	return &mountedFiles{FileGetCloser: files, put: put}, nil
}

// mountedFiles are files of a tree that has to be given back.
type mountedFiles struct {
	archive.FileGetCloser
	put func() error
}

func (m *mountedFiles) Close() error { return errors.Join(m.FileGetCloser.Close(), m.put()) }

// complete is Get for content: a flagged layer is an ErrIncomplete.
func (tx *ReadTx) complete(id ID) (Layer, error) {
	l, err := tx.Get(id)
	if err == nil && l.Incomplete() {
		err = about(id, ErrIncomplete)
	}
	return l, err
}

// corrupt says that the store's files are not what they were.
func corrupt(id ID, want, got DiffID) error {
	return fmt.Errorf("layer %s: files of the store were modified: diff has digest %s, want %s: %w",
		id, got, want, errdefs.ErrCorrupt)
}
