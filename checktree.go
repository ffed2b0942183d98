package strata

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/rootfd"
)

// treeHeaders collects the headers of a tar that is written to it.
type treeHeaders struct {
	*io.PipeWriter
	done    chan struct{}
	headers []*tar.Header
	err     error
}

func readHeaders() *treeHeaders {
	r, w := io.Pipe()
	t := &treeHeaders{PipeWriter: w, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		t.err = t.collect(r)
		// Whoever writes must not wait for a reader that gave up.
		_, _ = io.Copy(io.Discard, r) // only the writer's own error
	}()
	return t
}

func (t *treeHeaders) collect(r io.Reader) error {
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		t.headers = append(t.headers, h)
	}
}

// finish ends the tar. The headers are nil when the tar, or this reader, failed: a
// tree is compared with a whole tar or not at all.
func (t *treeHeaders) finish(err error) []*tar.Header {
	if t == nil {
		return nil
	}
	_ = t.CloseWithError(err) // never fails
	<-t.done
	if err != nil || t.err != nil {
		return nil
	}
	return t.headers
}

// compareTree compares the layer's files with the headers of its tar. Layers with
// shifted owners and in the form of mount programs are left out: what their files
// should be like is not in the tar. So are times, which do no harm.
func (v *layerVerifier) compareTree(ctx context.Context, headers []*tar.Header) []Finding {
	if headers == nil || len(v.layer.UIDMap) > 0 || len(v.layer.GIDMap) > 0 || len(v.place.copies) > 0 || v.store.foreignForm(v.place) {
		return nil
	}
	t := &treeCheck{layerVerifier: v, want: map[string]*tar.Header{}, parents: map[string]bool{}, gone: map[string]bool{}, opaque: map[string]bool{}}
	if v.store.driver.name == vfsDriver && v.layer.Parent != "" {
		below, err := v.store.place(v.layer.Parent)
		if err != nil {
			return nil // reported about the parent
		}
		t.below = below.diff
	}
	t.expect(headers)
	root, err := rootfd.Open(v.place.diff, rootfd.Options{Cache: 64})
	if err != nil {
		return []Finding{layerFinding(v.layer, ProblemUnreadable, RepairNone, "%v", err)}
	}
	defer func() { _ = root.Close() }() // read only: nothing to lose
	t.root = root
	return t.run(ctx)
}

// foreignForm: whiteouts and attributes are those of a mount program (on-disk
// format, 4.8, 4.10).
func (s *Store) foreignForm(p layerPlace) bool {
	if s.driver.name != overlayDriver {
		return false
	}
	mark, err := atomicfile.Read(filepath.Join(p.home.path, ".has-mount-program"))
	if err == nil && strings.TrimSpace(string(mark)) == "true" {
		return true
	}
	_, err = unix.Lgetxattr(p.diff, "user.containers.override_stat", nil)
	return err == nil
}

// treeCheck is one comparison.
type treeCheck struct {
	*layerVerifier
	// root is the layer's tree; nothing that lies in it leads out.
	root *rootfd.Root
	// want are the entries of the tar by their clean names, parents the directories
	// that they lie in, gone the names that are whited out, opaque the directories in which
	// everything below is.
	want                  map[string]*tar.Header
	parents, gone, opaque map[string]bool
	// below is the tree that this one was copied from (vfs), or "".
	below string
	found []Finding
}

const whiteoutPrefix = ".wh."

func (t *treeCheck) expect(headers []*tar.Header) {
	for _, h := range headers {
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if name == "" {
			continue
		}
		for dir := path.Dir(name); dir != "." && !t.parents[dir]; dir = path.Dir(dir) {
			t.parents[dir] = true
		}
		base := path.Base(name)
		switch {
		case base == whiteoutOpaque:
			t.opaque[path.Dir(name)] = true
		case strings.Contains("/"+name, "/"+whiteoutPrefix+whiteoutPrefix):
			// AUFS's own, and what lies in it
		case strings.HasPrefix(base, whiteoutPrefix):
			t.gone[path.Join(path.Dir(name), strings.TrimPrefix(base, whiteoutPrefix))] = true
		case h.Typeflag == tar.TypeChar && h.Devmajor == 0 && h.Devminor == 0:
			t.gone[name] = true // overlayfs's own form of it
		default:
			t.want[name] = h
		}
	}
}

func (t *treeCheck) run(ctx context.Context) []Finding {
	for name, h := range t.want {
		if ctx.Err() != nil {
			return nil
		}
		t.entry(name, h)
	}
	t.deletions()
	err := filepath.WalkDir(t.place.diff, func(p string, e fs.DirEntry, err error) error {
		if errors.Is(err, unix.ENAMETOOLONG) || len(p) >= unix.PathMax {
			return nil // the tar's own names have been looked at; no path leads to others that deep
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(t.place.diff, p)
		if err != nil || rel == "." {
			return err
		}
		if t.extra(rel, p) {
			t.add("+", rel, "%q is not in the layer's tar", rel)
			if e.IsDir() {
				return fs.SkipDir
			}
			return ctx.Err()
		}
		t.marks(rel, p)
		return ctx.Err()
	})
	if err != nil && ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist) {
		t.found = append(t.found, layerFinding(t.layer, ProblemUnreadable, RepairNone, "%v", err))
	}
	sortByPath(t.found)
	return t.found
}

// extra reports whether nothing accounts for a name in the tree.
func (t *treeCheck) extra(name, full string) bool {
	if t.want[name] != nil || t.parents[name] || t.gone[name] && t.whiteout(full) {
		return false
	}
	if strings.Contains("/"+name, "/"+whiteoutPrefix) {
		return false // what other engines make of AUFS's own files
	}
	if t.below == "" || t.gone[name] {
		return !t.throughLink()
	}
	_, err := os.Lstat(filepath.Join(t.below, name))
	return errors.Is(err, fs.ErrNotExist) && !t.throughLink()
}

// throughLink: the tar has an entry below a symbolic link, which other engines
// follow; then nobody can say what belongs where.
func (t *treeCheck) throughLink() bool {
	for dir := range t.parents {
		if h := t.want[dir]; h != nil && h.Typeflag == tar.TypeSymlink {
			return true
		}
	}
	return false
}

func (t *treeCheck) whiteout(full string) bool {
	var st unix.Stat_t
	return unix.Lstat(full, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

func (t *treeCheck) add(change, name, format string, args ...any) {
	if len(t.found) >= maxFileFindings {
		return
	}
	f := layerFinding(t.layer, ProblemContentModified, RepairRebuild, format, args...)
	f.Change, f.Path, f.Bytes = change, name, 0
	t.found = append(t.found, f)
}
