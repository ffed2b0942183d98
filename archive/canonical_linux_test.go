package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/testutil"
)

// history is a stack of layers, the base first, kept in both of the ways in
// which drivers keep them.
type history struct {
	format  archive.WhiteoutFormat
	options string
	uppers  []string // overlay
	trees   []string // vfs
}

// newHistory runs the same steps on complete copies and in real overlay mounts.
func newHistory(t testing.TB, format archive.WhiteoutFormat, options string, layers [][]step) *history {
	t.Helper()
	h := &history{format: format, options: options}
	if format == archive.WhiteoutUser {
		h.options += ",userxattr"
	}
	dir := tempDir(t)
	empty := subdir(t, dir, "empty")
	for i, steps := range layers {
		upper, tree := subdir(t, dir, fmt.Sprint("upper", i)), subdir(t, dir, fmt.Sprint("tree", i))
		if i > 0 {
			copyTree(t, h.trees[i-1], tree)
		}
		run(t, tree, i, steps)
		lowers := append(h.stack(i-1), empty)
		target := subdir(t, dir, fmt.Sprint("merged", i))
		work := subdir(t, dir, fmt.Sprint("work", i))
		mountAt(t, target, lowerData(lowers)+",upperdir="+upper+",workdir="+work+h.options)
		run(t, target, i, steps)
		check(t, testutil.Unmount(target))
		h.uppers, h.trees = append(h.uppers, upper), append(h.trees, tree)
	}
	return h
}

func lowerData(dirs []string) string {
	data := "lowerdir="
	for i, dir := range dirs {
		if i > 0 {
			data += ":"
		}
		data += dir
	}
	return data
}

// stack returns the upper directories from the given layer down.
func (h *history) stack(top int) []string {
	dirs := slices.Clone(h.uppers[:top+1])
	slices.Reverse(dirs)
	return dirs
}

// diff is the list and the tar of one layer against the one below.
type diff struct {
	changes []string
	size    int64
	tar     []byte
}

func (h *history) vfs(t testing.TB, layer int) diff {
	t.Helper()
	base := ""
	if layer > 0 {
		base = h.trees[layer-1]
	}
	return naive(t, h.trees[layer], base, archive.WhiteoutNone)
}

func naive(t testing.TB, dir, base string, format archive.WhiteoutFormat) diff {
	t.Helper()
	changes, err := archive.Compare(context.Background(), dir, base, archive.CompareOptions{})
	if err != nil {
		t.Fatalf("compare: %v", err)
	}
	return newDiff(t, dir, changes, format)
}

func newDiff(t testing.TB, dir string, changes []archive.Change, format archive.WhiteoutFormat) diff {
	t.Helper()
	size, err := archive.ChangesSize(context.Background(), dir, changes)
	if err != nil {
		t.Fatalf("size: %v", err)
	}
	return diff{lines(changes), size, packed(t, dir, changes, archive.PackOptions{Whiteouts: format})}
}

func (h *history) overlay(t testing.TB, layer int) diff {
	t.Helper()
	changes, err := archive.OverlayChanges(context.Background(), h.uppers[layer], h.stack(layer-1), h.format, archive.CompareOptions{})
	if err != nil {
		t.Fatalf("overlay changes: %v", err)
	}
	return newDiff(t, h.uppers[layer], changes, h.format)
}

func (h *history) mounted(t testing.TB, layer int) diff {
	t.Helper()
	base := ""
	if layer > 0 {
		base = merged(t, h.stack(layer-1), h.options)
	}
	return naive(t, merged(t, h.stack(layer), h.options), base, archive.WhiteoutNone)
}

// agree fails unless the three ways give one result for a layer, and returns it.
func (h *history) agree(t testing.TB, layer int) diff {
	t.Helper()
	want := h.vfs(t, layer)
	for _, way := range []struct {
		name string
		got  diff
	}{{"upper directory", h.overlay(t, layer)}, {"mounted overlay", h.mounted(t, layer)}} {
		same(t, fmt.Sprintf("layer %d: changes of %s against vfs", layer, way.name), way.got.changes, want.changes)
		same(t, fmt.Sprintf("layer %d: size of %s against vfs", layer, way.name), way.got.size, want.size)
		if !bytes.Equal(way.got.tar, want.tar) {
			same(t, fmt.Sprintf("layer %d: tar of %s against vfs", layer, way.name), headers(t, way.got.tar), headers(t, want.tar))
			t.Errorf("layer %d: bytes of the tar of %s are not those of vfs", layer, way.name)
		}
	}
	return want
}

