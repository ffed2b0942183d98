package archive_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/testutil"
)

// TestDriversAgreeOnRandomHistories makes stacks of layers by chance. It leaves
// out what the kernel itself does otherwise on overlay: a hard-linked file that
// is changed in place loses its other names when it is copied up.
func TestDriversAgreeOnRandomHistories(t *testing.T) {
	testutil.RequireRoot(t)
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			format := []archive.WhiteoutFormat{archive.WhiteoutTrusted, archive.WhiteoutUser}[seed%2]
			m := &model{rand: r, kinds: map[string]fs.FileMode{"/": fs.ModeDir}}
			var layers [][]step
			for range 4 {
				layers = append(layers, m.layer(30))
			}
			h := newHistory(t, format, []string{"", ",index=on,xino=on"}[seed/2%2], layers)
			for layer := range layers {
				h.agree(t, layer)
			}
		})
	}
}

// model knows which paths exist, so that steps make sense.
type model struct {
	rand  *rand.Rand
	kinds map[string]fs.FileMode
	// linked are paths that must not be changed in place.
	linked map[string]bool
	fresh  map[string]bool
}

func (m *model) layer(steps int) []step {
	m.fresh = map[string]bool{}
	if m.linked == nil {
		m.linked = map[string]bool{}
	}
	var out []step
	for range steps {
		out = append(out, m.step()...)
	}
	return out
}

func (m *model) pick(ok func(p string, mode fs.FileMode) bool) string {
	var found []string
	for p, mode := range m.kinds {
		if ok(p, mode) {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return ""
	}
	// Map order must not decide.
	best := found[0]
	salt := m.rand.Uint64()
	for _, p := range found[1:] {
		if hash(p, salt) < hash(best, salt) {
			best = p
		}
	}
	return best
}

func hash(s string, salt uint64) uint64 {
	h := salt
	for _, c := range []byte(s) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h * 0x9E3779B97F4A7C15
}

func (m *model) newPath() string {
	dir := m.pick(func(_ string, mode fs.FileMode) bool { return mode.IsDir() })
	name := []string{"a", "a-", "a.b", "b", "c", "\xffz", "d", "ä"}[m.rand.IntN(8)]
	return path.Join(dir, name)
}

func (m *model) forget(p string) {
	for q := range m.kinds {
		if q == p || strings.HasPrefix(q, p+"/") {
			delete(m.kinds, q)
			delete(m.linked, q)
			delete(m.fresh, q)
		}
	}
}

func (m *model) put(p string, mode fs.FileMode) { m.kinds[p], m.fresh[p] = mode, true }

func (m *model) step() []step {
	if m.rand.IntN(3) == 0 {
		return m.change()
	}
	p := m.newPath()
	if filepath.Base(p) == "/" {
		return nil
	}
	var out []step
	if _, there := m.kinds[p]; there {
		out = append(out, remove(p))
		m.forget(p)
	}
	switch m.rand.IntN(8) {
	case 0, 1, 2:
		m.put(p, 0)
		return append(out, file(p, strings.Repeat("x", m.rand.IntN(3))))
	case 3, 4:
		m.put(p, fs.ModeDir)
		return append(out, mkdir(p, []uint32{0o755, 0o700}[m.rand.IntN(2)]))
	case 5:
		m.put(p, fs.ModeSymlink)
		return append(out, symlink([]string{"/etc", "x"}[m.rand.IntN(2)], p))
	case 6:
		m.put(p, fs.ModeDevice)
		return append(out, special(p, unix.S_IFCHR|0o600, 1, uint32(3+m.rand.IntN(3))))
	}
	return out // gone
}

func (m *model) change() []step {
	old := m.pick(func(p string, mode fs.FileMode) bool { return mode == 0 && !m.linked[p] })
	if old == "" {
		return nil
	}
	switch m.rand.IntN(5) {
	case 0:
		return []step{write(old, fmt.Sprint(m.rand.IntN(30)))}
	case 1:
		return []step{{[]string{old}, setXattr(old, "user.x", fmt.Sprint(m.rand.IntN(3))).do}}
	case 2:
		return []step{{[]string{old}, chmod(old, uint32(0o600+m.rand.IntN(64))).do}}
	case 3:
		p := m.newPath()
		if _, there := m.kinds[p]; there || !m.fresh[old] {
			return nil
		}
		m.put(p, 0)
		m.linked[p], m.linked[old] = true, true
		return []step{link(old, p)}
	}
	m.forget(old)
	return []step{remove(old)}
}
