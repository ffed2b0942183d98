package testutil_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/stratastore/strata/internal/testutil"
)

func sampleTar(t *testing.T) []byte {
	t.Helper()
	return testutil.Tar(t,
		testutil.Entry{Name: "d/", Mode: 0o2755, UID: os.Getuid(), GID: os.Getgid()},
		testutil.Entry{Name: "d/f", Body: "hello", UID: os.Getuid(), GID: os.Getgid(), Mtime: time.Unix(1000, 5),
			Xattrs: map[string]string{"user.k": "v\x00w"}},
		testutil.Entry{Name: "d/hard", Type: '1', Link: "d/f"},
		testutil.Entry{Name: "d/soft", Link: "f", UID: os.Getuid(), GID: os.Getgid()},
	)
}

func TestTarIsDeterministic(t *testing.T) {
	if !bytes.Equal(sampleTar(t), sampleTar(t)) {
		t.Fatal("equal entries give different bytes")
	}
}

func TestUnpackAndTree(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		data, name := sampleTar(t), "f.tar"
		if compressed {
			data, name = compress(t, data), "f.tar.zst"
		}
		t.Run(name, func(t *testing.T) {
			fixture := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(fixture, data, 0o600); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			testutil.Unpack(t, fixture, dir)
			got := testutil.Tree(t, dir, testutil.IgnoreOwner, testutil.IgnoreRoot)
			want := []string{
				`"d" dir 2755 - - - 1970-01-01T00:00:00Z - -`,
				`"d/f" file 0644 - 2 5 1970-01-01T00:16:40.000000005Z user.k="v\x00w" ` + testutil.Digest([]byte("hello")).String(),
				`"d/hard" file 0644 - 2 same="d/f" 5 1970-01-01T00:16:40.000000005Z user.k="v\x00w" ` + testutil.Digest([]byte("hello")).String(),
				`"d/soft" symlink 0777 - 1 1 1970-01-01T00:00:00Z - "f"`,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestTreeOptions(t *testing.T) {
	dir := t.TempDir()
	fixture := filepath.Join(t.TempDir(), "f.tar")
	if err := os.WriteFile(fixture, sampleTar(t), 0o600); err != nil {
		t.Fatal(err)
	}
	testutil.Unpack(t, fixture, dir)
	lines := testutil.Tree(t, dir, testutil.IgnoreOwner, testutil.IgnoreMtime, testutil.IgnoreNlink, testutil.IgnoreXattrs)
	if want := `"d/f" file 0644 - - 5 - - ` + testutil.Digest([]byte("hello")).String(); !slices.Contains(lines, want) {
		t.Errorf("lines %q lack %q", lines, want)
	}
	if !strings.HasPrefix(lines[0], `"." dir `) {
		t.Errorf("first line is not the root: %q", lines[0])
	}
	coarse := testutil.Tree(t, dir, testutil.CoarseMtime)
	if !strings.Contains(strings.Join(coarse, "\n"), " 1970-01-01T00:16:40Z ") {
		t.Errorf("times are not rounded: %q", coarse)
	}
}

func TestRequireRoot(t *testing.T) {
	t.Setenv("STRATA_TEST_REQUIRE_ROOT", "1")
	r := &recorder{TB: t}
	testutil.RequireRoot(r)
	if asRoot := os.Geteuid() == 0; r.failed == asRoot {
		t.Errorf("as root: %t, failed: %t", asRoot, r.failed)
	}
}

func TestRequireProgram(t *testing.T) {
	t.Setenv("STRATA_TEST_REQUIRE_PROGRAMS", "1")
	r := &recorder{TB: t}
	testutil.RequireProgram(r, "no-such-program-anywhere")
	if !r.failed {
		t.Error("a required program is missing and the test goes on")
	}
	t.Setenv("STRATA_TEST_REQUIRE_PROGRAMS", "")
	r = &recorder{TB: t}
	testutil.RequireProgram(r, "no-such-program-anywhere")
	if r.failed || !r.skipped {
		t.Errorf("optional: failed %t, skipped %t", r.failed, r.skipped)
	}
}

func TestStutter(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "",
		"error: mount layer a: busy\nhint: busy": "",
		"error: mount a: lock: mount a: busy":    "mount a",
		"delete a: busy\ndelete b: busy":         "",
		"first\nread: read: nothing":             "read",
	} {
		if got := testutil.Stutter(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// recorder notes the outcome instead of ending the test.
type recorder struct {
	testing.TB
	failed, skipped bool
}

func (r *recorder) Fatalf(string, ...any) { r.failed = true }
func (r *recorder) Skip(...any)           { r.skipped = true }

func compress(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}
