package recordfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/lockfile"
)

// replacement is a file that is to be replaced.
type replacement struct {
	file    int
	records []raw
	pending *atomicfile.Pending
}

// Save writes the changes since Begin or the last Save: only files that changed,
// and nothing at all if none did. All new files are written aside and flushed
// first, where space may run out; then come the lock files' tokens, then the
// renames. The context is looked at before the tokens, not after. The error
// leaves the files as they were, unless it came between two renames; the
// transaction can only be closed after that.
func (tx *WriteTx[R]) Save(ctx context.Context) error {
	if err := tx.usable(); err != nil {
		return err
	}
	if len(tx.view.dirty) == 0 {
		return nil
	}
	if err := tx.save(ctx); err != nil {
		return fmt.Errorf("save %s records: %w", tx.store.schema.Kind, err)
	}
	return nil
}

// Commit saves and closes. After an error the transaction is closed as well.
func (tx *WriteTx[R]) Commit(ctx context.Context) error {
	if err := tx.Save(ctx); err != nil {
		return errors.Join(err, tx.Close())
	}
	return tx.Close()
}

func (tx *WriteTx[R]) save(ctx context.Context) error {
	changes, err := tx.prepare(ctx)
	defer func() {
		for _, c := range changes {
			c.pending.Abort() // nothing to do for those that are in place
		}
	}()
	if err != nil {
		return err
	}
	next, err := tx.store.after(tx.view.base, changes)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// From here on the cache would be wrong until all is done.
	ids := tx.store.forget()
	token, err := tx.writeTokens()
	if err != nil {
		return err
	}
	if err := tx.replace(changes, ids); err != nil {
		tx.failed = err
		return err
	}
	tx.store.remember(&state{next, token, ids})
	tx.view = newPending(next)
	tx.keepSpare(changes)
	return nil
}

// prepare writes the new files aside. Also after an error the caller has to abort
// what was returned.
func (tx *WriteTx[R]) prepare(ctx context.Context) ([]replacement, error) {
	var out []replacement
	for i, f := range tx.store.files {
		if !tx.view.dirty[i] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return out, err
		}
		data, records, err := tx.render(i)
		if err != nil {
			return out, fmt.Errorf("refuse to write %s: %w", f.Path, err)
		}
		p, err := atomicfile.Prepare(f.Path, data, atomicfile.Options{Mode: 0o600, NoSync: f.NoSync, Spare: tx.spare()})
		if err != nil {
			return out, err
		}
		out = append(out, replacement{i, records, p})
	}
	return out, nil
}

// render makes a file's new text and reads it back: the text itself, and those of
// its records that are not as they were read.
func (tx *WriteTx[R]) render(file int) ([]byte, []raw, error) {
	var texts [][]byte
	for e := range tx.view.file(file) {
		texts = append(texts, e.text)
		if tx.view.base.byID[e.id] == e {
			continue
		}
		var r R
		if err := json.Unmarshal(e.text, &r); err != nil {
			return nil, nil, fmt.Errorf("%s %q can not be read back: %w", tx.store.schema.Kind, e.id, err)
		}
	}
	data := emit(texts)
	records, err := parse(data, tx.store.plan.wanted)
	if err == nil && len(records) != len(texts) {
		err = fmt.Errorf("%d records read back as %d", len(texts), len(records))
	}
	return data, records, err
}

// after returns what base becomes by the changes.
func (s *Store[R]) after(base *snapshot, changes []replacement) (*snapshot, error) {
	texts := append([][]raw(nil), base.texts...)
	for _, c := range changes {
		texts[c.file] = c.records
	}
	return newSnapshot(s.plan, texts, s.schema.CheckID)
}

// forget drops the cached records and returns what is known of the files.
func (s *Store[R]) forget() []fileID {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	ids := make([]fileID, len(s.files))
	if s.cache.state != nil {
		copy(ids, s.cache.state.ids)
	}
	s.cache.state = nil
	return ids
}

func (s *Store[R]) remember(st *state) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	s.cache.state = st
}

// writeTokens tells everybody to read again; the token that counts is the first.
func (tx *WriteTx[R]) writeTokens() (lockfile.Token, error) {
	var first lockfile.Token
	for i, h := range tx.held {
		if err := faults.Hit("recordfile.token", h.Path()); err != nil {
			return first, err
		}
		t, err := h.Touch()
		if err != nil {
			return first, err
		}
		if i == 0 {
			first = t
		}
	}
	return first, nil
}

// replace puts the files in place and notes them in ids. The version before stays as a backup,
// and what is there now becomes the other one: another engine's next save that comes to
// nothing in a power cut has something to go back to.
func (tx *WriteTx[R]) replace(changes []replacement, ids []fileID) error {
	for _, c := range changes {
		f := tx.store.files[c.file]
		tx.store.backup(f, Earlier(f.Backup))
		if err := c.pending.Commit(); err != nil {
			return err
		}
		tx.store.backup(f, f.Backup)
		ids[c.file] = idOf(c.pending.Info())
	}
	return nil
}
