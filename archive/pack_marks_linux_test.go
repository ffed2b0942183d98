package archive_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

// whiteout is the kernel's mark for a deleted name.
func whiteout(path string) step { return special(path, unix.S_IFCHR, 0, 0) }

// TestPackMarks is about the form that has a layer's marks in it (on-disk
// format, 6.4 and 4.10; docker layers, A.11).
func TestPackMarks(t *testing.T) {
	testutil.RequireRoot(t)
	lower := build(t, mkdir("/below", 0o755), mkdir("/below/sub", 0o755), file("/file", ""), mkdir("/hidden", 0o755), mkdir("/deep", 0o755), mkdir("/deep/er", 0o755))
	middle := build(t, whiteout("/hidden"))
	opaque := func(path string) step { return setXattr(path, "trusted.overlay.opaque", "y") }
	userOpaque := func(path string) step { return setXattr(path, "user.overlay.opaque", "y") }
	const plain = `" 0 0000 0:0 1700000000 "" 0,0 map[] ""`
	tests := []struct {
		name   string
		format archive.WhiteoutFormat
		steps  []step
		want   []string
	}{
		{"whiteout keeps owner and time", archive.WhiteoutTrusted, []step{whiteout("/x"), chown("/x", 3, 4), touch("/x", 5, 0)},
			[]string{`".wh.x" 0 0000 3:4 5 "" 0,0 map[] ""`}},
		{"opaque directory that is below", archive.WhiteoutTrusted, []step{mkdir("/below", 0o1750), file("/below/f", ""), chown("/below", 3, 4), opaque("/below"), touch("/below", 5, 0), touch("/below/f", 5, 0)},
			[]string{`"below/" 5 1750 3:4 5 "" 0,0 map[] ""`, `"below/.wh..wh..opq" 0 0750 3:4 0 "" 0,0 map[] ""`, `"below/f" 0 0644 0:0 5 "" 0,0 map[] ""`}},
		{"opaque directory over a file", archive.WhiteoutTrusted, []step{mkdir("/file", 0o755), opaque("/file"), touch("/file", 5, 0)},
			[]string{`"file/" 5 0755 0:0 5 "" 0,0 map[] ""`, `"file/.wh..wh..opq" 0 0755 0:0 0 "" 0,0 map[] ""`}},
		{"opaque directory that is new", archive.WhiteoutTrusted, []step{mkdir("/new", 0o755), opaque("/new"), touch("/new", 5, 0)},
			[]string{`"new/" 5 0755 0:0 5 "" 0,0 map[] ""`}},
		{"opaque directory that a nearer layer deleted", archive.WhiteoutTrusted, []step{mkdir("/hidden", 0o755), opaque("/hidden"), touch("/hidden", 5, 0)},
			[]string{`"hidden/" 5 0755 0:0 5 "" 0,0 map[] ""`}},
		{"opaque directory in a directory", archive.WhiteoutTrusted, []step{mkdir("/deep", 0o755), mkdir("/deep/er", 0o755), opaque("/deep/er"), touch("/deep", 5, 0), touch("/deep/er", 5, 0)},
			[]string{`"deep/" 5 0755 0:0 5 "" 0,0 map[] ""`, `"deep/er/" 5 0755 0:0 5 "" 0,0 map[] ""`, `"deep/er/.wh..wh..opq" 0 0755 0:0 0 "" 0,0 map[] ""`}},
		{"opaque for users", archive.WhiteoutUser, []step{mkdir("/below", 0o755), userOpaque("/below"), touch("/below", 5, 0)},
			[]string{`"below/" 5 0755 0:0 5 "" 0,0 map[] ""`, `"below/.wh..wh..opq" 0 0755 0:0 0 "" 0,0 map[] ""`}},
		{"a user's mark in a privileged overlay is none, and not exported", archive.WhiteoutTrusted, []step{mkdir("/below", 0o755), userOpaque("/below"), touch("/below", 5, 0)},
			[]string{`"below/" 5 0755 0:0 5 "" 0,0 map[] ""`}},
		{"whiteout by attribute", archive.WhiteoutTrusted, []step{mkdir("/below", 0o755), setXattr("/below", "trusted.overlay.opaque", "x"), file("/below/sub", ""), setXattr("/below/sub", "trusted.overlay.whiteout", ""),
			file("/below/real", ""), touch("/below", 5, 0), touch("/below/real", 5, 0)},
			[]string{`"below/" 5 0755 0:0 5 "" 0,0 map[] ""`, `"below/real" 0 0644 0:0 5 "" 0,0 map[] ""`, `"below/.wh.sub` + plain}},
		{"private names of AUFS", archive.WhiteoutTrusted, []step{whiteout("/.wh.aufs"), mkdir("/.wh..wh.plnk", 0o755), file("/.wh..wh.plnk/1", "")}, nil},
		{"fuse-overlayfs", archive.WhiteoutLiteral, []step{file("/.wh.x", ""), mkdir("/below", 0o755), file("/below/.wh..wh..opq", ""), whiteout("/below/.wh..opq"), file("/below/f", ""), whiteout("/below/g"), touch("/below", 5, 0)},
			[]string{`".wh.x` + plain, `"below/" 5 0755 0:0 5 "" 0,0 map[] ""`, `"below/.wh..wh..opq" 0 0755 0:0 0 "" 0,0 map[] ""`,
				`"below/f" 0 0644 0:0 1700000000 "" 0,0 map[] ""`, `"below/.wh.g` + plain}},
		{"fuse-overlayfs by attribute", archive.WhiteoutLiteral, []step{mkdir("/below", 0o755), setXattr("/below", "user.fuseoverlayfs.opaque", "y"), touch("/below", 5, 0)},
			[]string{`"below/" 5 0755 0:0 5 "" 0,0 map[] ""`, `"below/.wh..wh..opq" 0 0755 0:0 0 "" 0,0 map[] ""`}},
		{"fuse-overlayfs hides a file beside its whiteout", archive.WhiteoutLiteral, []step{file("/.wh.x", ""), file("/x", "")}, []string{`".wh.x` + plain}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data, _ := pack(t, build(t, tt.steps...), archive.PackOptions{Whiteouts: tt.format, Lowers: []string{middle, lower}})
			same(t, "entries", headers(t, data), tt.want)
		})
	}
}

