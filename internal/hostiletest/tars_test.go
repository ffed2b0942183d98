package hostiletest

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

type entries = []testutil.Entry

func link(name, target string) testutil.Entry { return testutil.Entry{Name: name, Link: target} }

func hard(name, target string) testutil.Entry {
	return testutil.Entry{Name: name, Type: tar.TypeLink, Link: target, Mode: 0o644}
}

func file(name string) testutil.Entry {
	return testutil.Entry{Name: name, Body: "hostile", Mode: 0o666}
}

// escape is a tar that tries to get out of its layer, or to smuggle something in.
type escape struct {
	name    string
	entries entries
	code    int    // how the command ends
	cause   string // what its error says
	paths   string // with code 0: what the layer has, besides its root
}

// escapes are the classes; OUT is a directory outside of the store.
func escapes() []escape {
	return []escape{
		{"..", entries{file("../../../outside/secret")}, exitCorrupt, "invalid", ""},
		{".. further in", entries{file("a/b/../../../../outside/secret")}, exitCorrupt, "invalid", ""},
		{"absolute name", entries{file("OUT/secret")}, 0, "", "OUT/secret"},
		{"link, then write through it", entries{link("x", "OUT"), file("x/secret")}, exitCorrupt, "invalid", ""},
		{"relative link, then write through it", entries{link("x", "../../../outside"), file("x/secret")}, exitCorrupt, "invalid", ""},
		{"link to a link, then write through it", entries{link("a", "b"), link("b", "OUT"), file("a/secret")}, exitCorrupt, "invalid", ""},
		{"link that is replaced by a directory", entries{link("x", "OUT"), {Name: "x/"}}, exitCorrupt, "twice", ""},
		{"directory that is replaced by a link", entries{{Name: "d/"}, file("d/f"), link("d", "OUT")}, exitCorrupt, "twice", ""},
		{"directory with files that a link replaces", entries{file("d/f"), link("d", "OUT"), file("d/secret")}, exitCorrupt, "invalid", ""},
		{"hard link to outside", entries{hard("x", "../../../outside/secret")}, exitCorrupt, "invalid", ""},
		{"hard link to an absolute name outside", entries{hard("x", "OUT/secret")}, exitCorrupt, "invalid", ""},
		{"hard link through a link", entries{link("l", "OUT"), hard("x", "l/secret")}, exitCorrupt, "invalid", ""},
		{"hard link to a link", entries{link("l", "OUT/secret"), hard("x", "l")}, 0, "", "l x"},
		{"hard link to a link, then write through it", entries{link("l", "OUT"), hard("x", "l"), file("x/secret")}, exitCorrupt, "invalid", ""},
		{"root as link", entries{{Name: "./", Type: tar.TypeSymlink, Link: "OUT"}, file("secret")}, exitCorrupt, "root", ""},
		{"root as file", entries{{Name: ".", Type: tar.TypeReg, Body: "x"}}, exitCorrupt, "root", ""},
		{"whiteout of ..", entries{file(".wh...")}, exitCorrupt, "invalid", ""},
		{"whiteout of .. further in", entries{{Name: "d/"}, file("d/.wh...")}, exitCorrupt, "invalid", ""},
		{"whiteout of .", entries{file(".wh..")}, exitCorrupt, "invalid", ""},
		{"whiteout of nothing", entries{file(".wh.")}, exitCorrupt, "invalid", ""},
		{"whiteout through a link", entries{link("x", "OUT"), file("x/.wh.secret")}, exitCorrupt, "invalid", ""},
		{"opaque through a link", entries{link("x", "OUT"), file("x/.wh..wh..opq")}, exitCorrupt, "invalid", ""},
		{"opaque at the root", entries{file(".wh..wh..opq"), file("f")}, 0, "", "f"},
		{"overlay's own whiteout", entries{{Name: "old", Type: tar.TypeChar}}, 0, "", "old"},
		{"FIFO", entries{{Name: "p", Type: tar.TypeFifo}}, 0, "", "p"},
		{"device node", entries{{Name: "n", Type: tar.TypeChar, Major: 1, Minor: 3}}, 0, "", "n"},
		{"overlay's own xattrs", entries{
			{Name: "d/", Xattrs: map[string]string{"trusted.overlay.redirect": "/../../outside", "trusted.overlay.opaque": "y"}},
			{Name: "e/", Xattrs: map[string]string{"user.overlay.redirect": "/../../outside", "user.overlay.opaque": "y"}},
			{Name: "f", Body: "x", Xattrs: map[string]string{"trusted.overlay.metacopy": "", "user.overlay.metacopy": "", "trusted.overlay.origin": "x"}},
		}, 0, "", "d e f"},
		{"same name twice", entries{file("f"), file("./f")}, exitCorrupt, "twice", ""},
		{"names that are not UTF-8", entries{file("\xff\xfe"), file("a\xc0\xafb")}, 0, "", "a\xc0\xafb \xff\xfe"},
		{"name with a line feed and an escape", entries{file("a\nb\x1b[31m")}, 0, "", "a\nb\x1b[31m"},
		{"name of 255 bytes", entries{file(strings.Repeat("n", 255))}, 0, "", strings.Repeat("n", 255)},
		{"name of 256 bytes", entries{file(strings.Repeat("n", 256))}, exitCorrupt, "too long", ""},
		{"path of 4,096 bytes", entries{file(longPath(4096))}, 0, "", longPath(4096)},
		{"path of 8,000 bytes", entries{file(longPath(8000))}, 0, "", longPath(8000)},
		{"link target of 4,096 bytes", entries{link("l", strings.Repeat("t", 4096))}, exitCorrupt, "too long", ""},
	}
}