// headers lists a tar for comparing.
func headers(t testing.TB, data []byte) []string {
	t.Helper()
	var out []string
	r := tar.NewReader(bytes.NewReader(data))
	for {
		hdr, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		check(t, err)
		content, err := io.ReadAll(r)
		check(t, err)
		out = append(out, fmt.Sprintf("%q %c %04o %d:%d %v %q %d,%d %v %q", hdr.Name, hdr.Typeflag, hdr.Mode, hdr.Uid, hdr.Gid,
			seconds(hdr.ModTime), hdr.Linkname, hdr.Devmajor, hdr.Devminor, hdr.PAXRecords, content))
	}
}

// seconds prints whole seconds as such, which all times in a diff are to be.
func seconds(t time.Time) string {
	if t.Nanosecond() == 0 {
		return fmt.Sprint(t.Unix())
	}
	return t.String()
}

func names(t testing.TB, data []byte) []string {
	t.Helper()
	var out []string
	r := tar.NewReader(bytes.NewReader(data))
	for {
		hdr, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		check(t, err)
		out = append(out, hdr.Name)
	}
}

var base = []step{
	mkdir("/etc", 0o755), file("/etc/hello", "hello"), file("/etc/gone", "gone"),
	mkdir("/opq", 0o750), file("/opq/old", "old"), file("/opq/both", "both"), mkdir("/opq/sub", 0o755), file("/opq/sub/x", "x"),
	mkdir("/tree", 0o755), mkdir("/tree/a", 0o755), file("/tree/a/f", "f"), file("/x", "x"),
	file("/linked", "linked"), link("/linked", "/linked2"),
}

