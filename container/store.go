package container

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/internal/reserve"
	"github.com/stratastore/strata/lockfile"
)

// Options say where a store's containers are. Dir and RunDir are required.
type Options struct {
	// Dir is "<graph root>/<driver>-containers": records, data items and the
	// directories that last.
	Dir string
	// RunDir is "<run root>/<driver>-containers": the directories that go away with
	// a reboot, and the records of a transient store.
	RunDir string
	// Transient puts new records and the lock into RunDir (on-disk format, 1.3).
	Transient bool
	// BackupDir keeps the last good copy of containers.json; "" keeps none.
	BackupDir string
	// Reserve is room for deleting on a full disk; nil: there is none.
	Reserve *reserve.Space
	// Logger gets warnings; nil drops them.
	Logger *slog.Logger
}

// Store is the containers of one store. It is safe for concurrent use; it holds no
// lock and no open file between calls, so there is nothing to close.
type Store struct {
	dir, runDir string
	transient   bool
	records     *recordfile.Store[Record]
	looking     *recordfile.Store[Record] // the same files, of which it changes nothing
	sweep       sync.Once
	log         *slog.Logger
}

// The files. A volatile record that strata makes stands in the stable file, where
// engines of either generation see it (on-disk format, 9.1); those of others stay
// in the volatile file. Only a transient store's go there.
const (
	recordsName  = "containers.json"
	volatileName = "volatile-containers.json"
	lockName     = "containers.lock"

	stableFile   = 0 // index of the file in the record store
	volatileFile = 1
)

// The indexes: containers by their layer and by their image.
const (
	layerIndex = "layer"
	imageIndex = "image"
)

// Open prepares the store and makes its directories.
func Open(opts Options) (*Store, error) {
	s := &Store{dir: opts.Dir, runDir: opts.RunDir, transient: opts.Transient, log: opts.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, dir := range []string{s.dir, s.runDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open container store: %w", err)
		}
	}
	s.records, s.looking = s.openRecords(opts, false), s.openRecords(opts, true)
	return s, nil
}

func (s *Store) openRecords(opts Options, readOnly bool) *recordfile.Store[Record] {
	volatileDir := s.dir
	if s.transient {
		volatileDir = s.runDir
	}
	stable := recordfile.File{Path: filepath.Join(s.dir, recordsName), ReadOnly: readOnly}
	if opts.BackupDir != "" {
		stable.Backup = filepath.Join(opts.BackupDir, filepath.Base(s.dir)+".json")
	}
	schema := recordfile.Schema[Record]{
		Kind:          "container",
		Unknown:       ErrUnknown,
		DuplicateID:   ErrDuplicateID,
		DuplicateName: ErrDuplicateName,
		ID:            func(r *Record) string { return string(r.ID) },
		Names:         func(r *Record) []string { return r.Names },
		SetNames:      func(r *Record, names []string) { r.Names = names },
		CheckID:       func(id string) error { return ID(id).Validate() },
		Indexes:       map[string]string{layerIndex: "layer", imageIndex: "image"},
		EmptyIsDamage: func(path string) bool { return path == stable.Path && bigdata.HasObjects(s.dir) },
	}
	files := []recordfile.File{stable, {Path: filepath.Join(volatileDir, volatileName), NoSync: true, ReadOnly: readOnly}}
	lock := lockfile.New(filepath.Join(volatileDir, lockName), lockfile.Options{ReadOnly: readOnly, Logger: s.log})
	return recordfile.Open(schema, files, []*lockfile.Lock{lock}, recordfile.Options{Logger: s.log, Reserve: opts.Reserve})
}

// DataDir returns the directory of the container's data items and userdata that last.
func (s *Store) DataDir(id ID) string { return filepath.Join(s.dir, string(id)) }

// RunDir returns the container's directory that goes away with a reboot.
func (s *Store) RunDir(id ID) string { return filepath.Join(s.runDir, string(id)) }

// View takes the shared lock and returns the containers as they are. Close it
// soon: writers of all engines wait for it. The caller may hold layers.lock and
// images.lock already and must not take them afterwards.
func (s *Store) View(ctx context.Context) (*ReadTx, error) {
	r, err := s.records.View(ctx)
	if err != nil {
		return nil, fmt.Errorf("read containers: %w", err)
	}
	return &ReadTx{store: s, records: r}, nil
}

// Begin takes the exclusive lock. The caller defers Close.
func (s *Store) Begin(ctx context.Context) (*WriteTx, error) {
	w, err := s.records.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("write containers: %w", err)
	}
	return &WriteTx{ReadTx: &ReadTx{store: s, records: w}, writer: w}, nil
}

// UserDir makes and returns the directory of the engine's own files about a
// container; with run set, the one that goes away with a reboot.
func (s *Store) UserDir(id ID, run bool) (string, error) {
	dir := s.DataDir(id)
	if run {
		dir = s.RunDir(id)
	}
	path := filepath.Join(dir, bigdata.UserData)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("make directory of container %s: %w", id, err)
	}
	return path, nil
}

// sweepStages removes what killed processes left; failing at it stops nobody.
func (s *Store) sweepStages() {
	if err := errors.Join(bigdata.SweepStages(s.dir), bigdata.SweepStages(s.runDir)); err != nil {
		s.log.Warn("left-over staging directories stay", "error", err)
	}
}
