package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
)

var (
	whole = time.Unix(1600000000, 0)
	nano  = time.Unix(1600000001, 987654321)
	// capNet is cap_net_raw, effective, as a first-generation header has it.
	capNet = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

// extractInto unpacks entries over what is in dir.
func extractInto(t testing.TB, dir string, opts ExtractOptions, entries ...testutil.Entry) error {
	t.Helper()
	_, err := Extract(context.Background(), dir, bytes.NewReader(testutil.Tar(t, entries...)), opts)
	return err
}

func mustExtract(t testing.TB, dir string, opts ExtractOptions, entries ...testutil.Entry) {
	t.Helper()
	if err := extractInto(t, dir, opts, entries...); err != nil {
		t.Fatal(err)
	}
}

// everyKind has all that a layer can hold, with entries for all directories.
func everyKind() []testutil.Entry {
	deep := strings.TrimSuffix(strings.Repeat("d/", 300), "/")
	entries := []testutil.Entry{
		{Name: "etc/", Mtime: nano, Mode: 0o750, UID: 10, GID: 20, Xattrs: map[string]string{"user.dir": "yes", "trusted.dir": "t"}},
		{Name: "etc/file", Body: "text\n", Mtime: nano, Mode: 0o640, UID: 1, GID: 2},
		{Name: "etc/empty", Mtime: whole, Mode: 0o600},
		{Name: "etc/no-rights", Mtime: whole, Body: "x", Type: tar.TypeReg, Mode: 0o1000},
		{Name: "etc/suid", Body: "s", Mode: 0o4755, UID: 5, GID: 6, Mtime: whole},
		{Name: "etc/sgid", Body: "s", Mode: 0o2755, UID: 5, GID: 6, Mtime: whole},
		{Name: "etc/caps", Body: "c", Mode: 0o755, UID: 5, GID: 6, Mtime: whole, Xattrs: map[string]string{"security.capability": capNet, "user.empty": ""}},
		{Name: "etc/caps2", Type: tar.TypeLink, Link: "etc/caps", Mode: 0o755, UID: 5, GID: 6, Mtime: whole},
		{Name: "etc/big", Body: strings.Repeat("0123456789abcdef", 30000), Mode: 0o4711, UID: 9, Mtime: nano},
		{Name: "etc/link", Link: "/nowhere/at/all", UID: 7, GID: 8, Mtime: nano},
		{Name: "etc/link2", Type: tar.TypeLink, Link: "etc/link", UID: 7, GID: 8, Mtime: nano, Mode: 0o777},
		{Name: "etc/long-target", Link: strings.Repeat("t/", 500), Mtime: whole},
		{Name: "etc/fifo", Type: tar.TypeFifo, Mode: 0o620, UID: 3, Mtime: nano},
		{Name: "etc/null", Type: tar.TypeChar, Major: 1, Minor: 3, Mode: 0o666, Mtime: whole},
		{Name: "etc/disk", Type: tar.TypeBlock, Major: 259, Minor: 70000, Mode: 0o660, GID: 6, Mtime: whole},
		{Name: "etc/\xfe\xff\x01", Type: tar.TypeReg, Body: "bytes", Mtime: whole},
		{Name: "etc/" + strings.Repeat("n", 255), Body: "long", Mtime: whole},
		{Name: "etc/old", Body: "before 1970", Mtime: time.Unix(-12345, 500)},
		{Name: "closed/", Mode: 0o040, Mtime: whole, UID: 11},
		{Name: "closed/inside", Body: "in", Mtime: whole},
		{Name: "sticky/", Mode: 0o3777, GID: 50, Mtime: whole},
		{Name: "sticky/file", Body: "own group", GID: 51, Mtime: whole},
		{Name: "sticky/dir/", Mode: 0o755, GID: 52, Mtime: whole},
	}
	for i := 1; i <= 300; i++ {
		entries = append(entries, testutil.Entry{Name: deep[:2*i-1] + "/", Mtime: whole})
	}
	return append(entries, testutil.Entry{Name: deep + "/bottom", Body: "deep", Mtime: nano})
}

func TestExtractIsWhatTarMakes(t *testing.T) {
	testutil.RequireRoot(t)
	program := testutil.RequireProgram(t, "tar")
	data := testutil.Tar(t, everyKind()...)
	want, got := t.TempDir(), t.TempDir()
	cmd := exec.Command(program, "-C", want, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", "-")
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	size, err := Extract(t.Context(), got, bytes.NewReader(data), ExtractOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testutil.Tree(t, want, testutil.IgnoreRoot), testutil.Tree(t, got, testutil.IgnoreRoot)); diff != "" {
		t.Errorf("trees (-tar +strata):\n%s", diff)
	}
	var regular int64
	for _, e := range everyKind() {
		regular += int64(len(e.Body))
	}
	if size != regular {
		t.Errorf("size = %d, want %d", size, regular)
	}
}

// The number of workers changes nothing, and neither does the umask.
func TestExtractIsStable(t *testing.T) {
	testutil.RequireRoot(t)
	var want []string
	for _, workers := range []int{1, 2, 7} {
		dir := t.TempDir()
		old := unix.Umask(0o027 * (workers % 2))
		err := extractInto(t, dir, ExtractOptions{Workers: workers}, everyKind()...)
		unix.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		got := testutil.Tree(t, dir, testutil.IgnoreRoot)
		if want == nil {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d workers (-1 +%d):\n%s", workers, workers, diff)
		}
	}
}

// An ingested layer's tree gives the content for its tar again.
func TestIngestExtractAssemble(t *testing.T) {
	testutil.RequireRoot(t)
	tars := map[string][]byte{"every kind": testutil.Tar(t, everyKind()...), "plain": plainLayer(t), "many": manyFiles(t, 100)}
	for name, data := range sparseTars(t) {
		tars["sparse "+name] = data
	}
	for name, data := range tars {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var lines, got bytes.Buffer
			_, err := Ingest(t.Context(), bytes.NewReader(packedWith(t, Gzip, data)), IngestOptions{Split: &lines},
				func(ctx context.Context, diff io.Reader) error {
					_, err := Extract(ctx, dir, diff, ExtractOptions{Whiteouts: WhiteoutTrusted})
					return err
				})
			if err != nil {
				t.Fatal(err)
			}
			files, err := OpenFiles(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer files.Close()
			if err := Assemble(t.Context(), &got, &lines, files); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), data) {
				t.Error("assembled tar differs")
			}
		})
	}
}

