// Package treecopy copies directory trees inside one host: the content shared where the
// file system can share it, and what cannot be shared kept as it is: hard links,
// holes, owners, modes, times, devices and the extended attributes that layers
// have (on-disk format, chapter 5).
package treecopy

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/idmap"
)

// Options tune a copy. The zero value is right for a privileged process.
type Options struct {
	// Unprivileged: devices are left out, trusted.* attributes are not copied, and
	// attributes that may not be set are passed over.
	Unprivileged bool
	// IgnoreChownErrors goes on when an owner can not be set.
	IgnoreChownErrors bool
	// Move changes the owners on the way, of file capabilities too.
	Move idmap.Move
	// AllXattrs copies every extended attribute but the SELinux label; without it only
	// those that a vfs layer has.
	AllXattrs bool
	// Whiteouts copies overlayfs's marks for deleted names (device 0:0), which need no
	// privilege, also with Unprivileged.
	Whiteouts bool
	// Share makes everything but directories further names of what is in src, where the
	// file system lets it: then neither tree's may be changed, only replaced. Owners of
	// these do not move.
	Share bool
	// Workers is how many files are copied at once; 0 means one per processor, 8 at most.
	Workers int
}

// Copy fills the empty directory dst with what is in src and gives it src's own mode,
// owner, attributes and times, owners moved as opts say. Regular files are reflinks where the file system has
// them, else they are copied inside the kernel, else through memory; holes stay holes.
// Files that are hard links of each other within src are so within dst. Sockets are
// made anew. Directory times are set when their content is complete.
//
// Neither tree may be changed by others meanwhile, but nothing that is in src, links
// included, leads the copy out of the two trees. After an error or a cancelled ctx, dst
// holds a part; the caller removes it.
func Copy(ctx context.Context, dst, src string, opts Options) error {
	in, err := openDir(unix.AT_FDCWD, src)
	if err != nil {
		return fmt.Errorf("copy tree %s: %w", src, err)
	}
	defer in.Close()
	out, err := openDir(unix.AT_FDCWD, dst)
	if err != nil {
		return fmt.Errorf("copy tree to %s: %w", dst, err)
	}
	defer out.Close()
	c := &copier{opts: opts, root: int(out.Fd()), links: map[inode]string{}}
	if err := c.tree(ctx, in, out, ""); err != nil {
		return fmt.Errorf("copy tree %s: %w", src, err)
	}
	return nil
}

// copier is the state of one Copy.
type copier struct {
	opts Options
	root int // descriptor of dst, for links across directories
	// links has the first path, relative to dst, of each inode with several links. Only
	// the goroutine that walks uses it.
	links map[inode]string
	// noClone and noRange are set once the file systems turn out to lack the call.
	noClone, noRange atomic.Bool
	buffers          sync.Pool
}

type inode struct{ dev, ino uint64 }

func (c *copier) workers() int {
	if c.opts.Workers > 0 {
		return c.opts.Workers
	}
	return min(runtime.GOMAXPROCS(0), 8)
}
