package archive

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

// Older kernels list attributes by path only; both ways and the open file give
// the same ones.
func TestXattrsByAllWays(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("v", 2*xattrUsual)
	want := []xattr{{"user.a", "1"}, {"user.empty", ""}, {"user.long", long}}
	for _, x := range append(want, xattr{"user.overlay.x", "1"}, xattr{"trusted.x", "1"}) {
		if err := unix.Setxattr(path, x.name, []byte(x.value), 0); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := openTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closeFD(fd)
	var n node
	if err := n.lookup(fd, "f"); err != nil {
		t.Fatal(err)
	}
	open := n
	f, err := openRegular(&open)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, way := range []struct {
		name     string
		n        *node
		noListAt bool
	}{{"listxattrat", &n, false}, {"path", &n, true}, {"open file", &open, true}} {
		r := xattrReader{noListAt: way.noListAt}
		got, err := r.content(way.n)
		if err != nil {
			t.Fatalf("%s: %v", way.name, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(xattr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", way.name, diff)
		}
	}
	n.name = "absent"
	for _, noListAt := range []bool{false, true} {
		if _, err := (&xattrReader{noListAt: noListAt}).content(&n); !gone(err) {
			t.Errorf("absent file: %v", err)
		}
	}
}

func TestCapabilityOfANamespace(t *testing.T) {
	ranges := []idmap.Range{{ContainerID: 0, HostID: 100_000, Size: 1}, {ContainerID: 5, HostID: 200_000, Size: 1}}
	const flags = "\x01\x00\x00"
	data := strings.Repeat("c", 16)
	tests := []struct{ name, in, want string }{
		{"without namespace", flags + "\x02" + data, flags + "\x02" + data},
		{"of the container's root", flags + "\x03" + data + "\xa0\x86\x01\x00", flags + "\x02" + data},
		{"of a namespace inside", flags + "\x03" + data + "\x40\x0d\x03\x00", flags + "\x03" + data + "\x05\x00\x00\x00"},
		{"of somebody else", flags + "\x03" + data + "\x07\x00\x00\x00", flags + "\x03" + data + "\x07\x00\x00\x00"},
		{"of another revision", flags + "\x04" + data + "\xa0\x86\x01\x00", flags + "\x04" + data + "\xa0\x86\x01\x00"},
		{"cut", "\x01", "\x01"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := xattrReader{mapping: idmap.Mapping{UIDs: ranges, GIDs: ranges}}
			if got := r.translate(xattrCapability, tt.in); got != tt.want {
				t.Errorf("got %x, want %x", got, tt.want)
			}
			if got := r.translate("user.x", tt.in); got != tt.in {
				t.Errorf("another attribute became %x", got)
			}
			if got := new(xattrReader).translate(xattrCapability, tt.in); got != tt.in {
				t.Errorf("without maps it became %x", got)
			}
		})
	}
}

// The order of a walk is that of the lists of components.
func TestWalkOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	path := func() string {
		var b strings.Builder
		for range 1 + r.IntN(8) {
			b.WriteByte("/a-\xffb/"[r.IntN(6)])
		}
		return "/" + strings.Trim(strings.ReplaceAll(b.String(), "//", "/a/"), "/")
	}
	sign := func(n int) int { return min(1, max(-1, n)) }
	for range 10_000 {
		a, b := path(), path()
		want := slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
		if got := sign(walkOrder(a, b)); got != want {
			t.Fatalf("walkOrder(%q, %q) = %d, want %d", a, b, got, want)
		}
	}
}