func TestExtractSparse(t *testing.T) {
	for name, data := range sparseTars(t) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := Extract(t.Context(), dir, bytes.NewReader(data), ExtractOptions{IgnoreChownErrors: true}); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(dir, "d/sparse"))
			if err != nil || !bytes.Equal(got, sparseContent()) {
				t.Errorf("content differs, error %v", err)
			}
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(dir, "d/sparse"), &st); err != nil || st.Blocks*512 > sparseSize/10 {
				t.Errorf("%d bytes on disk, error %v: not sparse", st.Blocks*512, err)
			}
		})
	}
}

// base is the lower tree of the tests that unpack over something.
func base(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mustExtract(t, dir, ExtractOptions{},
		testutil.Entry{Name: "dir/", Mtime: whole, Mode: 0o700, Xattrs: map[string]string{"user.old": "1", "user.both": "1"}},
		testutil.Entry{Name: "dir/a", Body: "lower a", Mtime: whole},
		testutil.Entry{Name: "dir/sub/", Mtime: whole}, testutil.Entry{Name: "dir/sub/b", Body: "lower b", Mtime: whole},
		testutil.Entry{Name: "dir/sub/deep/", Mtime: whole}, testutil.Entry{Name: "dir/sub/deep/c", Body: "lower c", Mtime: whole},
		testutil.Entry{Name: "file", Body: "lower file", Mtime: whole}, testutil.Entry{Name: "link", Link: "dir", Mtime: whole},
	)
	return dir
}

