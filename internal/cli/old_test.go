package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/internal/testutil"
)

// oldPath is where Debian installs the command that the classic manner stands in
// for. It is of the generation before the reference's, so only what both
// generations agree on is compared.
const oldPath = "/usr/bin/containers-storage"

// pair runs the same command lines with the old command and with this one, each
// on a store of its own.
type pair struct {
	old, dir, driver string
	env              []string
}

func newPair(t *testing.T, driver string) *pair {
	t.Helper()
	testutil.RequireRoot(t)
	p := &pair{old: testutil.RequireProgram(t, oldPath), dir: t.TempDir(), driver: driver}
	t.Cleanup(func() {
		p.runOld(t, "", "shutdown", "-f")
		p.runNew("", "shutdown", "-f")
	})
	conf := filepath.Join(p.dir, "storage.conf")
	if err := os.WriteFile(conf, []byte("[storage]\ndriver = \"vfs\"\ngraphroot = \"/nonexistent/g\"\nrunroot = \"/nonexistent/r\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = []string{"HOME=" + p.dir, "CONTAINERS_STORAGE_CONF=" + conf}
	if o := p.runOld(t, "", "version", "-j"); o.out != "[]\n" {
		t.Skipf("%s is not of the old generation: version -j prints %q", oldPath, o.out)
	}
	return p
}

// roots are the options in front of each line.
func (p *pair) roots(side string) []string {
	return []string{"-g", filepath.Join(p.dir, side, "graph"), "-R", filepath.Join(p.dir, side, "run"), "-s", p.driver}
}

func (p *pair) runOld(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	return p.rawOld(t, stdin, append(p.roots("old"), args...))
}

// rawOld runs the old command with nothing but these words.
func (p *pair) rawOld(t *testing.T, stdin string, args []string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(p.old, args...)
	cmd.Args[0] = classicName
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.env, strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.normal(outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()})
}

func (p *pair) runNew(stdin string, args ...string) outcome {
	return p.rawNew(stdin, append(p.roots("new"), args...))
}

// rawNew runs this command with nothing but these words.
func (p *pair) rawNew(stdin string, args []string) outcome {
	var out, errs bytes.Buffer
	code := run(context.Background(), Env{
		Args: append([]string{classicName}, args...), Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Now: time.Now,
		Config: config.Env{Home: p.dir, Getenv: func(name string) (string, bool) {
			for _, v := range p.env {
				if value, ok := strings.CutPrefix(v, name+"="); ok {
					return value, true
				}
			}
			return "", false
		}},
	})
	return p.normal(outcome{code, out.String(), errs.String()})
}

// normal hides what differs by nature: the roots, random IDs, times, and the help,
// whose words are each command's own.
func (p *pair) normal(o outcome) outcome {
	for _, text := range []*string{&o.out, &o.err} {
		for _, side := range []string{"old", "new"} {
			*text = strings.ReplaceAll(*text, filepath.Join(p.dir, side), "ROOT")
		}
		*text = regexp.MustCompile(`\b[0-9a-f]{64}\b`).ReplaceAllString(*text, "HEX")
		*text = regexp.MustCompile(`"created":"[^"]*"`).ReplaceAllString(*text, `"created":"TIME"`)
		*text = regexp.MustCompile(`(?m)^Usage: (\S+ \S+)(?:.*\n)*?Options:\n`).ReplaceAllString(*text, "HELP $1\n")
		*text = regexp.MustCompile(`(?m)^(  --.*\n)+`).ReplaceAllString(*text, "OPTIONS\n")
		*text = regexp.MustCompile(`(?m)^(time=.*\n)+`).ReplaceAllString(*text, "")
	}
	return o
}

// check runs a line on both sides.
func (p *pair) check(t *testing.T, stdin string, args ...string) {
	t.Helper()
	want, got := p.runOld(t, stdin, args...), p.runNew(stdin, args...)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("%q (-old +strata):\n%s", args, diff)
	}
}

// checkLines runs a line on both sides; the old command answers for several names in
// random order.
func (p *pair) checkLines(t *testing.T, args ...string) {
	t.Helper()
	want, got := p.runOld(t, "", args...), p.runNew("", args...)
	for _, text := range []*string{&want.out, &want.err, &got.out, &got.err} {
		lines := slices.Sorted(strings.Lines(*text))
		*text = strings.Join(lines, "")
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("%q (-old +strata):\n%s", args, diff)
	}
}

