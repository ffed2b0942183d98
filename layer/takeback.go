package layer

import (
	"context"
	"slices"
)

// TakeBack undoes the Mount of a borrower that died before its Unmount, as far as it got.
// claim is called under the locks and says whether the mount had been counted for sure: that
// counts where another engine has written the counts since, which knows nothing of
// borrowers. Of those who call it one after the other, it says so to the first only. One
// count is taken back then. A mount that is not counted is undone if nobody else has the
// layer mounted. A layer that is gone is success. Call it without any transaction.
func (s *Store) TakeBack(ctx context.Context, id ID, borrower string, claim func() (counted bool, err error)) (err error) {
	tx, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	defer closing(&err, tx)
	mounts, err := s.beginMounts(ctx)
	if err != nil {
		return err
	}
	defer closing(&err, mounts)
	counted, err := claim()
	if err != nil || !tx.Exists(id) {
		return err
	}
	m, _, err := mounts.Get(string(id))
	if err != nil || !counted && !slices.Contains(m.Borrowers, borrower) && m.Count > 0 {
		return err // others have it
	}
	_, err = s.unmount(ctx, mounts, id, UnmountOptions{Borrower: borrower})
	return err
}
