package cli

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/lockfile"
)

// TestHangingPlugins: a plugin that accepts connections and never answers keeps nobody else
// from working, the user reads who is waited for, and an interruption ends the wait.
func TestHangingPlugins(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "run/docker/plugins/hang.sock")
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	run := func(ctx context.Context, errs *syncBuffer, args ...string) int {
		return Run(ctx, Env{
			Args:  append([]string{programName, "--graph", dir + "/g", "--run", dir + "/r"}, args...),
			Stdin: strings.NewReader(""), Stdout: &syncBuffer{}, Stderr: errs, Now: time.Now,
			Config: config.Env{Getenv: func(string) (string, bool) { return "", false }, Root: dir},
		})
	}
	for _, tt := range []struct {
		name      string
		args      []string
		whom      string
		meanwhile []string
	}{
		{"volume", []string{"volume", "create", "-d", "hang", "v"}, "waiting for volume plugin hang at " + socket, []string{"volume", "create", "-d", "local", "other"}},
		{"storage driver", []string{"-s", "hang", "images"}, "waiting for storage driver plugin hang at " + socket, []string{"-s", "vfs", "images"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var errs syncBuffer
			ended := make(chan int)
			go func() { ended <- run(ctx, &errs, tt.args...) }()
			for !strings.Contains(errs.String(), tt.whom) {
				select {
				case code := <-ended:
					t.Fatalf("exit code %d without a word: %s", code, &errs)
				case <-time.After(20 * time.Millisecond):
				}
			}
			var others syncBuffer
			if code := run(t.Context(), &others, tt.meanwhile...); code != exitOK {
				t.Errorf("meanwhile: exit code %d: %s", code, &others)
			}
			held, err := lockfile.New(dir+"/g/storage.lock", lockfile.Options{}).TryExclusive()
			if err != nil {
				t.Errorf("storage.lock: %v", err)
			} else if err := held.Unlock(); err != nil {
				t.Error(err)
			}
			cancel()
			if code := <-ended; code == exitOK {
				t.Error("interrupted, and no error")
			}
		})
	}
}
