package strata

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/unfinished"
	"github.com/stratastore/strata/layer"
)

// note writes down, before the first of several saves, which layers are to go if the
// process dies before the last one and nothing refers to them. The caller ends it by
// Done. The layers' records are held exclusively from before it to after it.
func (s *Store) note(ids ...layer.ID) (*unfinished.Note, error) {
	return unfinished.Begin(s.roots.unfinishedDir(), unfinished.Change{Driver: s.driver.name, Layers: plainIDs(ids)})
}

// noteItem does the same for a data item that is replaced: its file comes before its
// record, which recorded is for. Without an old item there is nothing to note.
func (s *Store) noteItem(o Object, old map[string]int64, key string, data []byte, recorded digest.Digest) (*unfinished.Note, error) {
	if _, replaces := old[key]; !replaces {
		return &unfinished.Note{}, nil
	}
	it := unfinished.Item{
		Kind: o.Kind.String(), ID: o.ID, Key: key, Size: int64(len(data)),
		Digest: digest.FromBytes(data).String(), Recorded: recorded.String(),
	}
	return unfinished.Begin(s.roots.unfinishedDir(), unfinished.Change{
		Driver: s.driver.name, Items: []unfinished.Item{it}, Sync: s.opts.Sync != graphdriver.SyncNone,
	})
}

func plainIDs(ids []layer.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}

// end ends a note at the end of a change, for defer. After an error nobody knows how far
// the change came: the note stays for the next process that opens the store, which
// looks.
func end(note *unfinished.Note, err *error) {
	if *err != nil {
		*err = errors.Join(*err, note.Close())
		return
	}
	*err = note.Done()
}

