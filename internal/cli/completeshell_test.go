package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/internal/testutil"
)

// driveBash is what bash does when the tab key is pressed at the end of its arguments,
// without the words that programs of the distribution add.
const driveBash = `
_init_completion() {
	words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}
}
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
compopt() { :; }
__start_strata
printf '%s\n' "${COMPREPLY[@]}"
`

// TestCompletionInBash presses the tab key in a real bash.
func TestCompletionInBash(t *testing.T) {
	bash := testutil.RequireProgram(t, "bash")
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The test's own program is strata when it is called so (TestMain).
	if err := os.Symlink(program, filepath.Join(dir, programName)); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "completion.bash")
	var text bytes.Buffer
	env := Env{Stdin: strings.NewReader(""), Stdout: &text, Stderr: &text, Now: time.Now, Config: config.Env{Getenv: func(string) (string, bool) { return "", false }, Root: dir}}
	store := []string{"--graph", filepath.Join(dir, "g"), "--run", filepath.Join(dir, "r"), "--storage-driver", "vfs"}
	for _, args := range [][]string{{"create-layer", "--id", "lay1", "--name", "base"}, {"create-image", "--id", "img1", "--name", "localhost/app:1", "lay1"}, {"completion", "bash"}} {
		text.Reset()
		env.Args = append(append([]string{programName}, store...), args...)
		if code := Run(context.Background(), env); code != exitOK {
			t.Fatalf("%s: exit code %d: %s", args, code, text.String())
		}
	}
	if err := os.WriteFile(script, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		line []string
		want string
	}{
		{"a verb", []string{"delete-i"}, "delete-image"},
		{"a verb behind options", append(slices.Clone(store), "unmo"), "unmount"},
		{"an option", []string{"layers", "--tre"}, "--tree"},
		{"a global option behind the verb", []string{"layers", "--transi"}, "--transient-store"},
		{"the value of an option", []string{"save", "--format", "docker"}, "docker-archive"},
		{"a name", append(slices.Clone(store), "layer", "ba"), "base"},
		{"an ID", append(slices.Clone(store), "layer", "lay"), "lay1"},
		{"a name with a slash and a colon", append(slices.Clone(store), "history", "localh"), "localhost/app:1"},
		{"an operand of copy", append(slices.Clone(store), "copy", "bas"), "base:/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(bash, append([]string{"--norc", "-c", driveBash, "bash", script, programName}, tt.line...)...)
			cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir}
			out, err := cmd.CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != tt.want {
				t.Errorf("completes to %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
