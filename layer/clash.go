package layer

import (
	"encoding/json"

	"github.com/stratastore/strata/internal/recordfile"
)

// Clashes returns the IDs and names that several records of one store have.
func (tx *ReadTx) Clashes() (found []recordfile.Clash) {
	for _, v := range tx.views {
		for _, c := range v.Clashes() {
			c.ReadOnly = v.part.readOnly
			found = append(found, c)
		}
	}
	return found
}

// Keep makes text the only record of its ID, for a repair. ErrUnknown. The change is saved by
// Commit.
func (tx *WriteTx) Keep(id ID, text json.RawMessage) error {
	if tx.closed {
		return ErrTxClosed
	}
	tx.changed()
	return tx.records.Keep(string(id), text)
}

// Restore adds a record of an older version of the graph root's file or, with image, of the
// separate image store's, whose content the driver has, for a repair; see recordfile.WriteTx. The
// change is saved by Commit.
func (tx *WriteTx) Restore(text json.RawMessage, image bool) error {
	if tx.closed {
		return ErrTxClosed
	}
	tx.changed()
	if image {
		return tx.records.Restore(fileImage, text)
	}
	return tx.records.Restore(fileStable, text)
}
