package strata

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/lockfile"
)

// DigestLock returns the lock that engines hold while they download a blob, so that only
// one of them does (on-disk format, 3.2: "<run root>/<driver>-locks/<digest>"). It has no
// place in the order of the other locks: whoever holds it may call any method. A malformed
// digest is an errdefs.ErrInvalid.
func (s *Store) DigestLock(d digest.Digest) (*lockfile.Lock, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	if err := d.Validate(); err != nil {
		return nil, &digestError{err}
	}
	dir := filepath.Join(s.roots.run, s.driver.name+"-locks")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of locks: %w", err)
	}
	return lockfile.New(filepath.Join(dir, string(d)), lockfile.Options{Logger: s.log}), nil
}