// TestAgainstOldVerbs runs a long session of verbs on both sides.
func TestAgainstOldVerbs(t *testing.T) {
	for _, driver := range []string{"vfs", "overlay"} {
		t.Run(driver, func(t *testing.T) { againstOld(t, newPair(t, driver)) })
	}
}

func againstOld(t *testing.T, p *pair) {
	t.Helper()
	tree := testutil.Tar(t, testutil.Entry{Name: "etc/", Type: '5', Mode: 0o755}, testutil.Entry{Name: "etc/hostname", Body: "box\n", Mode: 0o644})
	file := filepath.Join(p.dir, "file")
	if err := os.WriteFile(file, tree, 0o600); err != nil {
		t.Fatal(err)
	}
	const sum = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	lines := []string{
		"create-layer -i lay1 -n first -n second", "create-layer -i lay1", "create-layer -n first", "create-layer nope", "create-layer -i lay2 lay1",
		"createlayer -j -i lay3 -n third -n third lay2", "create-layer", "create-layer -r -i lay4 ''",
		"create-layer --uidmap 0:1000 x", "vfs: create-layer --uidmap 0:1000:10:10:5000:5 --gidmap 0:1:1 -j -i mapped", "create-layer --gidmap 0:x:1",
		"create-layer --uidmap 0:0:1 --hostuidmap", "create-layer --gidmap 0:0:1 --hostgidmap", "create-layer --subuidmap nobody-at-all",
		"vfs: layer mapped", "vfs: layer -j mapped", "import-layer -f FILE -i imp1 lay1", "import-layer -f FILE -j -i imp2", "import-layer -f missing", "import-layer -i imp3",
		"layer lay1 nope imp1", "layer -j nope", "layer lay", "layer imp1", "layer -j imp1", "layer lay1 -j",
		"create-image -i img1 -n one -n two lay2", "create-image -j -i img2", "create-image -i img1", "create-image -n two", "create-image nope",
		"create-image -d xx", "create-image -i img3 -d " + sum, "create-image -i img4 -m text", "create-image -f missing", "createimage -i img5 imp1",
		"create-container -i ctr1 img1", "create-container -j -i ctr2 -n web -n www img2", "create-container nope", "create-container -i ctr1 img1", "create-container -n web img1",
		"createcontainer -i ctr3 -m text ''", "create-container --volatile -j -i ctr4 img4", "create-container",
		"layers", "layers -t", "layers -j", "images", "images -q", "images -j", "containers", "containers -j", "images what",
		"image img1 nope two", "image -j img2", "image nope", "container ctr1 web", "container -j ctr2", "container nope", "container",
		"images-by-digest " + sum, "images-by-digest -q " + sum, "images-by-digest -j " + sum[:70] + "0", "images-by-digest -j " + sum,
		"exists lay1", "exists nope", "exists -q nope", "exists -l ctr1", "exists -i img1", "exists -ci ctr1", "exists -j lay1 nope", "exists ''",
		"get-names lay1", "get-names -j img1", "get-names nope", "get-names -j ctr1", "set-names -n a -n b lay1", "set-names -j -n a lay1", "set-names nope",
		"set-names -j img2", "setnames -n a lay2", "get-names lay1", "add-names lay1", "add-names -n z nope",
		"metadata img4 ctr3", "metadata -q ctr3", "metadata nope", "metadata -j nope ctr3", "set-metadata -m new ctr3", "set-metadata ctr3", "set-metadata -m x nope",
		"set-metadata -f missing ctr3", "setmetadata -f FILE img2",
		"list-layer-data lay1", "list-layer-data -j lay1", "set-layer-data -f FILE lay1 k1", "set-layer-data lay1 k2", "get-layer-data lay1 k1", "get-layer-data lay1 nope",
		"get-layer-data nope k", "set-layer-data -f FILE lay1 ''", "set-layer-data lay1", "list-layer-data lay1", "list-layer-data nope", "set-layer-data nope k",
		"list-image-data -j img1", "set-image-data -f FILE img1 manifest", "set-image-data img1 k2", "get-image-data img1 k2", "get-image-data img1 nope", "get-image-data nope k",
		"get-image-data-size img1 manifest", "get-image-data-size img1 nope", "get-image-data-digest img1 k2", "get-image-data-digest img1 nope", "image img1", "image -j img1", "images",
		"list-image-data img1", "list-image-data nope", "set-image-data -f FILE img1 ''", "set-image-data -f FILE nope k", "get-image-data-size nope k", "get-image-data-digest nope k",
		"list-container-data ctr1", "set-container-data -f FILE ctr1 k1", "set-container-data web k2", "get-container-data ctr2 k2", "get-container-data ctr1 nope", "get-container-data nope k",
		"get-container-data-size ctr1 k1", "get-container-data-size ctr1 nope", "get-container-data-digest ctr1 k1", "get-container-data-digest ctr1 nope", "container ctr1", "containers",
		"list-container-data nope", "set-container-data -f FILE ctr1 ''", "set-container-data -f FILE nope k", "get-container-data-size nope k",
		"get-container-dir ctr1", "get-container-run-dir web", "get-container-dir nope", "get-container-run-dir nope",
		"changes -j lay2", "changes lay2 lay1", "changes nope", "changes imp1", "diffsize imp1", "diffsize nope", "diff-size lay2", "diff nope", "diff -x imp1", "diff -b imp1", "diff imp1", "diff -u imp1",
		"changes web", "applydiff nope", "applydiff -f missing lay4", "applydiff -f FILE lay4", "layer -j lay4", "diff lay4", "applydiff a b",
		"mount lay1 nope", "mount lay1", "mount -j web nope", "mount img1", "mounted lay1 nope", "mounted ctr1", "mounted -j lay1 web", "layers -t", "unmount lay1", "unmount lay1", "unmount lay1",
		"unmount nope web", "unmount -j nope", "umount -f lay1", "mount", "mount --option x lay1", "mount -o x lay1", "mount lay1", "unmount -f lay1", "mounted lay1", "unmount /tmp",
		"layer-parent-owners nope", "container-parent-owners nope",
		"delete-layer lay1", "delete-layer nope", "delete-layer lay2", "delete-layer -j lay1 nope", "delete-image img1", "delete-image -j img1 nope", "delete-image -t img5", "delete-image img5", "delete-image -j img2",
		"delete-container nope", "delete-container ctr1 ctr2", "delete-container -j ctr3 ctr3", "delete nope", "delete -j nope lay1", "layers", "layers -t", "delete ctr4", "delete img1", "delete lay2", "containers", "images", "layers",
		"shutdown", "mount imp2", "shutdown", "shutdown -j", "unmount imp2", "shutdown -j", "vfs: status", "vfs: status -j",
		"wipe", "layers", "images", "containers -j", "images -j", "wipe -j", "shutdown extra",
	}
	for _, line := range lines {
		// On overlay the new generation maps IDs while mounting, and says more about itself.
		line, vfsOnly := strings.CutPrefix(line, "vfs: ")
		if vfsOnly && p.driver != "vfs" {
			continue
		}
		args := strings.Fields(line)
		for i, w := range args {
			args[i] = strings.ReplaceAll(strings.Trim(w, "'"), "FILE", file)
		}
		p.check(t, "", args...)
	}
}

