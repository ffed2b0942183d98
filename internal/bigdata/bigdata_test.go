package bigdata_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/bigdata"
)

func TestFileName(t *testing.T) {
	tests := []struct {
		name, key, want string
		wantErr         bool
	}{
		{"plain", "manifest", "manifest", false},
		{"digits and dots", "lower.case.0", "lower.case.0", false},
		{"last rune is not looked at", "abcD", "abcD", false},
		{"last colon", "tail:", "tail:", false},
		{"last rune of two bytes", "é", "é", false},
		{"last byte is no rune", "a\xff", "a\xff", false},
		{"two offenders", "Aa", "=QWE=", false},
		{"underscore inside", "A_b", "=QV9i", false},
		{"digest", "sha256:ab", "=c2hhMjU2OmFi", false},
		{"wide rune inside", "éa", "=w6lh", false},
		{"encoded slash", "A??b", "", true},
		{"empty", "", "", true},
		{"dot", ".", "", true},
		{"dots", "..", "", true},
		{"three dots are a name", "...", "...", false},
		{"ends in slash", "a/", "", true},
		{"ends in NUL", "a\x00", "", true},
		{"longest", strings.Repeat("a", 255), strings.Repeat("a", 255), false},
		{"too long", strings.Repeat("a", 256), "", true},
		{"too long once encoded", strings.Repeat("A", 200), "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := bigdata.FileName(tt.key)
			if tt.wantErr {
				if !errors.Is(err, bigdata.ErrBadKey) || !errors.Is(err, errdefs.ErrInvalid) {
					t.Fatalf("error = %v, want ErrBadKey", err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Fatalf("FileName(%q) = %q, %v; want %q", tt.key, got, err, tt.want)
			}
		})
	}
}

func FuzzFileName(f *testing.F) {
	for _, seed := range []string{"manifest", "abcD", "A_b", "A??b", ".", "..", "a/", "é", "\xff\xfe", strings.Repeat("x", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		name, err := bigdata.FileName(key)
		if err != nil {
			return
		}
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || len(name) > 255 {
			t.Fatalf("FileName(%q) = %q leaves the directory", key, name)
		}
	})
}

func TestItems(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "object")
	ctx := t.Context()
	if _, err := bigdata.Read(ctx, dir, "manifest"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Read before Write: %v", err)
	}
	for _, data := range []string{"one", "", "three"} {
		if err := bigdata.Write(dir, "A_b", []byte(data), bigdata.Options{}); err != nil {
			t.Fatal(err)
		}
		got, err := bigdata.Read(ctx, dir, "A_b")
		if err != nil || string(got) != data {
			t.Fatalf("Read = %q, %v; want %q", got, err, data)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "=QV9i"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("file of A_b: %v, %v", info, err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Fatalf("files: %v", got)
	}
}

func TestInventory(t *testing.T) {
	var none bigdata.Inventory
	one := bigdata.With(none, "a", 1, "sha256:1")
	two := bigdata.With(bigdata.With(one, "b", 2, "sha256:2"), "a", 3, "sha256:3")
	if _, err := one.ItemSize("b"); !errors.Is(err, bigdata.ErrSizeUnknown) {
		t.Errorf("an older inventory changed: %+v, %v", one, err)
	}
	if d, err := one.ItemDigest("a"); d != "sha256:1" || err != nil {
		t.Errorf("an older inventory changed: %+v, %v", one, err)
	}
	if !slices.Equal(two.BigDataNames, []string{"a", "b"}) || two.DataSize() != 5 {
		t.Errorf("a replaced item: %+v", two)
	}
	if n, err := two.ItemSize("a"); n != 3 || err != nil {
		t.Errorf("size of a = %d, %v", n, err)
	}
	if _, err := two.ItemDigest("c"); !errors.Is(err, bigdata.ErrDigestUnknown) {
		t.Errorf("digest of an item that is not there: %v", err)
	}
}

func TestOpenOnlyRegularFiles(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("x"), 0o600))
	must(t, os.Symlink(secret, filepath.Join(dir, "link")))
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "userdata"), 0o700))
	for _, key := range []string{"link", "fifo", "userdata"} {
		if f, err := bigdata.Open(dir, key); err == nil {
			t.Errorf("Open(%s) gave %s", key, f.Name())
		}
	}
}

func TestNewKeysLeaveRoomForTemporaryNames(t *testing.T) {
	key := strings.Repeat("a", 250)
	if err := bigdata.Write(t.TempDir(), key, nil, bigdata.Options{}); !errors.Is(err, bigdata.ErrBadKey) {
		t.Fatalf("error = %v, want ErrBadKey", err)
	}
}

