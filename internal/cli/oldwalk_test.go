package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/testutil"
)

// walk is a part of the command-line reference, gone through with the old command
// and this one on equal stores. Each line is a command line:
//
//	SIDE   the directory of this side's stores     DIR   a directory that both share
//	<FILE  standard input from DIR/FILE            ''    an empty word
//	_      a blank inside of a word                DRIVER  the driver
//	bare:  no option is put in front
//	vfs:, overlay:   only with that driver
type walk struct {
	name string
	// overlay says that the driver matters; vfs walks everything.
	overlay bool
	// short walks are gone in the short form of the test, too.
	short bool
	env   []string
	lines string
}

// TestAgainstOldReference compares what the reference says of the drop-in manner with
// the old command, chapter by chapter, wherever both generations agree.
func TestAgainstOldReference(t *testing.T) {
	for _, driver := range []string{"vfs", "overlay"} {
		for _, w := range walks() {
			if driver == "overlay" && !w.overlay || testing.Short() && !w.short {
				continue
			}
			t.Run(driver+"/"+w.name, func(t *testing.T) { w.run(t, newPair(t, driver)) })
		}
	}
}

func (w walk) run(t *testing.T, p *pair) {
	t.Helper()
	for _, v := range w.env {
		name, _, _ := strings.Cut(v, "=")
		p.env = slices.DeleteFunc(p.env, func(have string) bool { return strings.HasPrefix(have, name+"=") })
		p.env = append(p.env, strings.ReplaceAll(v, "DIR", p.dir))
	}
	walkFiles(t, p.dir)
	for line := range strings.Lines(w.lines) {
		line = strings.TrimSpace(line)
		only, rest, limited := strings.Cut(line, ": ")
		if limited && (only == "vfs" || only == "overlay") {
			if only != p.driver {
				continue
			}
			line = rest
		}
		if line != "" {
			p.walkLine(t, line)
		}
	}
}

// walkLine runs one line on both sides.
func (p *pair) walkLine(t *testing.T, line string) {
	t.Helper()
	line, bare := strings.CutPrefix(line, "bare: ")
	var outcomes [2]outcome
	for i, side := range []string{"old", "new"} {
		var args []string
		stdin := ""
		for _, w := range strings.Fields(line) {
			w = strings.NewReplacer("SIDE", filepath.Join(p.dir, side), "DIR", p.dir, "DRIVER", p.driver, "_", " ").Replace(w)
			switch name, input := strings.CutPrefix(w, "<"); {
			case input:
				text, err := os.ReadFile(filepath.Join(p.dir, name))
				if err != nil {
					t.Fatal(err)
				}
				stdin = string(text)
			case w == "''":
				args = append(args, "")
			default:
				args = append(args, w)
			}
		}
		if !bare {
			args = append(p.roots(side), args...)
		}
		if side == "old" {
			outcomes[i] = p.rawOld(t, stdin, args)
		} else {
			outcomes[i] = p.rawNew(stdin, args)
		}
	}
	outcomes[0], outcomes[1] = newer(line, outcomes[0]), detail(outcomes[1])
	if p.driver == "vfs" && strings.HasPrefix(line, "changes ") || strings.HasPrefix(line, "exists ") { // the old command walks a Go map
		outcomes[0].out, outcomes[1].out = sortedLines(outcomes[0].out), sortedLines(outcomes[1].out)
	}
	if strings.HasPrefix(line, "delete-layer ") { // the same for its errors
		outcomes[0].err, outcomes[1].err = sortedLines(outcomes[0].err), sortedLines(outcomes[1].err)
	}
	if diff := cmp.Diff(outcomes[0], outcomes[1], cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("%q (-old +strata):\n%s", line, diff)
	}
}

// generations are where the old command's successor, which the reference is about,
// says something else (command-line reference, 2.2, 5.1, 5.3, 9). Old is looked for
// in what the old command prints for lines that begin with verb.
func generations() []struct{ verb, old, next string } {
	return []struct{ verb, old, next string }{
		{"create-container", `\t(\S+)`, "\t$1\n"},
		{"images-by-digest", `^\S+: (invalid)`, "$1"},
		{"", `\S+ driver does not support (\S+)\.(\S+) options`, `unknown option "$2"`},
		{"", `(unknown option "\w+") \(.*\)`, "$1"},
		{"", `error initializing: stat `, "error initializing: open "},
		{"copy", `(/tree"): .*`, "$1: a directory is in the way"},
		{"--storage-opt DRIVER.imagestore=SIDE/ro mount", `layer not known`, "mounting read/only store images is not allowed: called a write method on a read-only store"},
	}
}

// detail cuts what free text there is in errors the way that newer does.
func detail(o outcome) outcome {
	o.out = regexp.MustCompile(`(unknown option "\w+") \(.*\)`).ReplaceAllString(o.out, "$1")
	o.err = regexp.MustCompile(`(/tree"): .*`).ReplaceAllString(o.err, "$1: a directory is in the way")
	return o
}

// newer turns an outcome of the old command into what its successor would print.
func newer(line string, o outcome) outcome {
	for _, g := range generations() {
		if strings.HasPrefix(line, g.verb) {
			re := regexp.MustCompile(g.old)
			o.out, o.err = re.ReplaceAllString(o.out, g.next), re.ReplaceAllString(o.err, g.next)
		}
	}
	return o
}

func sortedLines(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// walkFiles makes what the lines read.
func walkFiles(t *testing.T, dir string) {
	t.Helper()
	files := map[string]string{
		"tree.tar":  string(testutil.Tar(t, testutil.Entry{Name: "etc/", Type: '5', Mode: 0o755}, testutil.Entry{Name: "etc/hostname", Body: "box\n", Mode: 0o644})),
		"more.tar":  string(testutil.Tar(t, testutil.Entry{Name: "etc/", Type: '5', Mode: 0o755}, testutil.Entry{Name: "etc/.wh.hostname", Mode: 0o644}, testutil.Entry{Name: "etc/new", Body: "n", Mode: 0o600})),
		"zeros":     strings.Repeat("\x00", 1024),
		"garbage":   strings.Repeat("no tar\n", 300),
		"text":      "some text\n",
		"empty":     "",
		"bytes":     "\x00\xff\n\r\x01 é",
		"sub/inner": "inner\n",
		"bad.conf":  "[storage\n",
		"vfs.conf":  "[storage]\ndriver = \"vfs\"\ngraphroot = \"" + dir + "/conf/g\"\nrunroot = \"" + dir + "/conf/r\"\n",
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
