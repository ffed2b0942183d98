package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/internal/reserve"
	"github.com/stratastore/strata/lockfile"
)

// Options say where a store's images are. Dirs is required.
type Options struct {
	// Dirs are the directories that are written, "<root>/<driver>-images". New images
	// go to the first; the second is the graph root's own when there is a separate
	// image store (on-disk format, 1.4). They are made when they are not there.
	Dirs []string
	// Additional are the same directories of stores that are only read, in order of
	// lookup. One that does not exist counts as empty.
	Additional []string
	// RunDir is "<run root>/<driver>-images", for directories that go away with a
	// reboot; it is made when it is needed.
	RunDir string
	// BackupDir keeps the last good copy of each images.json that is written; "" keeps none.
	BackupDir string
	// Reserve is room for deleting on a full disk; nil: there is none.
	Reserve *reserve.Space
	// Logger gets warnings; nil drops them.
	Logger *slog.Logger
}

// Store is the images of one store. It is safe for concurrent use; it holds no
// lock and no open file between calls, so there is nothing to close.
type Store struct {
	parts []part
	// backups are those of the parts that are written.
	backups []string
	last    int // index of the last part that is written: the graph root's own
	runDir  string
	sweep   sync.Once
	log     *slog.Logger
}

// part is one directory with its records and lock. Those that are written come first.
type part struct {
	dir      string
	readOnly bool
	records  *recordfile.Store[Record]
}

// The files in each directory.
const (
	recordsName = "images.json"
	lockName    = "images.lock"
)

// The indexes: images by top layer or mapped copy of it, and by each digest that
// finds them.
const (
	layerIndex  = "layer"
	digestIndex = "digest"
)

// Open prepares the store and makes the directories that it writes.
func Open(opts Options) (*Store, error) {
	if len(opts.Dirs) == 0 {
		return nil, fmt.Errorf("open image store: no directory: %w", errdefs.ErrInvalid)
	}
	s := &Store{last: len(opts.Dirs) - 1, runDir: opts.RunDir, log: opts.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for i, dir := range opts.Dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
		backup := s.backupFile(opts.BackupDir, dir, i)
		s.backups = append(s.backups, backup)
		s.parts = append(s.parts, part{dir: dir, records: openRecords(dir, false, backup, recordfile.Options{Logger: s.log, Reserve: opts.Reserve})})
	}
	for _, dir := range opts.Additional {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			s.log.Debug("additional image store has no images", "dir", dir)
			continue
		}
		s.parts = append(s.parts, part{dir: dir, readOnly: true, records: openRecords(dir, true, "", recordfile.Options{Logger: s.log})})
	}
	return s, nil
}

// backupFile names the copy of a directory's records: the same file for the same
// directory, however the store is opened. The graph root's own directory is the
// last that is written.
func (s *Store) backupFile(backupDir, dir string, i int) string {
	if backupDir == "" {
		return ""
	}
	name := filepath.Base(dir)
	if i != s.last {
		name += "-" + digest.FromString(dir).Encoded()[:12]
	}
	return filepath.Join(backupDir, name+".json")
}

func openRecords(dir string, readOnly bool, backup string, opts recordfile.Options) *recordfile.Store[Record] {
	schema := recordfile.Schema[Record]{
		Kind:          "image",
		Unknown:       ErrUnknown,
		DuplicateID:   ErrDuplicateID,
		DuplicateName: ErrDuplicateName,
		ID:            func(r *Record) string { return string(r.ID) },
		Names:         func(r *Record) []string { return r.Names },
		SetNames:      func(r *Record, names []string) { r.Names = names },
		CheckID:       func(id string) error { return ID(id).Validate() },
		Indexes: map[string]string{
			layerIndex:  "layer mapped-layers",
			digestIndex: "digest big-data-digests." + manifestPrefix + "*",
		},
		EmptyIsDamage: func(string) bool { return bigdata.HasObjects(dir) },
	}
	file := recordfile.File{Path: filepath.Join(dir, recordsName), ReadOnly: readOnly, Backup: backup}
	lock := lockfile.New(filepath.Join(dir, lockName), lockfile.Options{ReadOnly: readOnly, Logger: opts.Logger})
	return recordfile.Open(schema, []recordfile.File{file}, []*lockfile.Lock{lock}, opts)
}

// DataDir returns the directory of the image's data items.
func (s *Store) DataDir(i Image) string { return filepath.Join(s.parts[i.home].dir, string(i.ID)) }

// UserDir makes and returns the directory of the engine's own files about an
// image; with run set, the one that goes away with a reboot. It lies in the graph
// root also when the image does not.
func (s *Store) UserDir(id ID, run bool) (string, error) {
	dir := s.parts[s.last].dir
	if run {
		dir = s.runDir
	}
	path := filepath.Join(dir, string(id), bigdata.UserData)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("make directory of image %s: %w", id, err)
	}
	return path, nil
}

// View takes the shared lock of each part in order and returns the images as they
// are. Close it soon: writers of all engines wait for it. The caller may hold
// layers.lock already and may take containers.lock afterwards, not the reverse.
func (s *Store) View(ctx context.Context) (*ReadTx, error) {
	tx := &ReadTx{store: s}
	for _, p := range s.parts {
		r, err := s.view(ctx, p)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read images in %s: %w", p.dir, err), tx.Close())
		}
		tx.parts = append(tx.parts, r)
	}
	return tx, nil
}

// view reads one part. An additional store on read-only media without a lock file
// can not be read safely; it is left out, as the other engines do.
func (s *Store) view(ctx context.Context, p part) (records, error) {
	r, err := p.records.View(ctx)
	if p.readOnly && errors.Is(err, errdefs.ErrReadOnly) {
		s.log.WarnContext(ctx, "images of an additional store are left out: it has no lock file and can not be written", "dir", p.dir)
		return noRecords{}, nil
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Begin takes the exclusive lock of each part that is written and the shared one
// of each that is not. The caller defers Close.
func (s *Store) Begin(ctx context.Context) (*WriteTx, error) {
	tx := &WriteTx{ReadTx: &ReadTx{store: s}}
	for _, p := range s.parts {
		if err := tx.open(ctx, p); err != nil {
			return nil, errors.Join(fmt.Errorf("write images in %s: %w", p.dir, err), tx.Close())
		}
	}
	return tx, nil
}
