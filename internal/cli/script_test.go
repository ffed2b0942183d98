package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

// TestMain lets the stories run the program itself where it matters how it is called.
func TestMain(m *testing.M) {
	if strings.HasSuffix(os.Args[0], ".test") { // and not one of the programs below
		if err := testutil.OwnMounts(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	program := func() { os.Exit(Run(context.Background(), System())) }
	testscript.Main(m, map[string]func(){programName: program, classicName: program})
}

// TestStories runs the stories of testdata with each driver. Most commands run in
// this process:
//
//	cs ARGS       containers-storage with the story's store and driver
//	st ARGS       strata with the same
//	csx, stx      the same two without any option added
//	exit N CMD    CMD has to end with exactly this exit code
//	in FILE       standard input of the next command
//	tty WIDTH     from now on standard output is a terminal; "tty off" ends that
//	let NAME RE   sets a variable to the first group that matches standard output
//	tar FILE DIR  packs a directory with tar(1), owned by root
//	replace FILE OLD NEW   edits a file
func TestStories(t *testing.T) {
	for _, driver := range []string{"vfs", "overlay"} {
		t.Run(driver, func(t *testing.T) {
			if driver == "overlay" && os.Geteuid() != 0 {
				t.Skip("overlay needs root")
			}
			testscript.RunT(oneByOne{t}, testscript.Params{
				Dir:                 "testdata",
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
				Setup:               func(e *testscript.Env) error { return setup(e, driver) },
				Condition:           func(cond string) (bool, error) { return condition(cond, driver) },
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"cs": runner(classicName, true), "csx": runner(classicName, false),
					"st": runner(programName, true), "stx": runner(programName, false),
					"exit": cmdExit, "in": cmdIn, "tty": cmdTTY, "let": cmdLet, "tar": cmdTar, "replace": cmdReplace,
				},
			})
		})
	}
}

// oneByOne runs stories one after the other: the working directory, which they
// change, belongs to the process.
type oneByOne struct{ *testing.T }

func (oneByOne) Parallel()     {}
func (oneByOne) Verbose() bool { return testing.Verbose() }

func (t oneByOne) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(oneByOne{t}) })
}

// story is the state that the commands of one story share.
type story struct {
	driver   string
	in       io.Reader
	terminal Terminal
}

type storyKey struct{}

func setup(e *testscript.Env, driver string) error {
	e.Values[storyKey{}] = &story{driver: driver}
	conf := filepath.Join(e.WorkDir, "storage.conf")
	text := fmt.Sprintf("[storage]\ndriver = %q\ngraphroot = %q\nrunroot = %q\n", driver, e.WorkDir+"/conf/graph", e.WorkDir+"/conf/run")
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	e.Setenv("G", filepath.Join(e.WorkDir, "graph"))
	e.Setenv("R", filepath.Join(e.WorkDir, "run"))
	e.Setenv("D", driver)
	e.Setenv("CONTAINERS_STORAGE_CONF", conf)
	e.Setenv("TMPDIR", e.WorkDir)
	e.Setenv("STRATA_OPTS", "")
	e.Defer(func() {
		detachVolumes(filepath.Join(e.WorkDir, "graph"))
		for _, roots := range [][2]string{{"graph", "run"}, {"graph2", "run2"}, {"conf/graph", "conf/run"}, {"images", "run2"}} {
			shutdownStores(filepath.Join(e.WorkDir, roots[0]), filepath.Join(e.WorkDir, roots[1]))
		}
	})
	return nil
}

// detachVolumes unmounts the volumes on top that a story which failed left mounted.
func detachVolumes(graph string) {
	points, _ := filepath.Glob(filepath.Join(graph, "strata", "ontop", "*", "mountpoint"))
	for _, point := range points {
		_ = mountapi.Detach(point) // one that is not mounted is an error, and fine
	}
}