// histories are stacks of layers with what the last of them changes.
func histories() []struct {
	name   string
	layers [][]step
	want   []string
	tar    []string
} {
	return []struct {
		name   string
		layers [][]step
		want   []string
		tar    []string
	}{
		{
			name:   "nothing",
			layers: [][]step{base, {}},
		},
		{
			name:   "base layer",
			layers: [][]step{{mkdir("/a", 0o755), file("/a/x", "1"), file("/a-b", "2"), mkdir("/a-", 0o755), file("/a-/y", "3"), file("/a0", "4")}},
			want:   []string{`Add "/a"`, `Add "/a-"`, `Add "/a-/y"`, `Add "/a-b"`, `Add "/a/x"`, `Add "/a0"`},
			tar:    []string{"a/", "a/x", "a-/", "a-/y", "a-b", "a0"},
		},
		{
			name:   "added, modified, deleted",
			layers: [][]step{base, {mkdir("/etc/sub", 0o755), file("/etc/sub/f", "f"), write("/etc/hello", "changed"), remove("/x")}},
			want:   []string{`Modify "/etc"`, `Modify "/etc/hello"`, `Add "/etc/sub"`, `Add "/etc/sub/f"`, `Delete "/x"`},
			tar:    []string{"etc/", "etc/hello", "etc/sub/", "etc/sub/f", ".wh.x"},
		},
		{
			name:   "written in place deep down: the directories above are listed though they did not change",
			layers: [][]step{base, {chmod("/tree/a/f", 0o600)}},
			want:   []string{`Modify "/tree"`, `Modify "/tree/a"`, `Modify "/tree/a/f"`},
		},
		{
			name:   "deleted directory is listed once",
			layers: [][]step{base, {remove("/tree/a/f"), remove("/tree")}},
			want:   []string{`Delete "/tree"`},
			tar:    []string{".wh.tree"},
		},
		{
			name:   "directory removed and made again",
			layers: [][]step{base, {remove("/opq"), mkdir("/opq", 0o755), file("/opq/z", "z")}},
			want:   []string{`Modify "/opq"`, `Delete "/opq/both"`, `Delete "/opq/old"`, `Delete "/opq/sub"`, `Add "/opq/z"`},
			tar:    []string{"opq/", "opq/.wh.both", "opq/.wh.old", "opq/.wh.sub", "opq/z"},
		},
		{
			name: "directory removed and made again, with a file that has the same again",
			layers: [][]step{base, {
				remove("/opq"), mkdir("/opq", 0o750), file("/opq/old", "old"), file("/opq/both", "BOTH"),
				touch("/opq/old", 1_700_000_000, 123_456_789), touch("/opq", 1_700_000_000, 123_456_789),
			}},
			want: []string{`Modify "/opq"`, `Modify "/opq/both"`, `Delete "/opq/sub"`},
		},
		{
			name: "directory removed and made again exactly",
			layers: [][]step{base, {
				remove("/tree/a"), mkdir("/tree/a", 0o755), file("/tree/a/f", "f"), touch("/tree", 1_700_000_000, 123_456_789),
				touch("/tree/a", 1_700_000_000, 123_456_789), touch("/tree/a/f", 1_700_000_000, 123_456_789),
			}},
		},
		{
			name:   "removed in one layer, made again in the next",
			layers: [][]step{base, {remove("/tree"), remove("/x")}, {mkdir("/tree", 0o755), mkdir("/tree/a", 0o755), file("/tree/a/f", "f"), file("/x", "x")}},
			want:   []string{`Add "/tree"`, `Add "/tree/a"`, `Add "/tree/a/f"`, `Add "/x"`},
		},
		{
			name: "removed and made again over three layers, removed again",
			layers: [][]step{
				base,
				{remove("/tree/a"), mkdir("/tree/a", 0o755), file("/tree/a/g", "g")},
				{file("/tree/a/h", "h")},
				{remove("/tree/a/g"), remove("/tree/a"), mkdir("/tree/a", 0o755), file("/tree/a/f", "back")},
			},
			want: []string{`Modify "/tree"`, `Modify "/tree/a"`, `Add "/tree/a/f"`, `Delete "/tree/a/g"`, `Delete "/tree/a/h"`},
		},
		{
			name:   "new directories, which the kernel may mark opaque",
			layers: [][]step{base, {mkdir("/new", 0o755), mkdir("/new/a", 0o755), file("/new/a/f", "f"), rename("/new/a", "/new/b"), touch("/new/b/f", 1, 1)}},
			want:   []string{`Add "/new"`, `Add "/new/b"`, `Add "/new/b/f"`},
		},
		{
			name:   "made and removed within the layer: only the directory's time changed",
			layers: [][]step{base, {file("/etc/temp", "temp"), remove("/etc/temp")}},
			want:   []string{`Modify "/etc"`},
			tar:    []string{"etc/"},
		},
		{
			name:   "directory becomes a file, file becomes a directory",
			layers: [][]step{base, {remove("/tree"), file("/tree", "file"), remove("/x"), mkdir("/x", 0o755), file("/x/y", "y")}},
			want:   []string{`Modify "/tree"`, `Modify "/x"`, `Add "/x/y"`},
			tar:    []string{"tree", "x/", "x/y"},
		},
		{
			name:   "directory becomes a symbolic link, and what was in it is in no list",
			layers: [][]step{base, {remove("/tree"), symlink("etc", "/tree")}},
			want:   []string{`Modify "/tree"`},
		},
		{
			name:   "copied up without any change",
			layers: [][]step{base, {chmod("/etc/hello", 0o600), chmod("/etc/hello", 0o644), chown("/tree", 1, 1), chown("/tree", 0, 0)}},
		},
		{
			name:   "owner, attribute, capability",
			layers: [][]step{base, {chown("/etc/hello", 5, 7), setXattr("/etc/gone", "user.a", "1"), setXattr("/x", "security.capability", capNetRaw), setXattr("/opq", "user.d", "")}},
			want:   []string{`Modify "/etc"`, `Modify "/etc/gone"`, `Modify "/etc/hello"`, `Modify "/opq"`, `Modify "/x"`},
		},
		{
			name: "attribute removed again, value changed",
			layers: [][]step{
				{file("/a", "a"), setXattr("/a", "user.a", "1"), file("/b", "b"), setXattr("/b", "user.b", "1"), file("/c", "c"), setXattr("/c", "user.c", "1")},
				{removeXattr("/a", "user.a"), setXattr("/b", "user.b", "2")},
			},
			want: []string{`Modify "/a"`, `Modify "/b"`},
		},
		{
			name:   "hard link to a file below",
			layers: [][]step{base, {link("/linked", "/zlink"), touch("/linked", 1_700_000_000, 123_456_789), touch("/zlink", 1_700_000_000, 123_456_789)}},
			want:   []string{`Add "/zlink"`},
			tar:    []string{"zlink"},
		},
		{
			name:   "hard links within the layer",
			layers: [][]step{base, {file("/m", "content"), link("/m", "/etc/n"), link("/m", "/b"), symlink("nowhere", "/s"), link("/s", "/s2")}},
			want:   []string{`Add "/b"`, `Modify "/etc"`, `Add "/etc/n"`, `Add "/m"`, `Add "/s"`, `Add "/s2"`},
		},
		{
			name: "special files",
			layers: [][]step{base, {
				special("/fifo", unix.S_IFIFO|0o600, 0, 0), special("/sock", unix.S_IFSOCK|0o755, 0, 0), special("/chr", unix.S_IFCHR|0o666, 1, 3),
				special("/blk", unix.S_IFBLK|0o660, 259, 70000), remove("/x"), special("/x", unix.S_IFSOCK|0o755, 0, 0),
			}},
			want: []string{`Add "/blk"`, `Add "/chr"`, `Add "/fifo"`, `Add "/sock"`, `Modify "/x"`},
			tar:  []string{"blk", "chr", "fifo", ".wh.x"},
		},
		{
			name:   "device numbers",
			layers: [][]step{{special("/d", unix.S_IFCHR|0o600, 1, 3)}, {remove("/d"), special("/d", unix.S_IFCHR|0o600, 1, 5), touch("/d", 1_700_000_000, 123_456_789)}},
			want:   []string{`Modify "/d"`},
		},
		{
			name:   "names that are not UTF-8, and long ones",
			layers: [][]step{base, {file("/\xff\xfe", "1"), mkdir("/ü", 0o755), file("/ü/ 'x\n", "2"), file("/"+long(255), "3"), symlink(long(300), "/link")}},
			want:   []string{`Add "/link"`, fmt.Sprintf("Add %q", "/"+long(255)), `Add "/ü"`, `Add "/ü/ 'x\n"`, `Add "/\xff\xfe"`},
		},
		{
			name:   "one instant of a second, same size",
			layers: [][]step{{file("/f", "one"), touch("/f", 1_600_000_000, 5)}, {write("/f", "two"), touch("/f", 1_600_000_000, 6)}},
			want:   []string{`Modify "/f"`},
		},
		{
			name:   "whole seconds, same size: the content decides",
			layers: [][]step{{file("/f", "one"), touch("/f", 1_600_000_000, 0)}, {write("/f", "two"), touch("/f", 1_600_000_000, 0)}},
			want:   []string{`Modify "/f"`},
		},
		{
			name:   "time before 1970, set-ID and sticky bits",
			layers: [][]step{{file("/f", "one"), mkdir("/d", 0o1777)}, {touch("/f", -5, 250_000_000), chmod("/f", 0o6755), touch("/d", -1, 0)}},
			want:   []string{`Modify "/d"`, `Modify "/f"`},
		},
	}
}

func TestDriversAgree(t *testing.T) {
	testutil.RequireRoot(t)
	for _, tt := range histories() {
		for format, name := range map[archive.WhiteoutFormat]string{archive.WhiteoutTrusted: "trusted", archive.WhiteoutUser: "user"} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				h := newHistory(t, format, "", tt.layers)
				for layer := range tt.layers {
					got := h.agree(t, layer)
					if layer < len(tt.layers)-1 {
						continue
					}
					same(t, "changes", got.changes, append([]string{}, tt.want...))
					if tt.tar != nil {
						same(t, "names in the tar", names(t, got.tar), tt.tar)
					}
				}
			})
		}
	}
}

func long(n int) string { return string(bytes.Repeat([]byte("n"), n)) }
