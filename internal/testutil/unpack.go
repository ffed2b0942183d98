package testutil

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Unpack unpacks a fixture, a .tar or .tar.zst, into dir with all extended
// attributes and numeric owners, as GNU tar does it: strata's own extractor is
// what such fixtures test. Fixtures with trusted attributes or foreign owners
// need RequireRoot.
func Unpack(t testing.TB, fixture, dir string) {
	t.Helper()
	f, err := os.Open(fixture)
	if err != nil {
		t.Fatalf("open fixture: %v", err)
	}
	defer f.Close() // read only: nothing to lose
	var in io.Reader = f
	if strings.HasSuffix(fixture, ".zst") {
		z, err := zstd.NewReader(f)
		if err != nil {
			t.Fatalf("read fixture %s: %v", fixture, err)
		}
		defer z.Close()
		in = z
	}
	var stderr bytes.Buffer
	cmd := exec.Command(RequireProgram(t, "tar"), "--extract", "--preserve-permissions", "--xattrs", "--xattrs-include=*",
		"--numeric-owner", "--directory", dir)
	cmd.Stdin, cmd.Stderr = in, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("unpack %s: %v\n%s", fixture, err, stderr.Bytes())
	}
}
