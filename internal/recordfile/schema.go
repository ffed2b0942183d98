package recordfile

import (
	"context"
	"log/slog"

	"github.com/stratastore/strata/internal/reserve"
)

// File is one JSON file of a Store.
type File struct {
	// Path of the file; one that does not exist holds no records.
	Path string
	// NoSync leaves out flushing: for records that need not outlive a power cut.
	NoSync bool
	// ReadOnly refuses every change to this file's records with errdefs.ErrReadOnly.
	ReadOnly bool
	// Backup is where the version that was saved last is kept, and beside it, at Earlier,
	// the one before; "" is nowhere. Its directory is made when needed. On the file's own file
	// system that costs links, elsewhere copies.
	Backup string
}

// Schema says what a record is. R is a struct whose JSON tags are the keys on
// disk, in the order in which they are written; its keys "id" and "names" are the
// ID and, if it has them, the names.
type Schema[R any] struct {
	// Kind is the word for one object, "layer", for errors.
	Kind string
	// Unknown is the sentinel for an ID or name that nobody has, DuplicateID and
	// DuplicateName those for one that somebody else has.
	Unknown, DuplicateID, DuplicateName error
	// ID returns the record's ID.
	ID func(*R) string
	// Names returns the record's names; nil for records without.
	Names func(*R) []string
	// SetNames replaces them; nil for records without.
	SetNames func(*R, []string)
	// CheckID refuses IDs that must not become a path, on loading (the error is then
	// an errdefs.ErrCorrupt) and on Insert; nil takes all but the empty one.
	CheckID func(id string) error
	// Indexes maps the name of an index, for By, to the members that it holds. An
	// entry is one or several of these, separated by spaces:
	//
	//	parent                        the value of a member
	//	flags.incomplete              a member of a member
	//	big-data-digests.manifest*    all members of a member that begin so
	//
	// Strings count unquoted, arrays by their elements, objects by their values,
	// other values by their JSON text ("true"). Null and "" do not count.
	Indexes map[string]string
	// EmptyIsDamage reports whether there is content that a file of zero length
	// can not be right about (on-disk format, 9.3): then the Store refuses to open
	// with errdefs.ErrCorrupt. nil: an empty file holds no records.
	EmptyIsDamage func(path string) bool
	// NeedsRepair reports whether the records show an interrupted change (on-disk
	// format, 2.8). When it does, View and Begin run Repair under the exclusive
	// locks and save. nil: never. It is not asked if any lock is read-only.
	NeedsRepair func(*ReadTx[R]) bool
	// Repair cleans up. Its error is logged, and the records are served as they are.
	Repair func(ctx context.Context, tx *WriteTx[R]) error
}

// Options of Open.
type Options struct {
	// Logger gets repairs and failed backups; nil: nothing is logged.
	Logger *slog.Logger
	// Reserve is room that a change without new records may use on a full disk; nil:
	// there is none.
	Reserve *reserve.Space
}
