package treecopy

import (
	"os"

	"golang.org/x/sys/unix"
)

// maxShared is how many names an inode may have to be given as many again: ext4 ends at
// 65,000. All names of one inode are shared or none.
const maxShared = 30_000

// share gives an inode one more name, in the copy. It reports whether that was done: an
// inode with too many names, one of another quota project or one that the process may
// not link to is copied instead.
func (c *copier) share(in, out *os.File, e *entry) bool {
	if e.stat.Nlink > maxShared {
		return false
	}
	if _, copied := c.links[inode{uint64(e.stat.Dev), e.stat.Ino}]; copied { //nolint:unconvert // 32 bits on some machines
		return false
	}
	return unix.Linkat(int(in.Fd()), e.name, int(out.Fd()), e.name, 0) == nil
}
