package layer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/recordfile"
)

// flagExchange is in a record while the layer's files, its tar-split and what the record
// says of them are exchanged, which takes several steps. The record has no digests
// then, and the layer no tar-split, so that what other engines see is true after each
// step; whoever of strata loads the record first goes on or back.
const flagExchange = "strata-exchange"

// exchangeBegun is what such a record is found by.
const exchangeBegun = "begun"

// exchange is the flag's value.
type exchange struct {
	State string `json:"state"`
	// OldFiles and NewFiles are the driver's names for the layer's files
	// (graphdriver.Restager): one of them is in place.
	OldFiles string `json:"old-files"`
	NewFiles string `json:"new-files"`
	// Old and New are what the record said and is to say.
	Old content `json:"old"`
	New content `json:"new"`
	// OldSplit and NewSplit: a tar-split belongs to it.
	OldSplit bool `json:"old-split,omitempty"`
	NewSplit bool `json:"new-split,omitempty"`
}

// content is what a record says of its layer's files, under the record's own keys.
type content struct {
	BlobDigest  BlobDigest          `json:"compressed-diff-digest,omitempty"`
	BlobSize    int64               `json:"compressed-size,omitempty"`
	DiffID      DiffID              `json:"diff-digest,omitempty"`
	TOCDigest   TOCDigest           `json:"toc-digest,omitempty"`
	DiffSize    int64               `json:"diff-size,omitempty"`
	Compression archive.Compression `json:"compression,omitempty"`
	UIDs        []uint32            `json:"uidset,omitempty"`
	GIDs        []uint32            `json:"gidset,omitempty"`
}

func contentOf(r *Record) content {
	return content{r.BlobDigest, r.BlobSize, r.DiffID, r.TOCDigest, r.DiffSize, r.Compression, r.UIDs, r.GIDs}
}

func (c content) set(r *Record) {
	r.BlobDigest, r.BlobSize, r.DiffID, r.TOCDigest = c.BlobDigest, c.BlobSize, c.DiffID, c.TOCDigest
	r.DiffSize, r.Compression, r.UIDs, r.GIDs = c.DiffSize, c.Compression, c.UIDs, c.GIDs
}

// empty: nothing is known.
func (c content) empty() bool { return c.DiffID == "" && c.BlobDigest == "" && c.TOCDigest == "" }

// described reports whether a record says anything of its layer's files.
func (r *Record) described() bool { return !contentOf(r).empty() }

// exchange returns the exchange that is under way; ok is false when there is none.
func (r *Record) exchange() (x exchange, ok bool) {
	text := r.Flags[flagExchange]
	return x, text != nil && json.Unmarshal(text, &x) == nil && x.State == exchangeBegun
}

// setExchange sets the flag; nil takes it away.
func (r *Record) setExchange(x *exchange) error {
	flags := maps.Clone(r.Flags)
	if flags == nil {
		flags = map[string]json.RawMessage{}
	}
	delete(flags, flagExchange)
	if x != nil {
		text, err := json.Marshal(x)
		if err != nil {
			return err
		}
		flags[flagExchange] = text
	}
	r.Flags = flags
	return nil
}

// splits are the names of a layer's tar-splits: the one in use, and where the old and
// the new one wait while they are exchanged. The garbage collection takes these two
// for temporary files, as soon as nobody waits for them.
type splits struct{ final, old, new string }

func (s *Store) splitsOf(id ID) (p splits, err error) {
	p.final, err = splitPath(s.opts.GraphDir, id)
	waiting := filepath.Join(s.opts.GraphDir, atomicfile.TempPrefix+string(id)+".tar-split.")
	p.old, p.new = waiting+"0", waiting+"1"
	return p, err
}

// settle ends an exchange, whoever began it: the record says what is true of the files
// that are in place, and their tar-split is there. It does not save.
func (s *Store) settle(ctx context.Context, tx *recordfile.WriteTx[Record], id ID) error {
	r, _, err := tx.Get(string(id))
	if err != nil {
		return err
	}
	x, ok := r.exchange()
	if !ok {
		return nil
	}
	if err := faults.Hit("layer.exchange.settle", s.opts.GraphDir); err != nil {
		return err
	}
	now, err := s.settleSplits(ctx, &r, x)
	if err != nil {
		return err
	}
	return tx.Update(string(id), func(r *Record) error {
		if !r.described() {
			now.set(r)
		}
		return r.setExchange(nil)
	})
}

// settleSplits puts the tar-split of the files in place in its place and removes the
// other one. It returns what is true of the files: nothing, if they are neither the
// old nor the new ones, as in a copy of the store, or if their tar-split is gone.
func (s *Store) settleSplits(ctx context.Context, r *Record, x exchange) (now content, err error) {
	p, err := s.splitsOf(r.ID)
	if err != nil {
		return now, err
	}
	files, err := s.generation(ctx, r.ID)
	if err != nil {
		return now, err
	}
	waiting := ""
	switch {
	case r.described(): // another engine has written a diff into the layer since
		return now, errors.Join(removeFile(p.old), removeFile(p.new))
	case files == x.NewFiles:
		if now = x.New; x.NewSplit {
			waiting = p.new
		}
	case files == x.OldFiles:
		if now = x.Old; x.OldSplit {
			waiting = p.old
		}
	}
	if waiting == "" {
		err = removeFile(p.final)
	} else if there, err := intoPlace(waiting, p.final); err != nil {
		return now, err // all stay where they are, for the next attempt
	} else if !there {
		now = content{}
	}
	err = errors.Join(err, removeFile(p.old), removeFile(p.new))
	if err == nil && s.durable() {
		err = atomicfile.SyncDir(s.opts.GraphDir)
	}
	return now, err
}

// generation asks the driver which files a layer has; "" if it has lost them.
func (s *Store) generation(ctx context.Context, id ID) (string, error) {
	driver, ok := s.driver().(graphdriver.Restager)
	if !ok {
		return "", fmt.Errorf("which files layer %s has, with this driver: %w", id, errdefs.ErrUnsupported)
	}
	files, err := driver.Generation(ctx, graphdriver.ID(id))
	if errors.Is(err, errdefs.ErrNotFound) {
		return "", nil
	}
	return files, err
}

// intoPlace moves a file to its final place, where it may be already.
func intoPlace(from, final string) (there bool, err error) {
	if err := faults.Hit("layer.exchange.place", filepath.Dir(final)); err != nil {
		return false, err
	}
	if err := os.Rename(from, final); err == nil || !isMissing(err) {
		return err == nil, err
	}
	return isThere(final)
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !isMissing(err) {
		return err
	}
	return nil
}