// longPath is a path of n bytes in components that file systems take.
func longPath(n int) string {
	path := strings.Repeat(strings.Repeat("p", 199)+"/", n/200+1)
	return strings.TrimSuffix(path[:n-1], "/") + "q"
}

// Every escape is refused, and leaves nothing, or unpacks to what it says, no more.
func TestEscapes(t *testing.T) {
	each(t, func(t *testing.T, driver string) {
		s := newTarget(t, driver)
		base := s.must("import-layer", "-f", s.store("base.tar", testutil.Tar(t, file("old"), testutil.Entry{Name: "dir/"}, file("dir/f"))))
		for _, e := range escapes() {
			t.Run(e.name, func(t *testing.T) { s.escape(t, e, firstWord(base)) })
		}
		s.clean(1, 0)
	})
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(text, "\n")
	return strings.TrimSpace(word)
}

// store writes a file for the command to read.
func (s *target) store(name string, data []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *target) escape(t *testing.T, e escape, parent string) {
	t.Helper()
	out := filepath.Join(s.dir, "outside")
	list := make(entries, len(e.entries))
	for i, one := range e.entries {
		one.Name = strings.ReplaceAll(one.Name, "OUT", out)
		one.Link = strings.ReplaceAll(one.Link, "OUT", out)
		list[i] = one
	}
	data := testutil.Tar(t, list...)
	r := s.strata(bytes.NewReader(data), "import-layer", parent)
	if e.code != 0 {
		r.refused(t, e.code, e.cause)
		return
	}
	if r.code != 0 {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	id := firstWord(r.stdout)
	s.unpacked(t, id, strings.ReplaceAll(e.paths, "OUT", strings.TrimPrefix(out, "/")))
	// An overlay layer's tar comes back as it was; so does a vfs layer's.
	if back := s.strata(nil, "diff", id); back.code != 0 || back.stdout != strings.TrimSpace(string(data)) {
		t.Errorf("diff: exit %d, %d bytes of %d: %s", back.code, len(back.stdout), len(data), back.stderr)
	}
	if r := s.strata(nil, "delete-layer", id); r.code != 0 {
		t.Errorf("delete: exit %d: %s", r.code, r.stderr)
	}
}

// unpacked compares what the layer has on the disk, and that none of it steers
// overlayfs.
func (s *target) unpacked(t *testing.T, id, want string) {
	t.Helper()
	var got []string
	root := s.tree(id)
	var walk func(dir *os.File, rel string)
	walk = func(dir *os.File, rel string) {
		names, err := dir.Readdirnames(-1)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			path := strings.TrimPrefix(rel+"/"+name, "/")
			noSteering(t, dir, name, path)
			child, err := openDir(dir, name)
			if err != nil {
				got = append(got, path)
				continue
			}
			before := len(got)
			walk(child, path)
			if len(got) == before {
				got = append(got, path)
			}
			if err := child.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	top, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	walk(top, "")
	if s.driver == "vfs" && want == "old" {
		if contains(got, "old") {
			t.Error("the whiteout is a device")
		}
	} else {
		s.present(t, got, want)
	}
	allowed := len(fields(want))
	if s.driver == "vfs" {
		allowed += 2 // of the parent
		switch want {
		case "f":
			allowed -= 2 // the root was opaque
		case "old":
			allowed -= 2 // the file and its whiteout
		}
	}
	if len(got) != allowed {
		t.Errorf("%d objects, want %d: %.2000q", len(got), allowed, got)
	}
}

// present demands the objects of a list.
func (s *target) present(t *testing.T, got []string, want string) {
	t.Helper()
	for _, path := range fields(want) {
		if !contains(got, path) {
			t.Errorf("%q is not there: %.2000q", path, got)
		}
	}
}

// fields splits a list of names at spaces, but not at line feeds.
func fields(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ' ' })
}

func contains(list []string, want string) bool {
	for _, s := range list {
		if s == want {
			return true
		}
	}
	return false
}

// openDir opens a directory by its parent: paths may be longer than the system takes.
func openDir(parent *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(parent.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// noSteering demands that an object has no xattr that overlayfs acts upon.
func noSteering(t *testing.T, dir *os.File, name, path string) {
	t.Helper()
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return // a link, or nobody's device
	}
	defer func() { _ = unix.Close(fd) }()
	buf := make([]byte, 4096)
	n, err := unix.Flistxattr(fd, buf)
	if err != nil {
		return // a file system without
	}
	if list := string(buf[:n]); strings.Contains(list, "overlay.redirect") || strings.Contains(list, "overlay.metacopy") || strings.Contains(list, "overlay.opaque") {
		t.Errorf("%s has %q", path, list)
	}
}