// short is a tree as names with a mark for the type.
func short(t testing.TB, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if rel == "." {
			return err
		}
		mark := map[fs.FileMode]string{fs.ModeDir: "/", fs.ModeSymlink: "@", fs.ModeDevice | fs.ModeCharDevice: "%"}[e.Type()]
		var buf [1]byte
		if n, _ := unix.Getxattr(path, opaqueTrusted, buf[:]); n == 1 && buf[0] == 'y' {
			mark += "!"
		}
		names = append(names, rel+mark)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// What a layer does to a complete tree (vfs), and what it leaves in an empty
// upper directory (overlay): % is a whiteout, ! an opaque directory.
func TestExtractOver(t *testing.T) {
	testutil.RequireRoot(t)
	const unchanged = "dir/ dir/a dir/sub/ dir/sub/b dir/sub/deep/ dir/sub/deep/c file link@"
	f := func(name string) testutil.Entry { return testutil.Entry{Name: name, Body: "new", Mtime: nano} }
	d := func(name string) testutil.Entry { return testutil.Entry{Name: name + "/", Mtime: nano} }
	tests := []struct {
		name         string
		entries      []testutil.Entry
		vfs, overlay string
	}{
		{"nothing", nil, unchanged, ""},
		{"file over file", []testutil.Entry{f("file")}, unchanged, "file"},
		{"file over directory", []testutil.Entry{f("dir")}, "dir file link@", "dir"},
		{"file over link", []testutil.Entry{f("link")}, strings.TrimSuffix(unchanged, "@"), "link"},
		{"directory over file", []testutil.Entry{d("file"), f("file/x")}, "dir/ dir/a dir/sub/ dir/sub/b dir/sub/deep/ dir/sub/deep/c file/ file/x link@", "file/ file/x"},
		{"directory over link", []testutil.Entry{d("link")}, strings.TrimSuffix(unchanged, "@") + "/", "link/"},
		{"directory over directory", []testutil.Entry{d("dir"), f("dir/new")}, strings.Replace(unchanged, "dir/a", "dir/a dir/new", 1), "dir/ dir/new"},
		{"parent over link", []testutil.Entry{f("link/x")}, strings.TrimSuffix(unchanged, "@") + "/ link/x", "link/ link/x"},
		{"missing parents", []testutil.Entry{f("x/y/z")}, unchanged + " x/ x/y/ x/y/z", "x/ x/y/ x/y/z"},
		{"whiteout of file", []testutil.Entry{f("dir/.wh.a")}, strings.Replace(unchanged, "dir/a ", "", 1), "dir/ dir/a%"},
		{"whiteout of directory", []testutil.Entry{f(".wh.dir")}, "file link@", "dir%"},
		{"whiteout of nothing", []testutil.Entry{f(".wh.none")}, unchanged, "none%"},
		{"whiteout then file", []testutil.Entry{f(".wh.dir"), f("dir")}, "dir file link@", "dir"},
		{"whiteout then directory", []testutil.Entry{f(".wh.dir"), d("dir"), f("dir/x")}, "dir/ dir/x file link@", "dir/! dir/x"},
		{"whiteout then parent", []testutil.Entry{f(".wh.dir"), f("dir/x")}, "dir/ dir/x file link@", "dir/! dir/x"},
		{"file then whiteout", []testutil.Entry{f("file"), f(".wh.file")}, unchanged, "file"},
		{"directory then whiteout", []testutil.Entry{d("dir"), f("dir/x"), f(".wh.dir"), f("dir/y")}, "dir/ dir/x dir/y file link@", "dir/! dir/x dir/y"},
		{"whiteout inside whiteout", []testutil.Entry{f(".wh.dir"), f("dir/.wh.a"), f("dir/sub/.wh..wh..opq")}, "file link@", "dir%"},
		{"opaque first", []testutil.Entry{d("dir"), f("dir/.wh..wh..opq"), f("dir/x"), f("dir/sub/y")}, "dir/ dir/sub/ dir/sub/y dir/x file link@", "dir/! dir/sub/ dir/sub/y dir/x"},
		{"opaque last", []testutil.Entry{d("dir"), f("dir/a"), d("dir/sub"), f("dir/sub/y"), f("dir/.wh..wh..opq")}, "dir/ dir/a dir/sub/ dir/sub/y file link@", "dir/! dir/a dir/sub/ dir/sub/y"},
		{"opaque without directory", []testutil.Entry{f("dir/.wh..wh..opq")}, "dir/ file link@", "dir/!"},
		{"opaque twice", []testutil.Entry{f("dir/sub/.wh..wh..opq"), f("dir/.wh..wh..opq"), f("dir/sub/deep/.wh..wh..opq")}, "dir/ dir/sub/ dir/sub/deep/ file link@", "dir/! dir/sub/! dir/sub/deep/!"},
		{"opaque root", []testutil.Entry{f(".wh..wh..opq"), f("x")}, "x", "x"},
		{"aufs", []testutil.Entry{f(".wh..wh.aufs"), d(".wh..wh.orph"), d(".wh..wh.plnk"), f(".wh..wh.plnk/1.2"), {Name: "hard", Type: tar.TypeLink, Link: ".wh..wh.plnk/1.2", Mode: 0o644, Mtime: nano}, f("dir/.wh..wh.x")}, strings.Replace(unchanged, "file", "file hard", 1), "hard"},
		{"hard link to lower file", []testutil.Entry{{Name: "hard", Type: tar.TypeLink, Link: "file", Mode: 0o644, Mtime: whole}}, strings.Replace(unchanged, "file", "file hard", 1), "error"},
		{"leading slash", []testutil.Entry{f("/x"), f("./y"), f("//z")}, unchanged + " x y z", "x y z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := outcome(t, base(t), ExtractOptions{}, tt.entries); got != tt.vfs {
				t.Errorf("vfs:\n got %s\nwant %s", got, tt.vfs)
			}
			if got := outcome(t, t.TempDir(), ExtractOptions{Whiteouts: WhiteoutTrusted}, tt.entries); got != tt.overlay {
				t.Errorf("overlay:\n got %s\nwant %s", got, tt.overlay)
			}
		})
	}
}

