package strata

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/layer"
)

// usageCache are the sizes of layers that were walked before.
type usageCache struct {
	// Version of the form; another one is as good as none.
	Version int `json:"version"`
	// Layers by driver and ID.
	Layers map[string]map[layer.ID]knownSize `json:"layers"`
}

// knownSize is what a layer took when it looked like this.
type knownSize struct {
	Bytes int64 `json:"bytes"`
	// Created and Diff are the record's.
	Created time.Time    `json:"created"`
	Diff    layer.DiffID `json:"diff,omitempty"`
	// Marks are inodes and times of change of what every writer touches: the
	// directories, the driver's work directory, the tar-split.
	Marks []mark `json:"marks"`
}

// mark is one file or directory as it was; the zero value if it was not there.
type mark struct {
	Inode   uint64 `json:"inode,omitempty"`
	Changed int64  `json:"changed,omitempty"` // nanoseconds since 1970
}

const usageVersion = 1

func (s *Store) usageFile() string { return filepath.Join(s.roots.graph, "strata", "usage.json") }

// loadUsage returns an empty cache when there is none that can be used.
func (s *Store) loadUsage(ctx context.Context) usageCache {
	empty := usageCache{Version: usageVersion, Layers: map[string]map[layer.ID]knownSize{}}
	data, err := atomicfile.Read(s.usageFile())
	if errors.Is(err, fs.ErrNotExist) {
		return empty
	}
	var c usageCache
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		s.log.DebugContext(ctx, "cached sizes are of no use", "error", err)
	}
	if err != nil || c.Version != usageVersion || c.Layers == nil {
		return empty
	}
	return c
}

// saveUsage keeps the sizes. Failing costs the next call time and nothing else.
func (s *Store) saveUsage(ctx context.Context, c usageCache) {
	data, err := json.Marshal(c)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(s.usageFile()), 0o700)
	}
	if err == nil {
		err = s.writeUsage(data)
	}
	if err != nil {
		s.log.DebugContext(ctx, "cached sizes were not kept", "error", err)
	}
}

// state describes a layer so that a change of its size changes the description. ok
// is false for layers whose size may change without a trace: mounted ones, and
// writable ones of drivers that mount nothing.
func (s *Store) state(ctx context.Context, l *layer.Layer) (k knownSize, ok bool) {
	p, err := s.place(l.ID)
	if err != nil || !s.quiet(ctx, l) {
		return knownSize{}, false
	}
	paths := []string{p.dir, p.diff}
	if s.driver.name == overlayDriver {
		// Each mount makes the kernel's work directory anew.
		paths = append(paths, filepath.Join(p.dir, "work"), filepath.Join(p.dir, "work", "work"), filepath.Join(p.dir, "diff1"))
	}
	beside := layersDir(s.roots.graph, s.driver.name)
	paths = append(paths, filepath.Join(beside, string(l.ID)+".tar-split.gz"), filepath.Join(beside, string(l.ID)))
	k = knownSize{Created: l.Created, Diff: l.DiffID}
	for _, path := range paths {
		k.Marks = append(k.Marks, markOf(path))
	}
	return k, true
}

// quiet reports whether nobody can be writing into the layer.
func (s *Store) quiet(ctx context.Context, l *layer.Layer) bool {
	if s.driver.name == vfsDriver {
		return l.DiffID != ""
	}
	state := s.mountState()
	if state == nil {
		return false
	}
	_, mounted, err := state.Mounted(ctx, graphdriver.ID(l.ID))
	return err == nil && !mounted
}

func markOf(path string) mark {
	info, err := os.Lstat(path)
	if err != nil {
		return mark{}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return mark{}
	}
	return mark{Inode: st.Ino, Changed: st.Ctim.Nano()}
}

func (k knownSize) same(other knownSize) bool {
	if !k.Created.Equal(other.Created) || k.Diff != other.Diff || len(k.Marks) != len(other.Marks) {
		return false
	}
	for i := range k.Marks {
		if k.Marks[i] != other.Marks[i] {
			return false
		}
	}
	return true
}

// writeUsage replaces the file without a lock: whoever comes last wins.
func (s *Store) writeUsage(data []byte) error {
	f, err := atomicfile.Create(s.usageFile(), 0o600)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}