// TestAgainstOldGrammar runs random lines of words that the two parsers have to
// read alike.
func TestAgainstOldGrammar(t *testing.T) {
	p := newPair(t, "vfs")
	p.check(t, "", "create-layer", "-i", "a", "-n", "x")
	p.check(t, "", "create-image", "-i", "x", "-n", "a")
	words := []string{
		"-q", "--quiet", "-j", "--json", "-l", "-i", "-c", "--layer", "--image=false", "-l=true", "-i=0", "a", "x", "--", "-", "", "--foo", "-z", "-ql", "-qz", "-zq", "-l-q",
		"-lq=x", "--json=maybe", "-j=", "--quiet=T", "--debug=false", "-D=false", "-=x", "--=", "---", "--q", "-quiet", "-h", "--help", "-help", "-jh", "--storage-opt", "-s", "vfs", "-s=vfs", "--storage-driver='vfs'",
	}
	before := []string{"--debug=false", "--", "-D=0", "--help=false", "-s", "vfs", "--foo", "-z", "-Dz", "-", ""}
	rng := rand.New(rand.NewPCG(1, 2))
	lines := 150
	if testing.Short() {
		lines = 30
	}
	for range lines {
		var args []string
		for range max(rng.IntN(10)-7, 0) {
			args = append(args, before[rng.IntN(len(before))])
		}
		args = append(args, []string{"exists", "exists", "layer", "images", "metadata", "nope"}[rng.IntN(6)])
		for range rng.IntN(5) {
			args = append(args, words[rng.IntN(len(words))])
		}
		t.Run(fmt.Sprintf("%q", args), func(t *testing.T) { p.checkLines(t, args...) })
	}
}