func outcome(t *testing.T, dir string, opts ExtractOptions, entries []testutil.Entry) string {
	t.Helper()
	if err := extractInto(t, dir, opts, entries...); err != nil {
		return "error"
	}
	return short(t, dir)
}

func line(t *testing.T, dir, name string) string {
	t.Helper()
	for _, l := range testutil.Tree(t, dir) {
		if strings.HasPrefix(l, `"`+name+`" `) {
			return l
		}
	}
	return ""
}

// Directories that are not in the tar keep their times, others get the entry's
// attributes and lose what it does not have.
func TestExtractDirectories(t *testing.T) {
	testutil.RequireRoot(t)
	dir := base(t)
	before := line(t, dir, "dir/sub")
	rootBefore := line(t, dir, ".")
	mustExtract(t, dir, ExtractOptions{},
		testutil.Entry{Name: "dir/sub/.wh.b", Mtime: nano}, testutil.Entry{Name: "dir/sub/new", Mtime: nano},
		testutil.Entry{Name: "dir/", Mode: 0o755, UID: 4, Mtime: nano, Xattrs: map[string]string{"user.both": "2"}},
		testutil.Entry{Name: "made/of/need", Mtime: nano})
	if got := line(t, dir, "dir/sub"); got != before {
		t.Errorf("untouched directory was\n%s, is\n%s", before, got)
	}
	if got := line(t, dir, "."); got != rootBefore {
		t.Errorf("root was\n%s, is\n%s", rootBefore, got)
	}
	if got := line(t, dir, "dir"); !strings.Contains(got, "0755 4:0") || strings.Contains(got, "user.old") || !strings.Contains(got, "user.both") {
		t.Errorf("directory of an entry: %s", got)
	}
	for _, name := range []string{"made", "made/of"} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, name), &st); err != nil || st.Mtim.Nsec != 987654321 || st.Mode&0o7777 != 0o755 {
			t.Errorf("%s: %v %+v", name, err, st)
		}
	}
}

