package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/layer"
)

// outcome is what a command line did.
type outcome struct {
	code     int
	out, err string
}

// invoke runs a command line in this process, in an empty environment.
func invoke(t *testing.T, args ...string) outcome {
	t.Helper()
	root := t.TempDir()
	var out, errs bytes.Buffer
	code := run(context.Background(), Env{
		Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: time.Now,
		Config: config.Env{Getenv: func(string) (string, bool) { return "", false }, Home: root, Root: root},
	})
	return outcome{code, out.String(), errs.String()}
}

// TestClassicMistakes walks through table 1.1 of the command-line reference. The
// help is checked by its beginning; everything else is compared whole.
func TestClassicMistakes(t *testing.T) {
	const (
		general = "Usage: containers-storage command [options [...]]\n\nCommands:\n\n  "
		list    = "\n  --debug, -D "
	)
	verbHelp := func(usage string) string { return "Usage: containers-storage " + usage + "\n\n" }
	tests := []struct {
		name  string
		args  string
		argv0 string
		code  int
		// out and err have to begin the two streams; "" is an empty stream
		out, err string
	}{
		{"no arguments at all", "", "", 1, general, list},
		{"only global options", "--debug", "", 1, general, list},
		{"--help before the verb", "--help", "", 0, general, ""},
		{"--help before a verb", "--help layers", "", 0, general, ""},
		{"-h before the verb", "-h", "", 1, general, list},
		{"unknown global option", "--foo", "", 1,
			"flag provided but not defined: --foo while parsing arguments (1)\n" + general,
			"flag provided but not defined: --foo\nSee 'containers-storage --help'.\n" + list},
		{"unknown global option, called by a path", "--foo", "/opt/bin/containers-storage", 1,
			"flag provided but not defined: --foo while parsing arguments (1)\n" + general,
			"flag provided but not defined: --foo\nSee '/opt/bin/containers-storage containers-storage --help'.\n" + list},
		{"malformed global option", "--debug=maybe layers", "", 1,
			`invalid boolean value "maybe" for  --debug: strconv.ParseBool: parsing "maybe": invalid syntax while parsing arguments (1)` + "\n" + general,
			`invalid boolean value "maybe" for  --debug: strconv.ParseBool: parsing "maybe": invalid syntax` + "\nSee 'containers-storage --help'.\n" + list},
		{"global option without its value", "-g", "", 1,
			"flag needs an argument: -g while parsing arguments (1)\n" + general,
			"flag needs an argument: -g\nSee 'containers-storage --help'.\n" + list},
		{"unknown verb", "foo", "", 1, "foo: unrecognized command.\n", ""},
		{"options behind two dashes", "-- -g x layers", "", 1, "-g: unrecognized command.\n", ""},
		{"empty verb", "'' layers", "", 1, ": unrecognized command.\n", ""},
		{"--help after the verb", "layers --help", "", 125, verbHelp("layers [options [...]] "), list},
		{"-h after the verb", "layers -h", "", 125, verbHelp("layers [options [...]] "), list},
		{"help in a cluster", "layers -jh", "", 125, verbHelp("layers [options [...]] "), list},
		{"unknown option after the verb", "layers --foo", "", 125, "",
			"flag provided but not defined: --foo\nSee 'containers-storage layers --help'.\n"},
		{"the same, called by a path", "layers --foo", "/opt/bin/containers-storage", 125, "",
			"flag provided but not defined: --foo\nSee '/opt/bin/containers-storage layers --help'.\n"},
		{"the same with an alias", "umount --foo", "", 125, "",
			"flag provided but not defined: --foo\nSee 'containers-storage umount --help'.\n"},
		{"unknown letter", "layers -z", "", 125, "", "flag provided but not defined: -z\nSee 'containers-storage layers --help'.\n"},
		{"unknown cluster", "layers -zx", "", 125, "", "flag provided but not defined: -zx\nSee 'containers-storage layers --help'.\n"},
		{"long name with one dash", "layers -graph x", "", 125, "", "flag provided but not defined: -graph\nSee 'containers-storage layers --help'.\n"},
		{"glued short value", "create-layer -ibase", "", 125, "",
			"flag needs an argument: -i\nSee 'containers-storage create-layer --help'.\nflag provided but not defined: -ibase\nSee 'containers-storage create-layer --help'.\n"},
		{"option without its value", "create-image -i", "", 125, "", "flag needs an argument: -i\nSee 'containers-storage create-image --help'.\n"},
		{"bad boolean", "layers --json=maybe", "", 125, "",
			`invalid boolean value "maybe" for  --json: strconv.ParseBool: parsing "maybe": invalid syntax` + "\nSee 'containers-storage layers --help'.\n"},
		{"too few positionals", "layer", "", 1, "layer: more arguments required.\n" + verbHelp("layer [options [...]] LAYER..."), list},
		{"too many positionals", "create-image a b c", "", 1,
			"create-image: too many arguments ([a b c]).\n" + verbHelp("create-image [options [...]] [TOP-LAYER]"), "\n  --debug, -D "},
		{"option word without a name", "layers -=x", "", 125, "", "bad flag syntax: -=x\nSee 'containers-storage layers --help'.\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			argv0 := tt.argv0
			if argv0 == "" {
				argv0 = classicName
			}
			words := strings.Fields(tt.args)
			for i := range words {
				words[i] = strings.Trim(words[i], "'")
			}
			got := invoke(t, append([]string{argv0}, words...)...)
			if got.code != tt.code || !begins(got.out, tt.out) || !begins(got.err, tt.err) {
				t.Errorf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", got.code, tt.code, got.out, got.err)
			}
		})
	}
}

