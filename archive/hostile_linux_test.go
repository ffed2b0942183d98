package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
)

// guarded is a directory to unpack into, with a neighbour that nothing may touch.
type guarded struct {
	dir, outside string
	before       []string
}

func newGuarded(t testing.TB) *guarded {
	t.Helper()
	top := t.TempDir()
	g := &guarded{dir: filepath.Join(top, "root"), outside: filepath.Join(top, "outside")}
	for _, dir := range []string{g.dir, g.outside, filepath.Join(g.outside, "etc")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"etc/passwd", "secret"} {
		if err := os.WriteFile(filepath.Join(g.outside, name), []byte("outside"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g.before = g.neighbours(t)
	return g
}

// neighbours dumps everything beside the directory.
func (g *guarded) neighbours(t testing.TB) []string {
	lines := testutil.Tree(t, g.outside)
	entries, err := os.ReadDir(filepath.Dir(g.dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		lines = append(lines, e.Name())
	}
	return lines
}

func (g *guarded) check(t testing.TB) {
	t.Helper()
	if diff := cmp.Diff(g.before, g.neighbours(t)); diff != "" {
		t.Errorf("outside of the root (-before +after):\n%s", diff)
	}
	if st, err := os.Lstat(g.dir); err != nil || !st.IsDir() {
		t.Errorf("the root is no directory any more: %v, %v", st, err)
	}
}

// Tars that try to get out, or to get something in that must not be stored.
func TestExtractHostile(t *testing.T) {
	testutil.RequireRoot(t)
	link := func(name, target string) testutil.Entry { return testutil.Entry{Name: name, Link: target} }
	hard := func(name, target string) testutil.Entry {
		return testutil.Entry{Name: name, Type: tar.TypeLink, Link: target, Mode: 0o666}
	}
	file := func(name string) testutil.Entry { return testutil.Entry{Name: name, Body: "hostile", Mode: 0o666} }
	tests := []struct {
		name    string
		entries []testutil.Entry
		kind    error // nil: unpacks, harmlessly
	}{
		{"dot dot", []testutil.Entry{file("../outside/secret")}, errdefs.ErrInvalid},
		{"dot dot inside", []testutil.Entry{file("a/../../outside/secret")}, errdefs.ErrInvalid},
		{"dot dot that stays", []testutil.Entry{file("a/../b")}, nil},
		{"only dot dot", []testutil.Entry{{Name: "../"}}, errdefs.ErrInvalid},
		{"absolute", []testutil.Entry{file("OUT/secret")}, nil},
		{"link to outside, then through it", []testutil.Entry{link("x", "OUT"), file("x/secret")}, errdefs.ErrInvalid},
		{"link upwards, then through it", []testutil.Entry{link("x", "../outside"), file("x/secret")}, errdefs.ErrInvalid},
		{"link chain", []testutil.Entry{link("x", "y"), link("y", "OUT"), file("x/secret")}, errdefs.ErrInvalid},
		{"link inside, then through it", []testutil.Entry{{Name: "d/"}, link("x", "d"), file("x/f")}, errdefs.ErrInvalid},
		{"link further up", []testutil.Entry{link("x", "OUT"), file("x/etc/passwd")}, errdefs.ErrInvalid},
		{"directory through link", []testutil.Entry{link("x", "OUT"), {Name: "x/etc/", Mode: 0o777}}, errdefs.ErrInvalid},
		{"whiteout through link", []testutil.Entry{link("x", "OUT"), file("x/.wh.secret")}, errdefs.ErrInvalid},
		{"opaque through link", []testutil.Entry{link("x", "OUT"), file("x/.wh..wh..opq")}, errdefs.ErrInvalid},
		{"through a file", []testutil.Entry{file("x"), file("x/y")}, errdefs.ErrInvalid},
		{"over a directory of its own", []testutil.Entry{file("x/y"), file("x")}, errdefs.ErrInvalid},
		{"link over a directory of its own", []testutil.Entry{file("x/y"), link("x", "OUT")}, errdefs.ErrInvalid},
		{"hard link upwards", []testutil.Entry{hard("x", "../outside/secret")}, errdefs.ErrInvalid},
		{"hard link absolute", []testutil.Entry{hard("x", "OUT/secret")}, errdefs.ErrInvalid},
		{"hard link through link", []testutil.Entry{link("l", "OUT"), hard("x", "l/secret")}, errdefs.ErrInvalid},
		{"hard link to link, then through it", []testutil.Entry{link("l", "OUT"), hard("x", "l"), file("x/secret")}, errdefs.ErrInvalid},
		{"hard link to link", []testutil.Entry{link("l", "OUT/secret"), hard("x", "l")}, nil},
		{"hard link to directory", []testutil.Entry{{Name: "d/"}, hard("x", "d")}, errdefs.ErrInvalid},
		{"hard link to root", []testutil.Entry{hard("x", "/")}, errdefs.ErrInvalid},
		{"hard link to itself", []testutil.Entry{hard("x", "x")}, errdefs.ErrInvalid},
		{"hard link to nothing", []testutil.Entry{hard("x", "none")}, errdefs.ErrInvalid},
		{"hard link to whiteout", []testutil.Entry{file(".wh.w"), hard("x", "w")}, errdefs.ErrInvalid},
		{"root as link", []testutil.Entry{link(".", "OUT")}, errdefs.ErrInvalid},
		{"root as file", []testutil.Entry{{Name: ".", Type: tar.TypeReg, Body: "x"}}, errdefs.ErrInvalid},
		{"root as device", []testutil.Entry{{Name: "./.", Type: tar.TypeChar, Major: 1, Minor: 3}}, errdefs.ErrInvalid},
		{"root as hard link", []testutil.Entry{hard(".", "OUT/secret")}, errdefs.ErrInvalid},
		{"whiteout of nothing", []testutil.Entry{file(".wh.")}, errdefs.ErrInvalid},
		{"whiteout of dot", []testutil.Entry{file("a/.wh..")}, errdefs.ErrInvalid},
		{"whiteout of dot dot", []testutil.Entry{file(".wh...")}, errdefs.ErrInvalid},
		{"whiteout of dot dot below", []testutil.Entry{file("a/.wh...")}, errdefs.ErrInvalid},
		{"entry below a whiteout", []testutil.Entry{file(".wh.a/b")}, errdefs.ErrInvalid},
		{"same name", []testutil.Entry{link("x", "OUT/secret"), file("x")}, errdefs.ErrInvalid},
		{"same name in other words", []testutil.Entry{link("x", "OUT/secret"), file("./d/../x")}, errdefs.ErrInvalid},
		{"device number too large", []testutil.Entry{{Name: "x", Type: tar.TypeBlock, Major: 1 << 20, Minor: 0}}, errdefs.ErrInvalid},
		{"link without a target", []testutil.Entry{{Name: "x", Type: tar.TypeSymlink}}, errdefs.ErrInvalid},
		{"attribute without a name", []testutil.Entry{{Name: "x", Body: "x", Xattrs: map[string]string{"user.": "1"}}}, errdefs.ErrInvalid},
		{"attribute that links have not", []testutil.Entry{{Name: "x", Link: "y", Xattrs: map[string]string{"user.a": "1"}}}, errdefs.ErrInvalid},
		{"capability that is none", []testutil.Entry{{Name: "x", Body: "x", Xattrs: map[string]string{"security.capability": "any"}}}, errdefs.ErrInvalid},
		{"large attribute", []testutil.Entry{{Name: "x", Body: "x", Xattrs: map[string]string{"user.a": strings.Repeat("x", 70000)}}}, unix.E2BIG},
		{"long name", []testutil.Entry{file(strings.Repeat("x", 300))}, unix.ENAMETOOLONG},
		{"unknown type", []testutil.Entry{{Name: "x", Type: 'V'}}, errdefs.ErrUnsupported},
		{"symbolic link to outside", []testutil.Entry{link("x", "OUT/secret")}, nil},
	}
	for _, tt := range tests {
		for _, format := range []WhiteoutFormat{WhiteoutNone, WhiteoutTrusted} {
			t.Run(fmt.Sprintf("%s %d", tt.name, format), func(t *testing.T) {
				g := newGuarded(t)
				entries := make([]testutil.Entry, len(tt.entries))
				for i, e := range tt.entries {
					e.Name = strings.ReplaceAll(e.Name, "OUT", g.outside)
					e.Link = strings.ReplaceAll(e.Link, "OUT", g.outside)
					entries[i] = e
				}
				err := extractInto(t, g.dir, ExtractOptions{Whiteouts: format, ApplyRoot: true}, entries...)
				if tt.kind == nil && err != nil || tt.kind != nil && !errors.Is(err, tt.kind) {
					t.Errorf("error = %v, want %v", err, tt.kind)
				}
				if tt.kind != nil && !errors.Is(err, errdefs.ErrUnsupported) && !errors.Is(err, errdefs.ErrCorrupt) {
					t.Errorf("the tar is wrong, and the error says nothing of it: %v", err)
				}
				g.check(t)
			})
		}
	}
}

// What stood in the tree before may be links to anywhere: nothing goes through
// them, in either direction.
func TestExtractOverHostileTree(t *testing.T) {
	testutil.RequireRoot(t)
	entries := []testutil.Entry{
		{Name: "file", Body: "new", Mode: 0o666}, {Name: "dir/inside", Body: "new"}, {Name: "list/", Mode: 0o777, Mtime: nano},
		{Name: "deep/a/b/c", Body: "new"}, {Name: "gone/.wh.secret"}, {Name: "empty/.wh..wh..opq"},
		{Name: "fifo", Type: tar.TypeFifo}, {Name: "symlink", Link: "x", Mtime: nano},
	}
	g := newGuarded(t)
	for _, name := range []string{"file", "dir", "list", "deep", "gone", "empty", "fifo", "symlink"} {
		target := g.outside
		if name == "file" || name == "fifo" {
			target = filepath.Join(g.outside, "secret")
		}
		if err := os.Symlink(target, filepath.Join(g.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	mustExtract(t, g.dir, ExtractOptions{}, entries...)
	g.check(t)
	if got, want := short(t, g.dir), "deep/ deep/a/ deep/a/b/ deep/a/b/c dir/ dir/inside empty/ fifo file gone/ list/ symlink@"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Names and trees at the system's limits.
func TestExtractLongNames(t *testing.T) {
	testutil.RequireRoot(t)
	part := strings.Repeat("n", 250)
	beyond := strings.TrimSuffix(strings.Repeat(part+"/", 40), "/") // 10,000 bytes, twice PATH_MAX
	g := newGuarded(t)
	mustExtract(t, g.dir, ExtractOptions{}, testutil.Entry{Name: beyond, Body: "x"}, testutil.Entry{Name: beyond + "2", Type: tar.TypeLink, Link: beyond, Mode: 0o644})
	g.check(t)
	err := extractInto(t, g.dir, ExtractOptions{}, testutil.Entry{Name: strings.Repeat("n", 256)})
	if !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("error = %v, want ENAMETOOLONG", err)
	}
	err = extractInto(t, g.dir, ExtractOptions{}, testutil.Entry{Name: strings.Repeat("d/", 2000)})
	if !errors.Is(err, errdefs.ErrLimit) {
		t.Errorf("error = %v, want ErrLimit", err)
	}
}

// Time must not grow faster than the tar: many opaque marks, one inside the
// other, over a wide tree.
func TestExtractManyMarksAreLinear(t *testing.T) {
	testutil.RequireRoot(t)
	var entries []testutil.Entry
	name := ""
	for range 200 {
		name += "d/"
		for j := range 20 {
			entries = append(entries, testutil.Entry{Name: fmt.Sprintf("%sf%d", name, j)})
		}
		entries = append(entries, testutil.Entry{Name: name + ".wh..wh..opq"})
	}
	dir := t.TempDir()
	mustExtract(t, dir, ExtractOptions{}, entries...)
	mustExtract(t, dir, ExtractOptions{}, entries...)
	if n := strings.Count(short(t, dir), " "); n != 200*21-1 {
		t.Errorf("%d objects are left", n+1)
	}
}

// FuzzExtract: whatever the bytes, nothing happens outside of the root, and
// Extract neither panics nor hangs.
func FuzzExtract(f *testing.F) {
	f.Add(testutil.Tar(f, everyKind()[:12]...), byte(0))
	f.Add(plainLayer(f)[:8192], byte(1))
	f.Add(testutil.Tar(f, testutil.Entry{Name: "l", Link: "../outside"}, testutil.Entry{Name: "l/secret", Body: "x"}), byte(2))
	f.Add(testutil.Tar(f, testutil.Entry{Name: "a/.wh.b"}, testutil.Entry{Name: "a/b/c"}, testutil.Entry{Name: "a/.wh..wh..opq"}), byte(0))
	f.Add(testutil.Tar(f, testutil.Entry{Name: "h", Type: tar.TypeLink, Link: "../outside/secret"}), byte(3))
	for _, data := range sparseTars(f) {
		f.Add(data, byte(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, format byte) {
		g := newGuarded(t)
		limits := Limits{MaxBytes: 1 << 20, MaxEntries: 200, MaxDepth: 50}
		opts := ExtractOptions{Whiteouts: WhiteoutFormat(format % 4), Limits: limits, ApplyRoot: format&4 != 0, IgnoreChownErrors: true}
		for range 2 { // the second time over what the first has made
			_, err := Extract(t.Context(), g.dir, bytes.NewReader(fixSums(data)), opts)
			if err != nil && err.Error() == "" {
				t.Error("error without a text")
			}
		}
		g.check(t)
	})
}
