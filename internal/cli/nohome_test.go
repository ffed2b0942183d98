package cli

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/config"
)

// TestNoHome: an ordinary user without a home directory is told what is missing, and
// can name a store.
func TestNoHome(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) (int, string) {
		var errs strings.Builder
		code := Run(context.Background(), Env{
			Args: append([]string{programName}, args...), Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &errs, Now: time.Now,
			Config: config.Env{Getenv: func(string) (string, bool) { return "", false }, UID: 1234, Root: dir},
		})
		return code, errs.String()
	}
	for _, line := range []string{"images", "volume ls", "config explain", "check"} {
		code, errs := run(strings.Fields(line)...)
		if code != exitUsage || !strings.Contains(errs, "error: user 1234 has no home directory") || !strings.Contains(errs, "hint: set $HOME, or name a store with --graph") {
			t.Errorf("%s: exit code %d: %s", line, code, errs)
		}
	}
	if code, errs := run("--graph", dir+"/g", "--run", dir+"/r", "--storage-driver", "vfs", "images"); code != exitOK {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