// begins reports whether text begins with want; nothing begins only nothing.
func begins(text, want string) bool {
	if want == "" {
		return text == ""
	}
	return strings.HasPrefix(text, want)
}

func TestClassicHelpIsPrintedTwice(t *testing.T) {
	got := invoke(t, classicName, "-h")
	if n := strings.Count(got.out, "Commands:"); n != 2 {
		t.Errorf("the help is on standard output %d times, want 2", n)
	}
	if n := strings.Count(got.err, "--graph, -g"); n != 2 {
		t.Errorf("the options are on standard error %d times, want 2", n)
	}
	if !strings.Contains(got.out, "flag: help requested while parsing arguments (1)\n") {
		t.Error("the line about help is missing")
	}
}

func TestSuggest(t *testing.T) {
	candidates := []string{"images", "image", "layers", "load", "create-container", "delete-image"}
	tests := []struct{ word, want string }{
		{"imges", "images"}, {"imagse", "images"}, {"laod", "load"}, {"layer", "layers"}, {"create-cotnainer", "create-container"},
		{"create", "create-container"}, {"zzzz", ""}, {"", ""},
	}
	for _, tt := range tests {
		if got := suggest(tt.word, candidates); got != tt.want {
			t.Errorf("suggest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}

// TestMeant checks that the words of other tools lead to verbs that are there.
func TestMeant(t *testing.T) {
	list := verbs()
	found := 0
	for word, verb := range meant() {
		if findVerb(list, word) != nil {
			t.Errorf("%q is a verb itself", word)
		}
		if findVerb(list, verb) != nil {
			found++
		}
	}
	if found < 10 {
		t.Errorf("only %d of the words lead anywhere", found)
	}
}

func TestVerbFirst(t *testing.T) {
	list := append(verbs(), &Verb{Name: "volume ls", Aliases: []string{"volume list"}})
	global := (&globals{}).modernOptions()
	tests := []struct{ name, in, want string }{
		{"verb first", "layers -t", "layers -t"},
		{"global option with value", "-g x layers", "layers -g x"},
		{"value that is a verb's name", "-g images layers", "layers -g images"},
		{"value with equals", "--graph=x layers", "layers --graph=x"},
		{"switch of the verb", "--tree layers", "layers --tree"},
		{"option of the verb with value", "--name x import a.tar", "import --name x a.tar"},
		{"cluster with value", "-js vfs layers", "layers -js vfs"},
		{"glued value", "-svfs layers", "layers -svfs"},
		{"help", "-j help load", "help -j load"},
		{"unknown verb", "-j foo layers", "-j foo layers"},
		{"behind two dashes", "-- layers", "layers"},
		{"a lone dash", "- layers", "- layers"},
		{"family first", "-j volume ls -q", "volume ls -j -q"},
		{"option before a family's verb", "volume --filter name=x -j list", "volume list --filter name=x -j"},
		{"verb outside of the family", "volume layers", "volume layers"},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(verbFirst(strings.Fields(tt.in), list, global), " ")
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"success", nil, 0},
		{"anything", errors.New("x"), 1},
		{"usage", usagef("", "x"), 2},
		{"not known", fmt.Errorf("y: %w", layer.ErrUnknown), 3},
		{"no file", &fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, 3},
		{"exists", layer.ErrDuplicateID, 4},
		{"in use", layer.ErrHasChildren, 5},
		{"corrupt", fmt.Errorf("%w", errdefs.ErrCorrupt), 6},
		{"unsupported", errdefs.ErrUnsupported, 7},
		{"read-only", layer.ErrReadOnlyStore, 8},
		{"read-only file system", syscall.EROFS, 8},
		{"locked", errdefs.ErrLocked, 9},
		{"limit", errdefs.ErrLimit, 10},
		{"no space", fmt.Errorf("write: %w", syscall.ENOSPC), 11},
		{"permission", syscall.EACCES, 12},
		{"interrupted", context.Canceled, 130},
		{"interrupted in the middle of a tar", fmt.Errorf("%w: %w", errdefs.ErrCorrupt, context.Canceled), 130},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := exitCodeOf(tt.err); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
		})
	}
	help := invoke(t, programName, "--help").out
	var codes []int
	for _, row := range exitCodes() {
		if slices.Contains(codes, row.code) {
			t.Errorf("code %d is there twice", row.code)
		}
		codes = append(codes, row.code)
		if !strings.Contains(help, fmt.Sprintf("%3d  %s\n", row.code, row)) {
			t.Errorf("the help does not show code %d", row.code)
		}
	}
	if !slices.IsSorted(codes) {
		t.Errorf("codes are not sorted: %v", codes)
	}
}

func TestObject(t *testing.T) {
	got, err := object(struct {
		ID string `json:"id"`
	}{"x"}, member{"chain-id", "sha256:1"}, member{"read-only", false})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"id":"x","chain-id":"sha256:1","read-only":false}`, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestModernText(t *testing.T) {
	tests := []struct {
		name, arg string
		err       error
		want      string
	}{
		{"names nothing", "a", errors.New("image not known"), "a: image not known"},
		{"names it already", "a", errors.New("stat a: gone"), "stat a: gone"},
		{"names a longer word", "lay", errors.New("lay1 is gone"), "lay: lay1 is gone"},
		{"no argument", "", errors.New("gone"), "gone"},
		{"unknown object", "x", &strata.UnknownError{Kind: strata.KindImage, Name: "debian"}, "debian: image not known"},
		{"subject", "x", &layer.SubjectError{Subject: "base", Err: layer.ErrDuplicateName}, "base: that name is already in use"},
		{"wrapped", "x", fmt.Errorf("save x: %w", &strata.UnknownError{Kind: strata.KindImage, Name: "y"}), `save x: locating image with ID "y": image not known`},
		{"empty argument", "", &strata.UnknownError{Kind: strata.KindLayer}, `"": layer not known`},
		{"interrupted", "x", context.Canceled, "interrupted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := modernText(tt.arg, tt.err); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
