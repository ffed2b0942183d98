package cli

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/internal/faults"
)

// TestRemovalBesideOthers: what somebody else removes meanwhile is gone, as was asked for.
func TestRemovalBesideOthers(t *testing.T) {
	for _, tt := range []struct{ name, command, other string }{
		{"a container of the image", "rmi --force one", "rm c2"},
		{"another image", "rmi --force one two", "rmi two"},
		{"one of all images", "rmi --all", "rmi two"},
		{"another container", "rm --force c1 c2", "rm c2"},
		{"one of all containers", "rm --all", "rm c2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			strata := func(line string) {
				t.Helper()
				var out syncBuffer
				code := Run(t.Context(), Env{
					Args:  append([]string{programName, "--graph", dir + "/g", "--run", dir + "/r", "-s", "vfs"}, strings.Fields(line)...),
					Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Now: time.Now,
					Config: config.Env{Getenv: func(string) (string, bool) { return "", false }, Root: dir},
				})
				if code != exitOK {
					t.Errorf("%s: exit code %d: %s", line, code, &out)
				}
			}
			for _, name := range []string{"one", "two"} {
				strata("create-layer --id " + name + "layer")
				strata("create-image --id " + name + " " + name + "layer")
			}
			if strings.Contains(tt.name, "container") {
				strata("create-container --id c1 one")
				strata("create-container --id c2 one")
			}
			// What was deleted is removed from the disk when no lock is held any more.
			meanwhile := faults.Rule{Point: "tempdir.close", Under: filepath.Join(dir, "g"), Times: 1, Do: func() { strata(tt.other) }}
			off := faults.Enable(meanwhile)
			strata(tt.command)
			off()
		})
	}
}
