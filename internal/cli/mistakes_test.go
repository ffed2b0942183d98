package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/internal/testutil"
)

// TestMistakes makes the mistakes that people make, and demands of each error that
// it names the object and has a next step. DIR is the test's folder.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := Run(context.Background(), Env{
			Args:  append([]string{programName, "--graph", dir + "/g", "--run", dir + "/r", "--storage-driver", "vfs"}, args...),
			Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: time.Now,
			Config: config.Env{Getenv: func(string) (string, bool) { return "", false }, Root: dir},
		})
		return code, errs.String()
	}
	for _, line := range []string{
		"create-layer --id lay1 --name base", "create-image --id img1 --name localhost/app:1 lay1", "create-container --id ctr1 --name web img1",
	} {
		if code, errs := run(strings.Fields(line)...); code != exitOK {
			t.Fatalf("%s: %s", line, errs)
		}
	}
	for _, tt := range []struct {
		line  string
		code  int
		names string // what the error has to name
		hint  string // what the hint has to name
	}{
		{"layrs", 2, "layrs", "strata layers"},
		{"ps", 2, "ps", "strata containers"},
		{"cp a b", 2, "cp", "strata copy"},
		{"login", 2, "login", "strata help"},
		{"layers --tre", 2, "--tre", "--tree"},
		{"layers -z", 2, "-z", "--help"},
		{"layers --json=maybe", 2, "--json", "--help"},
		{"status extra", 2, "extra", "strata help status"},
		{"history", 2, "history", "strata help history"},
		{"--log-level loud layers", 2, "loud", "debug"},
		{"layer nope", 3, "nope", "strata layers"},
		{"history debian", 3, "debian", "strata images"},
		{"container wbe", 3, "wbe", "strata containers"},
		{"mount app:1", 3, "app:1", "strata create-container app:1"},
		{"diff app:1", 3, "app:1", "its top layer is lay1"},
		{"commit app:1", 3, "app:1", "strata create-container app:1"},
		{"container base", 3, "base", "base is a layer"},
		{"history web", 3, "web", "strata commit web"},
		{"delete-image web", 3, "web", "strata commit web"},
		{"changes base app:1", 3, "app:1", "strata layers"},
		{"inspect nope", 3, "nope", "strata images"},
		{"mount nope", 3, "nope", "strata layers"},
		{"diff base nope", 3, "nope", "strata layers"},
		{"changes base nope", 3, "nope", "strata layers"},
		{"diff --xz base", 7, "tar.xz", "--gzip"},
		{"applydiff base --file DIR/missing", 3, "missing", "path"},
		{"applydiff base --file DIR/text", 6, "base", "again"},
		{"import-layer --file DIR/missing", 3, "missing", "path"},
		{"load DIR/missing", 3, "missing", "path"},
		{"load DIR/text", 6, "text", "again"},
		{"load DIR", 3, "DIR", "strata import"},
		{"save --output DIR/no/x.tar app:1", 3, "DIR/no", "mkdir"},
		{"save --format zip app:1", 2, "zip", "oci-archive"},
		{"commit web --name UPPER", 2, "UPPER", "app:1"},
		{"tag app:1 UPPER", 2, "UPPER", "app:1"},
		{"rm nope", 3, "nope", "strata containers"},
		{"rm", 2, "rm", "--all"},
		{"rmi app:1", 5, "ctr1", "ctr1"},
		{"delete-layer lay1", 5, "lay1", "delete"},
		{"create-layer --id ../x", 2, "../x", "--id"},
		{"create-layer --id lay1", 4, "lay1", "--id"},
		{"create-layer --name base", 4, "base", "--name"},
		{"create-layer --name=", 2, `""`, "name"},
		{"create-layer --uidmap 0:1", 2, "0:1", "--uidmap"},
		{"create-layer --subuidmap nobodyx", 3, "nobodyx", "/etc/subuid"},
		{"create-image --digest xx", 2, "xx", "sha256"},
		{"images-by-digest xx", 2, "xx", "sha256"},
		{"get-layer-data lay1 nope", 3, "nope", "strata list-layer-data lay1"},
		{"get-image-data-size img1 nope", 3, "img1", "strata list-image-data img1"},
		{"set-layer-data lay1", 2, "set-layer-data", "strata help set-layer-data"},
		{"set-metadata lay1", 2, "metadata", "--metadata"},
		{"set-names lay1 new", 2, "set-names", "--name new"},
		{"add-names lay1", 2, "add-names", "--name"},
		{"copy DIR/text nope:/x", 3, "nope", "strata layers"},
		{"copy DIR/missing base:/x", 3, "DIR/missing", "path"},
		{"copy DIR/text base:", 4, "DIR/text", "slash"},
		{"copy --chown bob DIR/text base:/x", 2, "bob", "1000:1000"},
		{"applydiff-using-staging-dir base DIR", 7, "not supported", "applydiff"},
		{"config DIR/missing", 3, "missing", "path"},
		{"completion tcsh", 2, "tcsh", "bash"},
		{"volume create x", 2, "too short", ""},
		{"volume crate x", 2, "crate", "strata volume create"},
		{"--storage-opt foo=1 layers", 2, "foo", ""},
		{"--storage-driver nope layers", 7, "nope", "vfs"},
		{"--graph DIR/text layers", 1, "DIR/text", "path"},
	} {
		t.Run(tt.line, func(t *testing.T) {
			code, errs := run(strings.Fields(strings.ReplaceAll(tt.line, "DIR", dir))...)
			first, rest, _ := strings.Cut(errs, "\n")
			names := strings.ReplaceAll(tt.names, "DIR", dir)
			if code != tt.code || !strings.HasPrefix(first, "error: ") || !strings.Contains(first, names) {
				t.Errorf("exit code %d, want %d, and an error that names %s: %s", code, tt.code, names, first)
			}
			if twice := testutil.Stutter(errs); twice != "" {
				t.Errorf("%q is said twice: %s", twice, errs)
			}
			if tt.hint != "" && (!strings.HasPrefix(rest, "hint: ") || !strings.Contains(rest, tt.hint)) {
				t.Errorf("a hint that names %s: %q", tt.hint, rest)
			}
		})
	}
}
