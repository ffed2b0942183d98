package recordfile

import "github.com/stratastore/strata/internal/reserve"

// spare is the reserve, if this transaction may use it: a deletion must not fail
// for want of the room that it would give back, but what adds records has to find
// room elsewhere.
func (tx *WriteTx[R]) spare() *reserve.Space {
	if len(tx.view.news) > 0 {
		return nil
	}
	return tx.store.spare
}

// keepSpare holds back what saving any of these files takes.
func (tx *WriteTx[R]) keepSpare(changes []replacement) {
	for _, c := range changes {
		if err := tx.store.spare.Keep(c.pending.Info().Size()); err != nil {
			tx.store.log.Debug("no reserve for deleting on a full disk", "error", err)
		}
	}
}