// A default ACL is for what is made later, not for what the layer brings.
func TestExtractDefaultACL(t *testing.T) {
	testutil.RequireRoot(t)
	// Version 2; user::rwx, user:1000:rwx, group::r-x, mask::rwx, other::r-x.
	acl := "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\xe8\x03\x00\x00" +
		"\x04\x00\x05\x00\xff\xff\xff\xff" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x05\x00\xff\xff\xff\xff"
	dir := t.TempDir()
	mustExtract(t, dir, ExtractOptions{},
		testutil.Entry{Name: "d/", Mtime: whole, Xattrs: map[string]string{aclDefault: acl}},
		testutil.Entry{Name: "d/file", Body: "x", Mode: 0o640, Mtime: whole}, testutil.Entry{Name: "d/sub/", Mtime: whole})
	if got := line(t, dir, "d"); !strings.Contains(got, aclDefault) {
		t.Errorf("no default ACL: %s", got)
	}
	for _, name := range []string{"d/file", "d/sub"} {
		if got := line(t, dir, name); strings.Contains(got, "acl") {
			t.Errorf("inherited: %s", got)
		}
	}
}

// Wherever a tar is cut, the error says so and names no kind but ErrCorrupt.
func TestExtractTruncated(t *testing.T) {
	testutil.RequireRoot(t)
	small := slices.DeleteFunc(everyKind(), func(e testutil.Entry) bool { return len(e.Body) > 1000 || strings.Count(e.Name, "/") > 10 })
	data := testutil.Tar(t, small...)
	ends := entryEnds(t, data)
	for n := 0; n <= len(data)-1024; n += 256 {
		_, err := Extract(t.Context(), t.TempDir(), bytes.NewReader(data[:n]), ExtractOptions{})
		switch {
		case slices.Contains(ends, n) && err != nil:
			t.Errorf("cut at %d, between entries: %v", n, err)
		case err != nil && (!errors.Is(err, errdefs.ErrCorrupt) || !namesCut(err)):
			t.Errorf("cut at %d: error = %v", n, err)
		case err == nil && !slices.Contains(ends, n) && !inPadding(t, data, n):
			t.Errorf("cut at %d: no error", n)
		}
	}
}

func TestExtractCancelled(t *testing.T) {
	noLeak(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Extract(ctx, t.TempDir(), bytes.NewReader(plainLayer(t)), ExtractOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}

// A full disk is named, with the entry, wherever it is noticed.
func TestExtractNoSpace(t *testing.T) {
	testutil.RequireRoot(t)
	noLeak(t)
	small := strings.Repeat("x", 60000)
	for name, entries := range map[string][]testutil.Entry{
		"small files": {{Name: "a/1", Body: small}, {Name: "a/2", Body: small}, {Name: "a/3", Body: small}, {Name: "a/4", Body: small}, {Name: "a/5", Body: small}},
		"large file":  {{Name: "a/large", Body: strings.Repeat(small, 10)}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=200k"); err != nil {
				t.Skip("no mounts here:", err)
			}
			defer unix.Unmount(dir, unix.MNT_DETACH)
			err := extractInto(t, dir, ExtractOptions{}, entries...)
			if !errors.Is(err, unix.ENOSPC) || !strings.HasPrefix(err.Error(), "unpack a/") || !strings.HasSuffix(err.Error(), "no space left on device") {
				t.Errorf("error = %v, want ENOSPC with the entry", err)
			}
		})
	}
}
