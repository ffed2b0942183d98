package bigdata

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/internal/reserve"
)

// Changes are the objects' directories that a transaction makes and deletes. Until the
// records are saved, the made ones can be taken back and the deleted ones are there. The
// zero value is ready.
type Changes struct {
	made []string // directories that no saved record owns yet
	gone []string // directories whose records are deleted
}

// Adopt turns a stage into the data directory of object id; nil, a stage without
// items, makes none.
func (c *Changes) Adopt(st *Stage, id string) error {
	if st == nil {
		return nil
	}
	c.made = append(c.made, filepath.Join(st.parent, id)) // also what fails half-way
	return st.Adopt(id)
}

// Delete notes directories that go when the transaction commits.
func (c *Changes) Delete(dirs ...string) { c.gone = append(c.gone, dirs...) }

// Records can be saved. Uncertain reports that a failed Save may have reached the disk.
type Records interface {
	Save(ctx context.Context) error
	Uncertain() bool
}

// Save saves records. When there is no room for that, not even a reserve, the
// directories of deleted objects go before their records do: a crash in between
// leaves objects without data, which can be deleted.
func (c *Changes) Save(ctx context.Context, records Records) error {
	err := records.Save(ctx)
	if reserve.Full(err) && !records.Uncertain() && len(c.gone) > 0 {
		if err := c.makeRoom(); err != nil {
			return err
		}
		err = records.Save(ctx)
	}
	if err != nil && records.Uncertain() {
		c.made = nil // what was made may have its record already
	}
	return err
}

// Keep lets what was made be: records that own it are saved, and stay.
func (c *Changes) Keep() { c.made = nil }

func (c *Changes) makeRoom() error {
	for _, dir := range c.gone {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("make room: %w", err)
		}
	}
	return nil
}

// Commit takes the deleted directories away; see Trash. All records are saved.
func (c *Changes) Commit() (remove func() error, err error) {
	c.made = nil
	return Trash(c.gone...)
}

// Undo removes what was made, unless it was saved. What an engine has beside it stays.
func (c *Changes) Undo() error {
	var errs []error
	for _, dir := range c.made {
		errs = append(errs, removeItems(dir))
	}
	c.made = nil
	return errors.Join(errs...)
}
