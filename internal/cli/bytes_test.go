package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/internal/cli/table"
)

// runIn runs the command on a store below dir, and returns exit code, output and errors.
func runIn(dir string, terminal Terminal, args ...string) (int, string, string) {
	return runWith(dir, terminal, strings.NewReader("data"), args...)
}

func runWith(dir string, terminal Terminal, in io.Reader, args ...string) (int, string, string) {
	var out, errs bytes.Buffer
	code := Run(context.Background(), Env{
		Args:  append([]string{programName, "--graph", dir + "/g", "--run", dir + "/r", "--storage-driver", "vfs"}, args...),
		Stdin: in, Stdout: &out, Stderr: &errs, Now: time.Now, Terminal: terminal,
		Config: config.Env{Getenv: func(string) (string, bool) { return "", false }, Root: dir},
	})
	return code, out.String(), errs.String()
}

// TestControlCharacters: a terminal gets none of those that other people's names hold;
// a pipe gets names as they are.
func TestControlCharacters(t *testing.T) {
	dir := t.TempDir()
	const evil = "\x1b]0;gotcha\x07name"
	if code, _, errs := runIn(dir, Terminal{}, "create-layer", "--id", "lay1", "--name", evil); code != exitOK {
		t.Fatal(errs)
	}
	screen := Terminal{Out: true, Err: true, Width: 80}
	for _, line := range []string{"layers", "layers --tree", "layer lay1", "get-names lay1", "layer --name " + evil, "layer " + evil + "x", "inspect lay1"} {
		_, out, errs := runIn(dir, screen, strings.Fields(line)...)
		if all := out + errs; strings.ContainsFunc(strings.NewReplacer("\n", "", "\t", "").Replace(all), table.IsControl) || all == "" {
			t.Errorf("%q prints %q", line, all)
		}
	}
	if _, out, _ := runIn(dir, Terminal{}, "get-names", "lay1"); out != evil+"\n" {
		t.Errorf("a pipe gets %q", out)
	}
}

// TestBytesThatAreNotText gives bytes that are not UTF-8 for everything that a record
// keeps. JSON can not hold them: they would come back as other characters, and what
// they name could not be found again. So they are refused, and nothing is left.
func TestBytesThatAreNotText(t *testing.T) {
	dir := t.TempDir()
	bad := "x\xff"
	file := filepath.Join(dir, "metadata")
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (int, string, string) { return runIn(dir, Terminal{}, args...) }
	for _, line := range []string{"create-layer --id lay1", "create-image --id img1 lay1", "create-container --id ctr1 img1"} {
		if code, _, errs := run(strings.Fields(line)...); code != exitOK {
			t.Fatalf("%s: %s", line, errs)
		}
	}
	everything := func() string {
		_, out, _ := run("inspect", "lay1", "img1", "ctr1")
		_, layers, _ := run("storage-layers")
		return out + layers
	}
	before := everything()
	for _, args := range [][]string{
		{"create-layer", "--id", bad},
		{"create-layer", "--name", bad},
		{"create-layer", "--label", bad},
		{"import-layer", "--id", bad},
		{"create-image", "--id", bad},
		{"create-image", "--name", bad},
		{"create-image", "--metadata", bad},
		{"create-container", "--id", bad, "img1"},
		{"create-container", "--name", bad, "img1"},
		{"create-container", "--metadata-file", file, "img1"},
		{"add-names", "--name", bad, "lay1"},
		{"set-names", "--name", bad, "img1"},
		{"tag", "img1", bad},
		{"set-metadata", "--metadata", bad, "lay1"},
		{"set-metadata", "--metadata", bad, "img1"},
		{"set-metadata", "--metadata-file", file, "ctr1"},
		{"set-layer-data", "lay1", bad},
		{"set-image-data", "img1", bad},
		{"set-container-data", "ctr1", bad},
		{"volume", "create", bad},
	} {
		code, out, errs := run(args...)
		if code != exitUsage || out != "" || !strings.HasPrefix(errs, "error: ") || strings.Contains(errs, "undo") {
			t.Errorf("%q: exit code %d, %q, %q; want wrong use", args, code, out, errs)
		}
	}
	if after := everything(); after != before {
		t.Errorf("the store changed:\n%s\nwas:\n%s", after, before)
	}
	if code, out, errs := run("check"); code != exitOK {
		t.Errorf("check: exit code %d\n%s%s", code, out, errs)
	}
}
