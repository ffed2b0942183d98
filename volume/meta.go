package volume

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/volume/internal/boltfile"
)

// recordVersion is the version that records are written with.
const recordVersion = 1

// record is a volume's metadata as the database has it. Docker's has the first four
// members; readers ignore what they do not know.
type record struct {
	Name      string
	Driver    string
	Labels    map[string]string
	Options   map[string]string
	CreatedAt time.Time `json:",omitzero"`
	Scope     Scope     `json:",omitempty"`
	Version   int       `json:",omitempty"`
}

// The buckets. Docker knows the first; in the second, the key is the volume's name and the
// value the list of its recorded references.
var (
	volumesBucket    = []byte("volumes")
	referencesBucket = []byte("references")
)

// metadata is the database, or nothing at all for a store in memory only: all methods work
// on a nil value and then keep nothing.
type metadata struct {
	db  *boltfile.File
	log *slog.Logger
	// readOnly is set where nothing can be written; changes are then lost with the process.
	readOnly bool
}

// openMetadata opens the database at path, "" for none, waiting for its lock. With lookOnly a
// file system that can not be written to is read, and keeps what it has.
func openMetadata(ctx context.Context, path string, wait time.Duration, lookOnly bool, log *slog.Logger) (*metadata, error) {
	if path == "" {
		return nil, nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(min(wait, time.Until(deadline)), time.Millisecond)
	}
	m := &metadata{log: log}
	err := m.open(path, bbolt.Options{Timeout: wait})
	if lookOnly && errors.Is(err, unix.EROFS) {
		err = m.open(path, bbolt.Options{Timeout: wait, ReadOnly: true})
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, &LockedError{Path: path, Wait: wait, Holders: lockHolders(path)}
	case err != nil:
		return nil, metadataError(path, err)
	}
	if err := m.prepare(); err != nil {
		return nil, errors.Join(metadataError(path, err), m.db.Close())
	}
	return m, nil
}

func (m *metadata) open(path string, opts bbolt.Options) (err error) {
	m.readOnly = opts.ReadOnly
	if !m.readOnly {
		if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
			return err
		}
	}
	m.db, err = boltfile.Open(path, 0o600, opts)
	return err
}

// metadataError says which file an error is about, and what helps when that is damaged.
func metadataError(path string, err error) error {
	err = fmt.Errorf("volume metadata %s: %w", path, err)
	if errors.Is(err, errdefs.ErrCorrupt) {
		return errdefs.WithHint(err, "move the file away: volumes are then found again, without labels and without those who use them")
	}
	return err
}

// prepare makes the buckets, writing only when one is missing.
func (m *metadata) prepare() error {
	ready := false
	err := m.db.View(func(tx *bbolt.Tx) error {
		ready = tx.Bucket(volumesBucket) != nil && tx.Bucket(referencesBucket) != nil
		return nil
	})
	if err != nil || ready || m.readOnly {
		return err
	}
	return m.db.Update(func(tx *bbolt.Tx) error {
		_, volumes := tx.CreateBucketIfNotExists(volumesBucket)
		_, references := tx.CreateBucketIfNotExists(referencesBucket)
		return errors.Join(volumes, references)
	})
}

func (m *metadata) close() error {
	if m == nil {
		return nil
	}
	return m.db.Close()
}

// saved is what the database holds of one volume.
type saved struct {
	key  string
	rec  record
	refs []reference
}

// readable decodes a volume's record. What is none is logged.
func (m *metadata) readable(one *saved, value []byte) bool {
	if err := json.Unmarshal(value, &one.rec); err != nil {
		m.log.Warn("volume metadata is not readable and left alone", "volume", one.key, "error", err)
		return false
	}
	if CheckName(one.key) != nil || one.rec.Name != "" && !strings.EqualFold(one.rec.Name, one.key) {
		m.log.Warn("volume metadata has an impossible name and is left alone", "volume", one.key, "name", one.rec.Name)
		return false
	}
	return true
}

// load reads everything. What does not parse is logged and left alone.
func (m *metadata) load() ([]saved, error) {
	if m == nil {
		return nil, nil
	}
	var all []saved
	err := m.db.View(func(tx *bbolt.Tx) error {
		refs, volumes := tx.Bucket(referencesBucket), tx.Bucket(volumesBucket)
		if refs == nil || volumes == nil {
			return nil // never written to, and can not be
		}
		return volumes.ForEach(func(key, value []byte) error {
			one := saved{key: string(key)}
			if !m.readable(&one, value) {
				return nil
			}
			if value := refs.Get(key); value != nil {
				if err := json.Unmarshal(value, &one.refs); err != nil {
					m.log.Warn("volume references are not readable", "volume", one.key, "error", err)
				}
			}
			all = append(all, one)
			return nil
		})
	})
	if err != nil {
		return nil, metadataError(m.db.Path(), err)
	}
	return all, nil
}

// put writes a record and the references that can be verified later.
func (m *metadata) put(key string, rec record, refs map[string]reference) error {
	if m == nil {
		return nil
	}
	rec.Version = recordVersion
	value, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("encode metadata: %w", err)
	}
	return m.update(key, func(tx *bbolt.Tx) error {
		if err := tx.Bucket(volumesBucket).Put([]byte(key), value); err != nil {
			return err
		}
		return putReferences(tx, key, refs)
	})
}

// putRefs writes the references only.
func (m *metadata) putRefs(key string, refs map[string]reference) error {
	if m == nil {
		return nil
	}
	return m.update(key, func(tx *bbolt.Tx) error { return putReferences(tx, key, refs) })
}

func putReferences(tx *bbolt.Tx, key string, refs map[string]reference) error {
	var recorded []reference
	for _, ref := range refs {
		if ref.verifiable() {
			recorded = append(recorded, ref)
		}
	}
	if len(recorded) == 0 {
		return tx.Bucket(referencesBucket).Delete([]byte(key))
	}
	slices.SortFunc(recorded, func(a, b reference) int { return strings.Compare(a.ID, b.ID) })
	value, err := json.Marshal(recorded)
	if err != nil {
		return err
	}
	return tx.Bucket(referencesBucket).Put([]byte(key), value)
}

func (m *metadata) delete(key string) error {
	if m == nil {
		return nil
	}
	return m.update(key, func(tx *bbolt.Tx) error {
		return errors.Join(tx.Bucket(volumesBucket).Delete([]byte(key)), tx.Bucket(referencesBucket).Delete([]byte(key)))
	})
}

func (m *metadata) update(key string, do func(*bbolt.Tx) error) error {
	if m.readOnly {
		return nil
	}
	if err := m.db.Update(do); err != nil {
		return fmt.Errorf("write metadata of volume %s: %w", key, metadataError(m.db.Path(), err))
	}
	return nil
}
