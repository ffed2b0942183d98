package recordfile

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

// Earlier is where the version is kept that was replaced by the one at backup.
func Earlier(backup string) string {
	return strings.TrimSuffix(backup, ".json") + ".earlier.json"
}

// LastGood returns the newest of the versions kept at backup that is a list of records and
// not the file at path under another name; "" if there is none.
func LastGood(path, backup string) string {
	if backup == "" {
		return ""
	}
	best, newest := "", time.Time{}
	now, _ := os.Lstat(path) // nil when there is none, which is like nothing
	for _, candidate := range []string{backup, Earlier(backup)} {
		info, err := os.Lstat(candidate)
		if err != nil || now != nil && os.SameFile(now, info) || best != "" && !info.ModTime().After(newest) {
			continue
		}
		if data, err := atomicfile.Read(candidate); err == nil && IsList(data) {
			best, newest = candidate, info.ModTime()
		}
	}
	return best
}

// IsList reports whether data is a list of records, as far as syntax goes.
func IsList(data []byte) bool {
	var list []struct {
		ID string `json:"id"`
	}
	return json.Unmarshal(data, &list) == nil
}

// backup keeps the version of f that is there as backup; with a link that is done. A backup
// that fails does not stop the change: it is logged, since a full disk must not keep people
// from deleting.
func (s *Store[R]) backup(f File, backup string) {
	if f.Backup == "" {
		return
	}
	if err := keep(f.Path, backup); err != nil {
		s.log.Warn("record file was not backed up", "file", f.Path, "backup", backup, "error", err)
	}
}

// keep makes backup a second name of the file at path, or a copy where that can
// not be. A path without a file, or with an empty one, leaves the backup alone.
func keep(path, backup string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if err := faults.Hit("recordfile.backup", path); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(backup), 0o700); err != nil {
		return err
	}
	temp := backupTemp(backup)
	if err := os.Link(path, temp); cannotLink(err) {
		return copyFile(path, backup)
	} else if err != nil {
		return err
	}
	if err := os.Rename(temp, backup); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	// Renaming does nothing when both are names of one file already.
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// cannotLink: the backup is on another file system, or this one has no hard links.
func cannotLink(err error) bool {
	return errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EPERM) ||
		errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EMLINK)
}

// backupTemp is a name like those of atomicfile; the exclusive lock keeps others
// from using the same.
func backupTemp(backup string) string {
	name := atomicfile.TempPrefix + filepath.Base(backup) + strconv.FormatInt(time.Now().UnixNano(), 10)
	return filepath.Join(filepath.Dir(backup), name)
}

// copyFile is for file systems without hard links and backups on another one.
func copyFile(path, backup string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // read only: nothing to lose
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	_, err = atomicfile.Write(backup, data, atomicfile.Options{NoSync: true})
	return err
}
