package mountapi

import (
	"path"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// IsSelfBind reports whether the topmost mount at dir is a bind mount of dir on itself, and
// not a file system of its own, which only its administrator takes away.
func IsSelfBind(dir string) (bool, error) {
	mounts, err := Table(nil)
	if err != nil {
		return false, err
	}
	byID := make(map[int]*mountinfo.Info, len(mounts))
	var top *mountinfo.Info
	for _, m := range mounts {
		byID[m.ID] = m
		if m.Mountpoint == dir {
			top = m
		}
	}
	if top == nil || byID[top.Parent] == nil {
		return false, nil
	}
	return shows(top, byID[top.Parent]), nil
}

// shows reports whether m, mounted on parent, shows the very directory that it hides.
func shows(m, parent *mountinfo.Info) bool {
	rel, below := strings.CutPrefix(m.Mountpoint, strings.TrimSuffix(parent.Mountpoint, "/"))
	same := m.Major == parent.Major && m.Minor == parent.Minor
	return same && below && m.Root == path.Join(parent.Root, rel)
}