// noRoom reports whether an error says that the disk or a quota is full.
func noRoom(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// notes are what processes noted about changes under way.
type notes struct {
	// changes of the dead are to be finished; their drafts are for the collection of garbage.
	changes, drafts []unfinished.Left
	// busy are layers that live processes make or use for images, made those that live or
	// dead ones make or made.
	busy, made map[layer.ID]bool
}

// notes reads all notes but one, by its path. Who decides by them holds the layers' locks
// exclusively: then nobody comes to use what he has not noted yet.
func (s *Store) notes(but string) (n notes, err error) {
	n.busy, n.made = map[layer.ID]bool{}, map[layer.ID]bool{}
	for _, dir := range s.roots.noteDirs() {
		list, err := unfinished.List(dir, s.driver.name)
		if err != nil {
			return n, err
		}
		for _, one := range list {
			if one.Path != but {
				n.add(one)
			}
		}
	}
	return n, nil
}

func (n *notes) add(one unfinished.Left) {
	for _, m := range one.Made {
		n.made[layer.ID(m.ID)] = true
		n.busy[layer.ID(m.ID)] = n.busy[layer.ID(m.ID)] || one.Alive
	}
	switch {
	case one.Alive:
		for _, id := range one.Uses {
			n.busy[layer.ID(id)] = true
		}
	case one.Draft:
		n.drafts = append(n.drafts, one)
	default:
		n.changes = append(n.changes, one)
	}
}

// finish does what processes left undone that died in the middle of a change. What
// can not be done now is logged and tried again by the next process: it must keep
// nobody from the store.
func (s *Store) finish(ctx context.Context) error {
	pending := false
	var err error
	for _, dir := range s.roots.noteDirs() {
		if err == nil && !pending {
			pending, err = unfinished.Pending(dir, s.driver.name)
		}
	}
	if err == nil && pending && !s.gaveUp.Load() {
		err = s.finishDead(ctx)
	}
	if err == nil && !s.gaveUp.Load() {
		err = s.finishBorrowed(ctx)
	}
	if err != nil && ctx.Err() == nil {
		s.gaveUp.Store(true)
		s.log.WarnContext(ctx, "changes of killed processes stay unfinished", "error", err)
		return nil
	}
	return err
}

func (s *Store) finishBorrowed(ctx context.Context) error {
	pending, err := unfinished.Pending(s.roots.borrowDir(), s.driver.name)
	if err != nil || !pending {
		return err
	}
	return s.takeAllBack(ctx)
}

func (s *Store) finishDead(ctx context.Context) (err error) {
	t, err := s.open(ctx, everything)
	if err != nil {
		return err
	}
	cleanup := func() error { return nil }
	defer func() { err = errors.Join(err, cleanup()) }()
	defer t.end(&err)
	all, err := s.notes("") // somebody may have been faster
	if err != nil {
		return err
	}
	if err := faults.Hit("strata.finish", s.roots.graph); err != nil {
		return err
	}
	var layers []layer.ID
	for _, n := range all.changes {
		for _, it := range n.Items {
			if err := t.recordItem(ctx, it); err != nil {
				return fmt.Errorf("record data item %q of %s %s: %w", it.Key, it.Kind, it.ID, err)
			}
		}
		for _, id := range n.Layers {
			layers = append(layers, layer.ID(id))
		}
	}
	if cleanup, err = t.dropUnneeded(ctx, layers); err != nil {
		return err
	}
	if err := faults.Hit("strata.finish.commit", s.roots.graph); err != nil {
		return err
	}
	if err := t.commit(ctx); err != nil {
		return err
	}
	for _, n := range all.changes {
		s.log.InfoContext(ctx, "finished what a killed process had begun", "layers", n.Layers, "items", len(n.Items))
		err = errors.Join(err, unfinished.Forget(n))
	}
	return err
}

// commit saves all kinds that are held exclusively, layers last: they are what others
// refer to.
func (t *tx) commit(ctx context.Context) error {
	if err := t.writeContainers.Commit(ctx); err != nil {
		return err
	}
	if err := t.writeImages.Commit(ctx); err != nil {
		return err
	}
	return t.writeLayers.Commit(ctx)
}

// dropUnneeded takes away those of the layers that nothing refers to, top first; what
// live processes hold is left to be collected. The cleanup is for when no lock is held.
func (t *tx) dropUnneeded(ctx context.Context, ids []layer.ID) (cleanup func() error, err error) {
	cleanup = func() error { return nil }
	c := cascade{tx: t}
	for again := true; again; {
		before := len(c.doomed)
		for _, id := range ids {
			if _, err := c.take(id); err != nil {
				return cleanup, err
			}
		}
		again = len(c.doomed) > before // a parent may be free now
	}
	var inherited []layer.ID
	for _, id := range ids {
		only, err := c.onlyCounted(id, inherited)
		if err != nil {
			return cleanup, err
		}
		if only && !slices.Contains(c.doomed, id) {
			inherited = append(inherited, id)
		}
	}
	going, staying, err := c.spareLeased(c.doomed)
	if err == nil {
		err = t.leaveForCollection(append(staying, inherited...))
	}
	if err != nil {
		return cleanup, err
	}
	return t.writeLayers.DeleteUnchecked(ctx, going...)
}

// recordItem makes the record of a data item say what its file is, if the file is the
// one that was to take its place.
func (t *tx) recordItem(ctx context.Context, it unfinished.Item) error {
	if it.Kind == KindImage.String() {
		i, err := t.images.Get(image.ID(it.ID))
		if err != nil || !isNewFile(ctx, t.images.DataDir(i), it) {
			return ignoreUnknown(err)
		}
		return t.writeImages.RecordItem(i.ID, it.Key, it.Size, digest.Digest(it.Recorded))
	}
	c, err := t.containers.Get(container.ID(it.ID))
	if err != nil || !isNewFile(ctx, t.containers.DataDir(c.ID), it) {
		return ignoreUnknown(err)
	}
	return t.writeContainers.RecordItem(c.ID, it.Key, it.Size, digest.Digest(it.Recorded))
}

func ignoreUnknown(err error) error {
	if errors.Is(err, image.ErrUnknown) || errors.Is(err, container.ErrUnknown) {
		return nil
	}
	return err
}

// isNewFile reports whether an item's file has been replaced already.
func isNewFile(ctx context.Context, dir string, it unfinished.Item) bool {
	data, err := bigdata.Read(ctx, dir, it.Key)
	return err == nil && int64(len(data)) == it.Size && digest.FromBytes(data).String() == it.Digest
}

// unfinishedDir is strata's own place for notes about changes under way.
func (r roots) unfinishedDir() string { return filepath.Join(r.graph, "strata", "unfinished") }

// draftDir is the place for notes about layers of images to be: beside those layers, for
// all graph roots that share an image store.
func (r roots) draftDir() string {
	if r.image == "" {
		return r.unfinishedDir()
	}
	return filepath.Join(r.image, "strata", "unfinished")
}

// noteDirs are both.
func (r roots) noteDirs() []string {
	if r.image == "" {
		return []string{r.unfinishedDir()}
	}
	return []string{r.unfinishedDir(), r.draftDir()}
}
