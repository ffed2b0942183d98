package archive_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
)

func overlayChanges(t testing.TB, upper string, lowers []string, format archive.WhiteoutFormat) []string {
	t.Helper()
	changes, err := archive.OverlayChanges(context.Background(), upper, lowers, format, archive.CompareOptions{})
	if err != nil {
		t.Fatalf("overlay changes: %v", err)
	}
	return lines(changes)
}

// TestOverlayChangesByHand has layers with marks as unpacking or other programs
// make them, and asks the kernel for the truth.
func TestOverlayChangesByHand(t *testing.T) {
	testutil.RequireRoot(t)
	opaque := func(path string) step { return setXattr(path, "trusted.overlay.opaque", "y") }
	fileMarks := func(path string) step { return setXattr(path, "trusted.overlay.opaque", "x") }
	fileWhiteout := func(path string) step { return setXattr(path, "trusted.overlay.whiteout", "") }
	tree := []step{mkdir("/d", 0o755), file("/d/a", "a"), file("/d/b", "b"), mkdir("/d/s", 0o755), file("/d/s/x", "x"), file("/f", "f")}
	tests := []struct {
		name   string
		layers [][]step // base first, the last is the upper directory
		want   []string
	}{
		{"whiteout of nothing", [][]step{tree, {whiteout("/nothing"), mkdir("/d", 0o755), whiteout("/d/nothing"), touch("/d", 1_700_000_000, 123_456_789)}}, nil},
		{"whiteout of what is whited out", [][]step{tree, {whiteout("/f"), whiteout("/d")}, {whiteout("/f"), mkdir("/d", 0o755), whiteout("/d/a")}}, []string{`Add "/d"`}},
		{"whiteout in an opaque directory", [][]step{tree, {mkdir("/d", 0o755), opaque("/d"), whiteout("/d/a")}}, []string{`Modify "/d"`, `Delete "/d/a"`, `Delete "/d/b"`, `Delete "/d/s"`}},
		{"opaque directory in the middle", [][]step{tree, {mkdir("/d", 0o755), opaque("/d"), file("/d/c", "c")}, {mkdir("/d", 0o755), opaque("/d"), whiteout("/d/a")}}, []string{`Modify "/d"`, `Delete "/d/c"`}},
		{"opaque directory below an opaque one", [][]step{tree, {mkdir("/d", 0o755), opaque("/d"), mkdir("/d/s", 0o755), opaque("/d/s"), file("/d/s/y", "y")}},
			[]string{`Modify "/d"`, `Delete "/d/a"`, `Delete "/d/b"`, `Modify "/d/s"`, `Delete "/d/s/x"`, `Add "/d/s/y"`}},
		{"opaque over a merged directory", [][]step{tree, {mkdir("/d", 0o755), whiteout("/d/b"), file("/d/m", "m")}, {mkdir("/d", 0o755), opaque("/d"), file("/d/m", "m2")}},
			[]string{`Modify "/d"`, `Delete "/d/a"`, `Modify "/d/m"`, `Delete "/d/s"`}},
		{"file between directories", [][]step{tree, {file("/d", "file")}, {mkdir("/d", 0o755), file("/d/a", "new")}}, []string{`Modify "/d"`, `Add "/d/a"`}},
		{"directory over a file over a directory, opaque", [][]step{tree, {file("/d", "file")}, {mkdir("/d", 0o755), opaque("/d")}}, []string{`Modify "/d"`}},
		{"whiteout in a directory over a directory over a file over a directory", [][]step{tree, {file("/d", "file")}, {mkdir("/d", 0o755), file("/d/c", "c")}, {mkdir("/d", 0o755), whiteout("/d/a")}}, []string{`Modify "/d"`}},
		{"directory over a whiteout over a directory", [][]step{tree, {whiteout("/d")}, {mkdir("/d", 0o755), file("/d/a", "new")}}, []string{`Add "/d"`, `Add "/d/a"`}},
		{"directory below a whited out parent", [][]step{tree, {whiteout("/d")}, {mkdir("/d", 0o755), mkdir("/d/s", 0o755), opaque("/d/s")}}, []string{`Add "/d"`, `Add "/d/s"`}},
		{"opaque root", [][]step{tree, {opaque("/"), file("/g", "g")}, {opaque("/"), file("/h", "h"), whiteout("/f")}}, []string{`Delete "/f"`, `Add "/h"`}},
		{"whiteouts by attribute below", [][]step{tree, {fileMarks("/"), mkdir("/d", 0o755), fileMarks("/d"), file("/d/a", ""), fileWhiteout("/d/a"), file("/f", ""), fileWhiteout("/f")},
			{mkdir("/d", 0o755), file("/d/a", "again"), file("/f", "again"), whiteout("/d/b")}},
			[]string{`Modify "/d"`, `Add "/d/a"`, `Delete "/d/b"`, `Add "/f"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var dirs []string
			for i, steps := range tt.layers {
				dir := subdir(t, tempDir(t), "layer")
				run(t, dir, i, steps)
				dirs = append([]string{dir}, dirs...)
			}
			same(t, "changes", overlayChanges(t, dirs[0], dirs[1:], archive.WhiteoutTrusted), append([]string{}, tt.want...))
			now := mount(t, dirs[1:], dirs[0], "") // as upper directory, which is what it is
			same(t, "changes of the mounted trees", compare(t, now, merged(t, dirs[1:], ""), archive.CompareOptions{}), append([]string{}, tt.want...))
		})
	}
}

// fuse mounts with fuse-overlayfs until the test ends.
func fuse(t testing.TB, lowers []string, upper string) string {
	t.Helper()
	prog := testutil.RequireProgram(t, "fuse-overlayfs")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("needs /dev/fuse")
	}
	dir := tempDir(t)
	target := subdir(t, dir, "merged")
	out, err := exec.Command(prog, "-o", lowerData(lowers)+",upperdir="+upper+",workdir="+subdir(t, dir, "work"), target).CombinedOutput()
	if err != nil {
		t.Fatalf("fuse-overlayfs: %v: %s", err, out)
	}
	t.Cleanup(func() { check(t, unix.Unmount(target, unix.MNT_DETACH)) })
	return target
}

func TestOverlayChangesOfFuseOverlayfs(t *testing.T) {
	testutil.RequireRoot(t)
	tree := []step{mkdir("/d", 0o755), file("/d/a", "a"), file("/d/b", "b"), mkdir("/opq", 0o755), file("/opq/old", "o"), file("/f", "f"), mkdir("/e", 0o755), file("/e/x", "x")}
	byHand := []step{ // as unpacking leaves it
		file("/.wh.f", ""), mkdir("/d", 0o755), file("/d/.wh.b", ""), mkdir("/e", 0o755), file("/e/.wh..wh..opq", ""), file("/e/.wh.x", ""), file("/e/y", "y"), file("/.wh.both", ""), file("/both", ""),
	}
	inside := []step{ // by fuse-overlayfs itself
		remove("/opq"), mkdir("/opq", 0o755), file("/opq/z", "z"), remove("/d/a"), file("/f", "again"), mkdir("/new", 0o755), file("/new/n", "n"), file("/e/x", "x again"), remove("/e/y"),
	}
	dir := tempDir(t)
	lower, middle, upper := subdir(t, dir, "lower"), subdir(t, dir, "middle"), subdir(t, dir, "upper")
	run(t, lower, 0, tree)
	run(t, middle, 1, byHand)
	want := []string{`Modify "/d"`, `Delete "/d/b"`, `Modify "/e"`, `Delete "/e/x"`, `Add "/e/y"`, `Delete "/f"`}
	same(t, "changes by hand", overlayChanges(t, middle, []string{lower}, archive.WhiteoutLiteral), want)

	target := fuse(t, []string{middle, lower}, upper)
	run(t, target, 2, inside)
	want = []string{
		`Modify "/d"`, `Delete "/d/a"`, `Modify "/e"`, `Add "/e/x"`, `Delete "/e/y"`, `Add "/f"`, `Add "/new"`, `Add "/new/n"`,
		`Modify "/opq"`, `Delete "/opq/old"`, `Add "/opq/z"`,
	}
	same(t, "changes", overlayChanges(t, upper, []string{middle, lower}, archive.WhiteoutLiteral), want)
	below := fuse(t, []string{middle, lower}, subdir(t, dir, "nothing"))
	same(t, "changes of the mounted trees", compare(t, target, below, archive.CompareOptions{}), want)

	mounted := naive(t, target, below, archive.WhiteoutNone)
	changes, err := archive.OverlayChanges(context.Background(), upper, []string{middle, lower}, archive.WhiteoutLiteral, archive.CompareOptions{})
	check(t, err)
	direct := newDiff(t, upper, changes, archive.WhiteoutLiteral)
	same(t, "entries", headers(t, direct.tar), headers(t, mounted.tar))
}

func TestOpaqueRootOfFuseOverlayfs(t *testing.T) {
	testutil.RequireRoot(t)
	lower := build(t, file("/f", "f"))
	upper := build(t, file("/.wh..wh..opq", ""), file("/g", "g"))
	want := []string{`Delete "/f"`, `Add "/g"`}
	same(t, "changes", overlayChanges(t, upper, []string{lower}, archive.WhiteoutLiteral), want)
	same(t, "changes of the mounted trees", compare(t, fuse(t, []string{lower}, upper), lower, archive.CompareOptions{}), want)
}

func TestOverlayChangesErrors(t *testing.T) {
	ctx, dir := context.Background(), tempDir(t)
	absent := filepath.Join(dir, "absent")
	if _, err := archive.OverlayChanges(ctx, dir, nil, archive.WhiteoutNone, archive.CompareOptions{}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("complete tree: %v", err)
	}
	if _, err := archive.OverlayChanges(ctx, dir, []string{absent}, archive.WhiteoutUser, archive.CompareOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent lower: %v", err)
	}
	if _, err := archive.OverlayChanges(ctx, absent, nil, archive.WhiteoutUser, archive.CompareOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent upper: %v", err)
	}
	check(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o644))
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := archive.OverlayChanges(ctx, dir, nil, archive.WhiteoutUser, archive.CompareOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
