package filecopy

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/rootfd"
)

// Writer names this process as it stands in the names of its temporary files, for a note by
// which others find these after its death; "" where there is no /proc.
func Writer() string {
	p := thisProcess()
	if p == (process{}) {
		return ""
	}
	return p.String()
}

// Leftovers returns the names in a tree, at any depth, of what killed copies were making.
// Files of the living stay out, and so do other files whose names begin alike. Of copies in
// other PID namespaces only those of one writer are known to be dead: the one that the
// caller knows to be; "" for none. No link is followed. What vanishes meanwhile is left out.
func Leftovers(root *rootfd.Root, writer string) (names []string, err error) {
	s := scan{root: root, self: thisProcess(), writer: writer, dirs: []string{"."}}
	for len(s.dirs) > 0 {
		last := len(s.dirs) - 1
		dir := s.dirs[last]
		s.dirs = s.dirs[:last]
		if err := s.directory(dir); err != nil {
			return nil, fmt.Errorf("look for what killed copies left in /%s: %w", shown(dir), err)
		}
	}
	return s.found, nil
}

// scan is the state of one Leftovers.
type scan struct {
	root        *rootfd.Root
	self        process
	writer      string
	dirs, found []string
}

func (s *scan) directory(name string) error {
	d, err := s.root.Dir(name)
	if name != "." && isReplaced(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Release()
	return d.EachName(func(base string) error {
		where := path.Join(name, base)
		if s.self.isDead(base) || s.isWriters(base) {
			s.found = append(s.found, where)
			return nil
		}
		st, err := d.Lstat(base)
		if err == nil && kind(st) == unix.S_IFDIR {
			s.dirs = append(s.dirs, where)
		}
		if isReplaced(err) {
			return nil
		}
		return err
	})
}

// isWriters reports whether a name is the dead writer's. In this namespace numbers tell,
// which may be somebody else's by now.
func (s *scan) isWriters(name string) bool {
	space, _, known := strings.Cut(s.writer, "-")
	if !known || space == fmt.Sprint(s.self.space) {
		return false
	}
	random, ok := strings.CutPrefix(name, tempPrefix+s.writer+"-")
	return ok && len(random) == randomLen
}

// isReplaced reports whether a name is gone, or stands for something else by now.
func isReplaced(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
