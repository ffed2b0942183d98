package cli

import (
	"context"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stratastore/strata/config"
)

// TestFullDevice: what can not be written is an error, whatever is written.
func TestFullDevice(t *testing.T) {
	dir := t.TempDir()
	run := func(out io.Writer, args ...string) (int, string) {
		var errs strings.Builder
		code := Run(context.Background(), Env{
			Args:  append([]string{programName, "--graph", dir + "/g", "--run", dir + "/r", "--storage-driver", "vfs"}, args...),
			Stdin: strings.NewReader(""), Stdout: out, Stderr: &errs, Now: time.Now,
			Config: config.Env{Getenv: func(string) (string, bool) { return "", false }, Root: dir},
		})
		return code, errs.String()
	}
	for _, line := range []string{
		"create-layer --id lay1 --name base", "create-image --id img1 --name localhost/app:1 lay1", "create-container --id ctr1 --name web img1",
		"volume create --driver local vol",
	} {
		if code, errs := run(io.Discard, strings.Fields(line)...); code != exitOK {
			t.Fatalf("%s: %s", line, errs)
		}
	}
	lines := []string{"", "--help", "--version", "help", "help volume", "volume", "volume --help", "man", "completion bash", "completion zsh", "completion fish", "diff base"}
	for _, v := range modernVerbs() {
		lines = append(lines, v.Name+" --help", "help "+v.Name)
	}
	for _, verb := range []string{
		"version", "status", "layers", "layers --tree", "images", "containers", "layer base", "image app:1", "container web", "inspect web", "history app:1",
		"check", "verify", "gc", "du", "config", "config explain", "volume ls", "volume inspect vol",
	} {
		lines = append(lines, verb, verb+" --json")
	}
	for _, line := range lines {
		if code, errs := run(full{}, strings.Fields(line)...); code != exitCodeOf(syscall.ENOSPC) || !strings.Contains(errs, "no space left on device") {
			t.Errorf("%s: exit code %d: %s", line, code, errs)
		}
	}
}

// full is /dev/full.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
