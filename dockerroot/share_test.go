package dockerroot_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/dockerroot"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// onXFS is a folder on a file system with reflinks.
func onXFS(t *testing.T) string {
	t.Helper()
	testutil.RequireRoot(t)
	testutil.RequireProgram(t, "mkfs.xfs")
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	must := func(err error, out []byte) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	must(os.WriteFile(image, nil, 0o600), nil)
	must(os.Truncate(image, 400<<20), nil)
	for _, args := range [][]string{{"mkfs.xfs", "-q", "-m", "reflink=1", image}, {"mount", "-o", "loop", image, dir}} {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		must(err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// storeIn is a store in dir, whose mounts are gone before dir is.
func storeIn(t *testing.T, dir, driver string) *strata.Store {
	t.Helper()
	s, err := strata.Open(t.Context(), strata.Options{
		GraphRoot: filepath.Join(dir, "g"), RunRoot: filepath.Join(dir, "r"), Driver: driver, Sync: graphdriver.SyncNone,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := s.Driver().Cleanup(ctx); err != nil {
			t.Error(err)
		}
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestShare: on a file system with reflinks an imported layer takes no space for its files; what
// is in them, and the data root, are as without.
func TestShare(t *testing.T) {
	dir := onXFS(t)
	body := strings.Repeat("0123456789abcde\n", 1<<19) // 8 MiB
	big := testutil.Tar(t, testutil.Entry{Name: "d/"}, testutil.Entry{Name: "d/big", Body: body}, testutil.Entry{Name: "small", Body: "x"})
	more := testutil.Tar(t, testutil.Entry{Name: "more", Body: body[:5000]}, testutil.Entry{Name: "d/.wh.big"})
	for _, driver := range []string{"overlay", "vfs"} {
		t.Run(driver, func(t *testing.T) {
			m := newMadeIn(t, filepath.Join(dir, "docker-"+driver), map[string]string{"overlay": "overlay2", "vfs": "vfs"}[driver])
			app, _ := m.build("app:1", big, more)
			before := testutil.Tree(t, m.dir)
			s := storeIn(t, filepath.Join(dir, driver), driver)
			r := m.open(dockerroot.Options{})
			results, err := r.Import(t.Context(), s, r.Images(false), dockerroot.ImportOptions{})
			if err != nil || len(results) != 1 || results[0].Err != nil || string(results[0].Loaded.ID) != app.Encoded() {
				t.Fatalf("%+v, %v", results, err)
			}
			if want := int64(len(body)) + 5000; results[0].Shared != want {
				t.Errorf("%d bytes are shared, want %d", results[0].Shared, want)
			}
			if diff := cmp.Diff(before, testutil.Tree(t, m.dir)); diff != "" {
				t.Errorf("the data root was changed:\n%s", diff)
			}
			again, err := r.Import(t.Context(), s, r.Images(false), dockerroot.ImportOptions{})
			if err != nil || again[0].Shared != 0 || again[0].Loaded.NewLayers != 0 {
				t.Errorf("again: %+v, %v", again, err)
			}
			img, err := s.Image(t.Context(), app.Encoded())
			if err != nil {
				t.Fatal(err)
			}
			facts, err := s.Driver().Metadata(t.Context(), graphdriver.ID(img.TopLayer))
			if err != nil {
				t.Fatal(err)
			}
			own := filepath.Join(facts["UpperDir"]+facts["Dir"], "more")
			if got, err := os.ReadFile(own); err != nil || string(got) != body[:5000] {
				t.Errorf("%s: %d bytes, %v", own, len(got), err)
			}
			// What is written to the store's file is not Docker's.
			if err := os.WriteFile(own, []byte("changed"), 0o644); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, testutil.Tree(t, m.dir)); diff != "" {
				t.Errorf("the data root was changed by way of the store:\n%s", diff)
			}
		})
	}
}

// TestNothingToShare: on other file systems files are copied, as ever.
func TestNothingToShare(t *testing.T) {
	m := newMade(t, "overlay2")
	m.build("app:1", testutil.Tar(t, testutil.Entry{Name: "f", Body: strings.Repeat("x", 10_000)}))
	r := m.open(dockerroot.Options{})
	if results := importAll(t, r, newStore(t, "overlay"), r.Images(false)); results[0].Err != nil || results[0].Shared != 0 {
		t.Errorf("%+v", results)
	}
}