func TestPackMarksOfNobody(t *testing.T) {
	testutil.RequireRoot(t)
	r := []idmap.Range{{ContainerID: 0, HostID: 100_000, Size: 10}}
	opts := archive.PackOptions{Whiteouts: archive.WhiteoutTrusted, Mapping: idmap.Mapping{UIDs: r, GIDs: r}}
	data, _ := pack(t, build(t, whiteout("/x"), touch("/x", 5, 0)), opts)
	same(t, "entries", headers(t, data), []string{`".wh.x" 0 0000 0:0 5 "" 0,0 map[] ""`})
}

func TestMarksThatNeedAMount(t *testing.T) {
	testutil.RequireRoot(t)
	lower := build(t, mkdir("/d", 0o755), file("/d/f", "content"))
	tests := []struct {
		name   string
		format archive.WhiteoutFormat
		steps  []step
	}{
		{"metacopy", archive.WhiteoutTrusted, []step{file("/f", ""), setXattr("/f", "trusted.overlay.metacopy", "")}},
		{"redirect", archive.WhiteoutTrusted, []step{mkdir("/e", 0o755), setXattr("/e", "trusted.overlay.redirect", "/d")}},
		{"redirect for users", archive.WhiteoutUser, []step{mkdir("/e", 0o755), setXattr("/e", "user.overlay.redirect", "/d")}},
		{"deep down in a new directory", archive.WhiteoutTrusted, []step{mkdir("/a", 0o755), mkdir("/a/b", 0o755), setXattr("/a/b", "trusted.overlay.redirect", "/d")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			upper := build(t, tt.steps...)
			_, err := archive.OverlayChanges(context.Background(), upper, []string{lower}, tt.format, archive.CompareOptions{})
			if !errors.Is(err, archive.ErrNeedsMount) || !errors.Is(err, errdefs.ErrUnsupported) {
				t.Errorf("changes: %v", err)
			}
			opts := archive.PackOptions{Whiteouts: tt.format, Lowers: []string{lower}}
			if err := archive.Pack(context.Background(), io.Discard, upper, opts); !errors.Is(err, archive.ErrNeedsMount) {
				t.Errorf("pack: %v", err)
			}
		})
	}
}

// A lower directory that was renamed shows another directory's content.
func TestRedirectBelowNeedsAMount(t *testing.T) {
	testutil.RequireRoot(t)
	lowest := build(t, mkdir("/d", 0o755), file("/d/f", "content"))
	lower := build(t, mkdir("/e", 0o755), setXattr("/e", "trusted.overlay.redirect", "/d"))
	upper := build(t, mkdir("/e", 0o755), whiteout("/e/f"))
	_, err := archive.OverlayChanges(context.Background(), upper, []string{lower, lowest}, archive.WhiteoutTrusted, archive.CompareOptions{})
	if !errors.Is(err, archive.ErrNeedsMount) {
		t.Errorf("error is %v", err)
	}
}

// A lower file of which there are only the attributes can not be compared with.
func TestMetacopyBelowNeedsAMount(t *testing.T) {
	testutil.RequireRoot(t)
	lower := build(t, file("/f", "content"), setXattr("/f", "trusted.overlay.metacopy", ""))
	upper := build(t, file("/f", "CONTENT"))
	_, err := archive.OverlayChanges(context.Background(), upper, []string{lower}, archive.WhiteoutTrusted, archive.CompareOptions{})
	if !errors.Is(err, archive.ErrNeedsMount) {
		t.Errorf("error is %v", err)
	}
}

// The kernel writes metacopy and redirects only when it is asked to.
func TestKernelsMetacopyIsSeen(t *testing.T) {
	testutil.RequireRoot(t)
	lower := build(t, file("/f", "content"), mkdir("/d", 0o755))
	for name, s := range map[string]step{"metacopy": chmod("/f", 0o600), "redirect": rename("/d", "/e")} {
		t.Run(name, func(t *testing.T) {
			upper := subdir(t, tempDir(t), "upper")
			target := mount(t, []string{lower}, upper, ",metacopy=on,redirect_dir=on")
			check(t, s.do(target))
			check(t, testutil.Unmount(target))
			_, err := archive.OverlayChanges(context.Background(), upper, []string{lower}, archive.WhiteoutTrusted, archive.CompareOptions{})
			if !errors.Is(err, archive.ErrNeedsMount) {
				t.Errorf("error is %v", err)
			}
		})
	}
}
