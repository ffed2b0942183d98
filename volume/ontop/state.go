package ontop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/volume"
)

// Names in a volume's folder.
const (
	metadataFile = "metadata.json"
	upperDir     = "upper"
	recordsDir   = "activemounts"
	workDir      = "workdir"
	mountDir     = "mountpoint"
	freshDir     = ".upper" // an empty upper directory, and then the one that it replaces
)

// Names in the state folder that are no volumes.
const (
	newPrefix   = ".new-"
	trashPrefix = ".trash-"
)

const metadataVersion = 1

// metadata is a volume's metadata.json. docker-on-top has the first two members; what is
// not known is ignored.
type metadata struct {
	Base     string    `json:"BaseDirPath"`
	Volatile bool      `json:"Volatile"`
	Image    string    `json:"Image,omitempty"`
	Created  time.Time `json:"CreatedAt,omitzero"`
	// Snapshot is the volume that this one is a snapshot of: it is mounted read-only.
	Snapshot string `json:"SnapshotOf,omitempty"`
	Version  int    `json:"Version,omitempty"`
}

// record is one user's record. docker-on-top has the first member.
type record struct {
	Count int       `json:"UsageCount"`
	Boot  string    `json:"BootID,omitempty"`
	Time  time.Time `json:"Time,omitzero"`
}

// place is a volume's folder.
type place struct {
	name, dir string
}

func (d *Driver) place(name string) place {
	return place{name: name, dir: filepath.Join(d.opts.Root, name)}
}

func (p place) path(name string) string { return filepath.Join(p.dir, name) }

// metadata reads a volume's metadata; ErrNoSuchVolume if the volume is missing or was
// never completed.
func (p place) metadata() (metadata, error) {
	var m metadata
	data, err := os.ReadFile(p.path(metadataFile))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir) {
		return m, volume.ErrNoSuchVolume
	}
	if err == nil {
		if err = json.Unmarshal(data, &m); err != nil {
			err = errdefs.WithHint(fmt.Errorf("%w: %w", errdefs.ErrCorrupt, err),
				"the changes are in "+p.path(upperDir)+": copy them away, then remove the volume")
		}
	}
	if err != nil {
		return m, fmt.Errorf("metadata of volume %s: %w", p.name, err)
	}
	return m, nil
}

func (p place) writeMetadata(m metadata) error {
	m.Version = metadataVersion
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = atomicfile.Write(p.path(metadataFile), data, atomicfile.Options{Mode: 0o600})
	return err
}

// records lists the IDs of the users. Names with a dot are files on their way.
func (p place) records() ([]string, error) {
	entries, err := os.ReadDir(p.path(recordsDir))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// record reads one user's record; ok is false if there is none.
func (p place) record(id string) (r record, ok bool, err error) {
	data, err := os.ReadFile(p.path(recordsDir + "/" + id))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err == nil && r.Count < 1 {
		err = fmt.Errorf("count is %d", r.Count)
	}
	if err != nil {
		return record{}, true, errdefs.WithHint(fmt.Errorf("record of user %s is not readable: %w: %w", id, errdefs.ErrCorrupt, err),
			"if nobody uses the volume, reset it: its content stays")
	}
	return r, true, nil
}

// writeRecord replaces a record as a whole, so that a full disk leaves the old one. It is not
// flushed: after a power cut nothing is mounted, and no record counts any more.
func (p place) writeRecord(id string, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = atomicfile.Write(p.path(recordsDir+"/"+id), data, atomicfile.Options{Mode: 0o600, NoSync: true})
	return err
}

func (p place) eraseRecord(id string) error {
	if err := os.Remove(p.path(recordsDir + "/" + id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// eraseRecords drops all of them, those on their way too.
func (p place) eraseRecords() error { return p.erase(func(string) bool { return true }) }

// eraseUnfinished drops those that killed processes were writing. The volume is locked.
func (p place) eraseUnfinished() error { return p.erase(hidden) }

func (p place) erase(which func(name string) bool) error {
	entries, err := os.ReadDir(p.path(recordsDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !which(e.Name()) {
			continue
		}
		if err := p.eraseRecord(e.Name()); err != nil {
			return err
		}
	}
	return nil
}
