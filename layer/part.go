package layer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/lockfile"
)

// part is one set of record files behind its own locks: the writable store, or
// one additional store.
type part struct {
	dir      string // <D>-layers with the tar-splits and data items
	readOnly bool
	records  *recordfile.Store[Record]
}

// Secondary indexes of the record files.
const (
	byParent     = "parent"
	byDiff       = "diff"
	byBlob       = "blob"
	byTOC        = "toc"
	byIncomplete = "incomplete"
	byRWName     = "rw-name"
	byExchange   = "exchange"
)

func schema() recordfile.Schema[Record] {
	return recordfile.Schema[Record]{
		Kind: "layer", Unknown: ErrUnknown, DuplicateID: ErrDuplicateID, DuplicateName: ErrDuplicateName,
		ID:       func(r *Record) string { return string(r.ID) },
		Names:    func(r *Record) []string { return r.Names },
		SetNames: func(r *Record, names []string) { r.Names = names },
		Indexes: map[string]string{
			byParent: "parent", byDiff: "diff-digest", byBlob: "compressed-diff-digest", byTOC: "toc-digest",
			byIncomplete: "flags." + FlagIncomplete, byRWName: "flags." + flagRWName,
			byExchange: "flags." + flagExchange,
		},
	}
}

// The files of the writable store, in order of loading (on-disk format, 2.3).
// fileImage exists only with a separate image store; fileVolatile is the last.
const (
	fileStable = 0
	fileImage  = 1
)

func (s *Store) fileVolatile() int {
	if s.opts.ImageDir == "" {
		return 1
	}
	return 2
}

// imagePrefix begins the name of the backup of a separate image store's records.
const imagePrefix = "image-store-"

// RecordFile returns the file of the records that last, the graph root's or, with image, that of
// the separate image store, and its backup.
func (s *Store) RecordFile(image bool) (path, backup string) {
	f := s.file(s.opts.GraphDir, stableName, "")
	if image {
		f = s.file(s.opts.ImageDir, stableName, imagePrefix)
	}
	return f.Path, f.Backup
}

// fileFor says which file a new record goes to.
func (s *Store) fileFor(opts CreateOptions) int {
	switch {
	case opts.Volatile && s.opts.transient():
		return s.fileVolatile()
	case opts.Image && s.opts.ImageDir != "":
		return fileImage
	}
	return fileStable
}

// mainPart is the writable store.
func (s *Store) mainPart() *part {
	o := &s.opts
	files := []recordfile.File{s.file(o.GraphDir, stableName, "")}
	locks := []*lockfile.Lock{newLock(o.GraphDir, o, false)}
	if o.ImageDir != "" {
		files = append(files, s.file(o.ImageDir, stableName, imagePrefix))
		locks = append(locks, newLock(o.ImageDir, o, false))
	}
	volatileFile := s.file(o.VolatileDir, volatileName, "")
	volatileFile.NoSync = volatileFile.NoSync || o.transient()
	files = append(files, volatileFile)
	sch := schema()
	sch.EmptyIsDamage = s.emptyIsDamage
	sch.NeedsRepair = needsRepair
	sch.Repair = s.repair
	records := recordfile.Open(sch, files, locks, recordfile.Options{Logger: o.Logger, Reserve: o.Reserve})
	return &part{dir: o.GraphDir, records: records}
}

// file describes a record file; its backup is named after the driver's directory,
// since several drivers may share a graph root.
func (s *Store) file(dir, name, prefix string) recordfile.File {
	f := recordfile.File{Path: filepath.Join(dir, name), NoSync: !s.durable()}
	if s.opts.BackupDir != "" {
		f.Backup = filepath.Join(s.opts.BackupDir, prefix+filepath.Base(s.opts.GraphDir)+"-"+name)
	}
	return f
}

func newLock(dir string, o *Options, readOnly bool) *lockfile.Lock {
	return lockfile.New(filepath.Join(dir, lockName), lockfile.Options{ReadOnly: readOnly, Logger: o.Logger})
}

// extraPart is an additional store. Its own volatile file belongs to it.
func extraPart(dir string, o Options) *part {
	files := []recordfile.File{
		{Path: filepath.Join(dir, stableName), ReadOnly: true},
		{Path: filepath.Join(dir, volatileName), ReadOnly: true},
	}
	locks := []*lockfile.Lock{newLock(dir, &o, true)}
	records := recordfile.Open(schema(), files, locks, recordfile.Options{Logger: o.Logger})
	return &part{dir: dir, readOnly: true, records: records}
}

// view returns nil for an additional store that is not there.
func (p *part) view(ctx context.Context) (*recordfile.ReadTx[Record], error) {
	if p.readOnly {
		if _, err := os.Stat(p.dir); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	tx, err := p.records.View(ctx)
	if err != nil {
		return nil, fmt.Errorf("load layers of %s: %w", p.dir, err)
	}
	return tx, nil
}

// emptyIsDamage tells a record file that lost its content from one of a store
// without layers: the driver, or the tar-splits, show that there are some
// (on-disk format, 9.3). An empty volatile file is no damage: nobody flushes it.
func (s *Store) emptyIsDamage(path string) bool {
	if filepath.Base(path) != stableName {
		return false
	}
	if lister, ok := s.driver().(graphdriver.Lister); ok {
		ids, err := lister.List(context.Background())
		return err != nil || len(ids) > 0
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return true
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), splitSuffix) {
			return true
		}
	}
	return false
}

// corruptDigest says that a record's digest is none.
func corruptDigest(id ID, err error) error {
	return fmt.Errorf("record of layer %s: %w: %w", id, err, errdefs.ErrCorrupt)
}