func TestStage(t *testing.T) {
	parent := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(parent, "id", bigdata.UserData), 0o700))
	must(t, os.WriteFile(filepath.Join(parent, "id", "leftover"), nil, 0o600))
	st, err := bigdata.StageItems(t.Context(), parent, []bigdata.Item{{Key: "manifest", Data: []byte("m")}, {Key: "A_b", Data: nil}}, bigdata.Options{})
	must(t, err)
	must(t, bigdata.SweepStages(parent)) // ours is in use
	must(t, st.Adopt("id"))
	must(t, st.Discard())
	if diff := cmp.Diff([]string{"=QV9i", "manifest", "userdata"}, names(t, filepath.Join(parent, "id"))); diff != "" {
		t.Fatalf("items (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"id"}, names(t, parent)); diff != "" {
		t.Fatalf("objects (-want +got):\n%s", diff)
	}
}

func TestStageItem(t *testing.T) {
	parent := t.TempDir()
	for _, data := range []string{"old", "new"} {
		st, err := bigdata.StageItems(t.Context(), parent, []bigdata.Item{{Key: "manifest", Data: []byte(data)}}, bigdata.Options{})
		must(t, err)
		must(t, st.AdoptItem("id", "manifest"))
		must(t, st.Discard())
	}
	got, err := bigdata.Read(t.Context(), filepath.Join(parent, "id"), "manifest")
	if err != nil || string(got) != "new" {
		t.Fatalf("item = %q, %v", got, err)
	}
	if diff := cmp.Diff([]string{"id"}, names(t, parent)); diff != "" {
		t.Fatalf("objects (-want +got):\n%s", diff)
	}
}

func TestStageLeavesNothing(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name  string
		ctx   context.Context
		items []bigdata.Item
	}{
		{"bad key", t.Context(), []bigdata.Item{{Key: "fine"}, {Key: ".."}}},
		{"engines' directory", t.Context(), []bigdata.Item{{Key: bigdata.UserData}}},
		{"key twice", t.Context(), []bigdata.Item{{Key: "a"}, {Key: "a"}}},
		{"cancelled", cancelled, []bigdata.Item{{Key: "a"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parent := t.TempDir()
			if _, err := bigdata.StageItems(tt.ctx, parent, tt.items, bigdata.Options{}); err == nil {
				t.Fatal("no error")
			}
			if got := names(t, parent); len(got) != 0 {
				t.Fatalf("left behind: %v", got)
			}
		})
	}
}

func TestSweepRemovesTheDead(t *testing.T) {
	parent := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(parent, ".stage-123", "sub"), 0o700))
	must(t, os.MkdirAll(filepath.Join(parent, ".other"), 0o700))
	must(t, bigdata.SweepStages(parent))
	if diff := cmp.Diff([]string{".other"}, names(t, parent)); diff != "" {
		t.Fatalf("after the sweep (-want +got):\n%s", diff)
	}
}

func TestTrash(t *testing.T) {
	parent := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(parent, "id", "userdata"), 0o700))
	remove, err := bigdata.Trash(filepath.Join(parent, "id"), filepath.Join(parent, "none"), filepath.Join(parent, "no", "parent"))
	must(t, err)
	if _, err := os.Stat(filepath.Join(parent, "id")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("id is still there: %v", err)
	}
	must(t, remove())
	if got := names(t, parent); len(got) != 0 {
		t.Fatalf("left behind: %v", got)
	}
}

func TestHasObjects(t *testing.T) {
	parent := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(parent, "short"), 0o700))
	must(t, os.WriteFile(filepath.Join(parent, strings.Repeat("a", 64)), nil, 0o600))
	if bigdata.HasObjects(parent) || bigdata.HasObjects(filepath.Join(parent, "none")) {
		t.Fatal("objects where there are none")
	}
	must(t, os.Mkdir(filepath.Join(parent, strings.Repeat("0", 64)), 0o700))
	if !bigdata.HasObjects(parent) {
		t.Fatal("no objects where there is one")
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestBytesAsKey: the record could not give the key back, so that nothing would lead to the file.
func TestBytesAsKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "id")
	err := bigdata.Write(dir, "a\xff", []byte("x"), bigdata.Options{})
	if !errors.Is(err, bigdata.ErrBadKey) {
		t.Errorf("Write: %v, want ErrBadKey", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("directory: %v, want none", err)
	}
	_, err = bigdata.StageItems(context.Background(), t.TempDir(), []bigdata.Item{{Key: "a\xff"}}, bigdata.Options{})
	if !errors.Is(err, bigdata.ErrBadKey) {
		t.Errorf("StageItems: %v, want ErrBadKey", err)
	}
}