// shutdownStores releases what keeps the directories of a story from being
// removed, for each driver that has state there. A story may leave its store broken
// on purpose; the removal of its directory tells then.
func shutdownStores(graph, run string) {
	for _, driver := range []string{"overlay", "vfs"} {
		if _, err := os.Stat(filepath.Join(graph, driver)); err != nil {
			continue
		}
		Run(context.Background(), Env{
			Args:  []string{programName, "--graph", graph, "--run", run, "--storage-driver", driver, "shutdown", "--force"},
			Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Now: time.Now,
			Config: config.Env{Getenv: func(string) (string, bool) { return "", false }, Root: filepath.Dir(graph)},
		})
	}
}

func condition(cond, driver string) (bool, error) {
	switch cond {
	case "overlay", "vfs":
		return cond == driver, nil
	case "root":
		return os.Geteuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// runner makes the command that runs one of the two manners in this process.
func runner(program string, withStore bool) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		code := call(ts, program, withStore, args)
		if (code != exitOK) != neg {
			ts.Fatalf("%s %s: exit code %d", program, strings.Join(args, " "), code)
		}
	}
}

func call(ts *testscript.TestScript, program string, withStore bool, args []string) int {
	s := ts.Value(storyKey{}).(*story)
	words := []string{program}
	if withStore {
		words = append(words, "--graph", ts.Getenv("G"), "--run", ts.Getenv("R"), "--storage-driver", s.driver)
		words = append(words, strings.Fields(ts.Getenv("STRATA_OPTS"))...)
	}
	in := s.in
	if in == nil {
		in = strings.NewReader("")
	}
	s.in = nil
	home, err := os.Getwd()
	ts.Check(err)
	ts.Check(os.Chdir(ts.MkAbs(".")))
	defer func() { ts.Check(os.Chdir(home)) }()
	var errs bytes.Buffer
	code := Run(context.Background(), Env{
		Args: append(words, args...), Stdin: in, Stdout: ts.Stdout(), Stderr: io.MultiWriter(ts.Stderr(), &errs),
		Terminal: s.terminal, Now: time.Now, Config: scriptConfig(ts),
	})
	if twice := testutil.Stutter(errs.String()); twice != "" {
		ts.Fatalf("%q is said twice: %s", twice, &errs)
	}
	return code
}

// scriptConfig is the environment of a story, which sees nothing of this machine's: its system
// directories are below $WORK/root.
func scriptConfig(ts *testscript.TestScript) config.Env {
	env := config.SystemEnv()
	env.Home = ts.Getenv("WORK")
	env.Root = filepath.Join(env.Home, "root")
	env.Getenv = func(name string) (string, bool) {
		v := ts.Getenv(name)
		return v, v != ""
	}
	return env
}

// cmdExit runs a command and compares its exit code.
func cmdExit(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	programs := map[string]struct {
		name  string
		store bool
	}{"cs": {classicName, true}, "csx": {classicName, false}, "st": {programName, true}, "stx": {programName, false}}
	p, ok := programs[args[1]]
	if !ok {
		ts.Fatalf("exit: unknown command %s", args[1])
	}
	if code := call(ts, p.name, p.store, args[2:]); code != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), code, want)
	}
}

func cmdIn(ts *testscript.TestScript, _ bool, args []string) {
	ts.Value(storyKey{}).(*story).in = strings.NewReader(ts.ReadFile(args[0]))
}

func cmdTTY(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value(storyKey{}).(*story)
	if args[0] == "off" {
		s.terminal = Terminal{}
		return
	}
	width, err := strconv.Atoi(args[0])
	ts.Check(err)
	s.terminal = Terminal{Out: true, Width: width, Err: slices.Contains(args, "progress")}
}

func cmdLet(ts *testscript.TestScript, _ bool, args []string) {
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	m := re.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) != 2 {
		ts.Fatalf("let: %q does not match standard output", args[1])
	}
	ts.Setenv(args[0], m[1])
}

func cmdTar(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@1000000000", "-C", ts.MkAbs(args[1]), "-cf", ts.MkAbs(args[0]), "."))
}

func cmdReplace(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	text := strings.ReplaceAll(ts.ReadFile(path), args[1], args[2])
	ts.Check(os.WriteFile(path, []byte(text), 0o600))
}
