package layer

import (
	"context"
	"io"
	"io/fs"
	"os"

	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/lockfile"
)

// Look is View for whoever examines a store: it takes the shared locks and changes
// nothing on the disk. Flagged records, which View would remove with their content,
// are listed as they are, and nothing that killed processes left is swept. Close
// it soon. Records that can not be read are an errdefs.ErrCorrupt.
func (s *Store) Look(ctx context.Context) (*ReadTx, error) {
	p := s.looking()
	main, err := p.view(ctx)
	if err != nil {
		return nil, err
	}
	tx := &ReadTx{store: s, views: []openPart{{main, p}}, close: main.Close}
	if err := tx.load(ctx); err != nil {
		return nil, err
	}
	return tx, nil
}

// looking is the writable store through locks that can not be held exclusively:
// with those the record files repair nothing.
func (s *Store) looking() *part {
	o := &s.opts
	paths := []string{o.GraphDir}
	if o.ImageDir != "" {
		paths = append(paths, o.ImageDir)
	}
	var files []recordfile.File
	var locks []*lockfile.Lock
	for i, dir := range paths {
		f := s.file(dir, stableName, []string{"", imagePrefix}[i])
		files = append(files, recordfile.File{Path: f.Path, ReadOnly: true, Backup: f.Backup})
		locks = append(locks, newLock(dir, o, true))
	}
	f := s.file(o.VolatileDir, volatileName, "")
	files = append(files, recordfile.File{Path: f.Path, ReadOnly: true, Backup: f.Backup})
	sch := schema()
	sch.EmptyIsDamage = s.emptyIsDamage
	return &part{dir: o.GraphDir, records: recordfile.Open(sch, files, locks, recordfile.Options{Logger: o.Logger})}
}

// OpenSplit opens the tar-split of l (on-disk format, 2.10): uncompressed lines come
// out. fs.ErrNotExist if there is none, errdefs.ErrCorrupt if it does not begin
// like one; Read gives the same for what is wrong further on. It takes no lock: a
// layer may go meanwhile, but what was opened stays readable. The caller closes it.
func (s *Store) OpenSplit(l Layer) (io.ReadCloser, error) {
	for _, dir := range s.dirsOf(l) {
		split, err := openSplit(dir, l.ID)
		if err == nil {
			return split, nil
		}
		if !isMissing(err) {
			return nil, err
		}
	}
	return nil, fs.ErrNotExist
}

// OpenBigData opens one data item of l; ErrDataUnknown if it has none of that name.
// It takes no lock, like OpenSplit. The caller closes it.
func (s *Store) OpenBigData(l Layer, key string) (*os.File, error) {
	for _, dir := range s.dirsOf(l) {
		path, err := dataPath(dir, l.ID)
		if err != nil {
			return nil, err
		}
		f, err := bigdata.Open(path, key)
		if err == nil || !isMissing(err) {
			return f, err
		}
	}
	return nil, about(key, ErrDataUnknown)
}

// dirsOf are the directories that may hold what lies beside l's record.
func (s *Store) dirsOf(l Layer) []string {
	if l.ReadOnly {
		return s.opts.Additional
	}
	return []string{s.opts.GraphDir}
}

// Relink writes again what the driver notes about the layers that id stands on, from
// the records (on-disk format, 4.4), and reports whether anything changed. It does
// nothing for drivers without such notes. Notes that are whole and contradict the
// records are an errdefs.ErrCorrupt and stay. It takes the exclusive locks.
func (s *Store) Relink(ctx context.Context, id ID) (changed bool, err error) {
	tx, err := s.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer closing(&err, tx)
	return tx.heal(ctx, id)
}
