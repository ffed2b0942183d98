package config_test

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/errdefs"
)

// system is a made-up machine: files below a temporary root, and an environment.
type system struct {
	t    *testing.T
	root string
	uid  int
	vars map[string]string
}

func newSystem(t *testing.T, uid int) *system {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &system{t: t, root: root, uid: uid, vars: map[string]string{}}
}

func (s *system) path(name string) string { return filepath.Join(s.root, name) }

func (s *system) file(name, text string) string {
	s.t.Helper()
	path := s.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *system) env() config.Env {
	return config.Env{
		Getenv: func(n string) (string, bool) { v, ok := s.vars[n]; return v, ok },
		UID:    s.uid, Home: s.path("home/me"), Root: s.root, Rootless: s.uid != 0,
	}
}

func (s *system) load() *config.Config {
	s.t.Helper()
	c, err := config.Load(s.env())
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	s := newSystem(t, 0)
	c := s.load()
	if got, want := c.GraphRoot(), s.path("var/lib/containers/storage"); got != want {
		t.Errorf("graph root = %s, want %s", got, want)
	}
	if got, want := c.RunRoot(), s.path("run/containers/storage"); got != want {
		t.Errorf("run root = %s, want %s", got, want)
	}
	if c.Driver() != "" || c.TransientStore() || c.Sync() != "filesystem" || len(c.DriverOptions()) != 0 {
		t.Errorf("driver %q, transient %v, sync %q, options %q", c.Driver(), c.TransientStore(), c.Sync(), c.DriverOptions())
	}
	if _, minSize, maxSize := c.AutoUserns(); minSize != 1024 || maxSize != 65536 {
		t.Errorf("automatic user namespace sizes %d, %d", minSize, maxSize)
	}
}

func TestRootlessRoots(t *testing.T) {
	private := func(s *system, dir string) {
		if err := os.MkdirAll(s.path(dir), 0o700); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Chown(s.path(dir), s.uid, -1); err != nil {
			s.t.Skip("needs root to make another user's directory: ", err)
		}
	}
	tests := []struct {
		name  string
		setup func(s *system)
		graph string
		run   string
	}{
		{"XDG", func(s *system) {
			s.vars["XDG_DATA_HOME"], s.vars["XDG_RUNTIME_DIR"] = s.path("data"), s.path("rt")
		}, "data/containers/storage", "rt/containers"},
		{"home and tmp", func(*system) {}, "home/me/.local/share/containers/storage", "tmp/storage-run-1000/containers"},
		{"run user", func(s *system) { private(s, "run/user/1000") },
			"home/me/.local/share/containers/storage", "run/user/1000/containers"},
		{"system file's roots are not for users", func(s *system) {
			s.file("etc/containers/storage.conf", "[storage]\ngraphroot = '/var/lib/containers/storage'\nrunroot = '/run/containers/storage'\n")
		}, "home/me/.local/share/containers/storage", "tmp/storage-run-1000/containers"},
		{"rootless_storage_path", func(s *system) {
			s.file("etc/containers/storage.conf", "[storage]\nrootless_storage_path = '"+s.root+"/big/$UID'\n")
		}, "big/1000", "tmp/storage-run-1000/containers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSystem(t, 1000)
			tt.setup(s)
			c := s.load()
			if got, want := c.GraphRoot(), s.path(tt.graph); got != want {
				t.Errorf("graph root = %s, want %s", got, want)
			}
			if got, want := c.RunRoot(), s.path(tt.run); got != want {
				t.Errorf("run root = %s, want %s", got, want)
			}
		})
	}
}

func TestSearchOrder(t *testing.T) {
	s := newSystem(t, 0)
	conf := func(driver string) string { return "[storage]\ndriver = '" + driver + "'\n" }
	steps := []struct {
		name string
		add  func()
		want string
	}{
		{"vendor", func() { s.file("usr/share/containers/storage.conf", conf("vendor")) }, "vendor"},
		{"administrator", func() { s.file("etc/containers/storage.conf", conf("etc")) }, "etc"},
		{"user", func() { s.file("home/me/.config/containers/storage.conf", conf("user")) }, "user"},
		{"drop-in", func() { s.file("usr/share/containers/storage.conf.d/10-a.conf", conf("dropin10")) }, "dropin10"},
		{"later drop-in", func() { s.file("etc/containers/storage.rootful.conf.d/20-b.conf", conf("dropin20")) }, "dropin20"},
		{"masked drop-in", func() { s.file("home/me/.config/containers/storage.conf.d/20-b.conf", conf("mask20")) }, "mask20"},
		{"rootless drop-in is not read", func() { s.file("etc/containers/storage.rootless.conf.d/99.conf", conf("rootless")) }, "mask20"},
		{"not a .conf", func() { s.file("etc/containers/storage.conf.d/99.conf.bak", conf("bak")) }, "mask20"},
		{"STORAGE_DRIVER", func() { s.vars["STORAGE_DRIVER"] = "vfs" }, "vfs"},
		{"overlay2", func() { s.vars["STORAGE_DRIVER"] = "overlay2" }, "overlay"},
		{"only file", func() {
			delete(s.vars, "STORAGE_DRIVER")
			s.vars["CONTAINERS_STORAGE_CONF"] = s.file("only.conf", conf("only"))
		}, "only"},
		{"override", func() { s.vars["CONTAINERS_STORAGE_CONF_OVERRIDE"] = s.file("last.conf", conf("last")) }, "last"},
	}
	for _, step := range steps {
		step.add()
		if got := s.load().Driver(); got != step.want {
			t.Errorf("%s: driver = %q, want %q", step.name, got, step.want)
		}
	}
	s.vars["CONTAINERS_STORAGE_CONF"] = s.path("nowhere.conf")
	if _, err := config.Load(s.env()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "nowhere.conf: no such file or directory") {
		t.Errorf("missing file: %v", err)
	}
}

const everything = `# every key of the format
[storage]
driver = "overlay"
graphroot = "$HOME/g"   # expanded
runroot = "/run/$UID/r"
driver_priority = ["vfs", # one
  "overlay",
]
transient_store = true
[storage.options]
additionalimagestores = [
  "/ro/a",
  "/ro/b",
]
additionallayerstores = ["/al:ref"]
size = "1G"
mountopt = "nodev"
force_mask = 0o755
root-auto-userns-user = "containers"
auto-userns-min-size = 2048
disable-volatile = true
pull_options = {enable_partial_images = "true", "use_hard_links" = "false"}
[storage.options.overlay]
mountopt = "nodev,metacopy=on"
"sync" = "none"
[storage.options.vfs]
ignore_chown_errors = "true"
[storage.options.strata]
max_layer_size = "2GiB"
max_entries = "1000000"
[storage.options.thinpool]
anything = 1
`

// TestNoHome: a user without a home has no store, unless one is named.
func TestNoHome(t *testing.T) {
	env := config.Env{Getenv: func(string) (string, bool) { return "", false }, UID: 1234, Root: t.TempDir(), Rootless: true}
	c, err := config.Load(env)
	if err != nil || c.GraphRoot() != "" || c.RunRoot() == "" {
		t.Errorf("graph root %q, run root %q, %v", c.GraphRoot(), c.RunRoot(), err)
	}
	vars := map[string]string{"XDG_DATA_HOME": "/data"}
	env.Getenv = func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	if c, err = config.Load(env); err != nil || c.GraphRoot() != "/data/containers/storage" {
		t.Errorf("graph root %q, %v", c.GraphRoot(), err)
	}
}

func TestEveryKey(t *testing.T) {
	s := newSystem(t, 0)
	s.vars["HOME"] = s.path("home/me")
	path := s.file("etc/containers/storage.conf", everything)
	c := s.load()
	if len(c.Warnings) != 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
	if want := 1 + strings.Count(everything[:strings.Index(everything, "[storage.options.thinpool]")], "\n"); len(c.Ignored) != 1 ||
		c.Ignored[0] != (config.Warning{File: path, Line: want, Key: "storage.options.thinpool"}) {
		t.Errorf("ignored: %v, want line %d", c.Ignored, want)
	}
	got := map[string]any{}
	lines := map[string]int{}
	for _, set := range c.Settings() {
		if set.Origin.Source == config.FromFile {
			got[strings.TrimPrefix(set.Key, "storage.")] = set.Value
			lines[strings.TrimPrefix(set.Key, "storage.")] = set.Origin.Line
			if set.Origin.Name != path {
				t.Errorf("%s comes from %s", set.Key, set.Origin)
			}
		}
	}
	want := map[string]any{
		"driver": "overlay", "graphroot": s.path("home/me/g"), "runroot": "/run/0/r",
		"driver_priority": []string{"vfs", "overlay"}, "transient_store": true,
		"options.additionalimagestores": []string{"/ro/a", "/ro/b"}, "options.additionallayerstores": []string{"/al:ref"},
		"options.size": "1G", "options.mountopt": "nodev", "options.force_mask": "0755",
		"options.root-auto-userns-user": "containers", "options.auto-userns-min-size": uint32(2048),
		"options.disable-volatile": true, "options.pull_options": map[string]string{"enable_partial_images": "true", "use_hard_links": "false"},
		"options.overlay.mountopt": "nodev,metacopy=on", "options.overlay.sync": "none",
		"options.vfs.ignore_chown_errors": "true",
		"options.strata.max_layer_size":   "2GiB", "options.strata.max_entries": "1000000",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	for key, line := range map[string]int{"driver": 3, "driver_priority": 6, "transient_store": 9, "options.size": 16, "options.pull_options": 22, "options.overlay.sync": 25} {
		if lines[key] != line {
			t.Errorf("%s is on line %d, reported as %d", key, line, lines[key])
		}
	}
	wantOpts := []string{"size=1G", "mountopt=nodev", "force_mask=0755", "imagestore=/ro/a", "imagestore=/ro/b",
		"additionallayerstore=/al:ref", "overlay.mountopt=nodev,metacopy=on", "overlay.sync=none"}
	if diff := cmp.Diff(wantOpts, c.DriverOptions()); diff != "" {
		t.Errorf("driver options (-want +got):\n%s", diff)
	}
	if l := c.Limits(); l.LayerSize != 2<<30 || l.Entries != 1000000 || c.Sync() != "none" {
		t.Errorf("limits %+v, sync %q", l, c.Sync())
	}
}

func TestStorageOpts(t *testing.T) {
	s := newSystem(t, 0)
	s.file("etc/containers/storage.conf", everything)
	for _, tt := range []struct {
		value string
		want  []string
	}{{"overlay.mountopt=nodev, a=b", []string{"overlay.mountopt=nodev", "a=b"}}, {"", []string{}}} {
		s.vars["STORAGE_OPTS"] = tt.value
		if diff := cmp.Diff(tt.want, s.load().DriverOptions()); diff != "" {
			t.Errorf("STORAGE_OPTS=%q (-want +got):\n%s", tt.value, diff)
		}
	}
}

// TestForUser: without $HOME the home is the user's own, not that of who asks.
func TestForUser(t *testing.T) {
	vars := map[string]string{}
	env := config.Env{Getenv: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }, Home: "/elsewhere", Rootless: true}
	for _, id := range []string{"0", "65534"} {
		known, err := user.LookupId(id)
		if err != nil {
			continue // not on this system
		}
		uid, err := strconv.Atoi(id)
		if err != nil {
			t.Fatal(err)
		}
		if got := env.ForUser(uid); got.UID != uid || got.Home != known.HomeDir || !got.Rootless {
			t.Errorf("user %s: %d, home %s; want %s", id, got.UID, got.Home, known.HomeDir)
		}
	}
	vars["HOME"] = "/home/of/variable"
	if got := env.ForUser(0); got.Home != "/home/of/variable" {
		t.Errorf("home %s", got.Home)
	}
}

// TestOptionOrigins: driver options from the environment and the command line are told of,
// and which keys of the file have no effect.
func TestOptionOrigins(t *testing.T) {
	const text = "[storage]\ndriver = 'overlay'\n[storage.options]\nadditionalimagestores = ['/add']\n[storage.options.overlay]\nmountopt = 'nodev'\n[storage.options.vfs]\nignore_chown_errors = 'true'\n"
	const replaced = "not in effect: $STORAGE_OPTS replaces all driver options"
	file := []string{"imagestore=/add", "overlay.mountopt=nodev"}
	fromFile := config.Overridden{Value: file, Origin: config.Origin{Source: config.FromFile, Name: "storage.options.*"}}
	env := config.Origin{Source: config.FromEnvironment, Name: "STORAGE_OPTS"}
	line := config.Origin{Source: config.FromCommandLine, Name: "--storage-opt"}
	for _, tt := range []struct {
		name     string
		vars     string
		added    []string
		want     []config.Setting
		effect   []string
		noteOn   string
		noteText string
	}{
		{name: "file", effect: file, noteOn: "vfs.ignore_chown_errors", noteText: "not for the driver in use, overlay"},
		{
			name: "environment", vars: "a=b", effect: []string{"a=b"}, noteOn: "overlay.mountopt", noteText: replaced,
			want: []config.Setting{{Key: "driver-options", Value: []string{"a=b"}, Origin: env, Overrode: []config.Overridden{fromFile}}},
		},
		{name: "environment, additional stores", vars: "a=b", effect: []string{"a=b"}, noteOn: "additionalimagestores", noteText: replaced, want: []config.Setting{
			{Key: "driver-options", Value: []string{"a=b"}, Origin: env, Overrode: []config.Overridden{fromFile}},
		}},
		{
			name: "command line", added: []string{"c=d"}, effect: append(slices.Clone(file), "c=d"), noteOn: "overlay.mountopt",
			want: []config.Setting{{Key: "driver-options", Value: append(slices.Clone(file), "c=d"), Origin: line, Overrode: []config.Overridden{fromFile}}},
		},
		{name: "both", vars: "a=b", added: []string{"c=d"}, effect: []string{"a=b", "c=d"}, noteOn: "disable-volatile", want: []config.Setting{{
			Key: "driver-options", Value: []string{"a=b", "c=d"}, Origin: line,
			Overrode: []config.Overridden{{Value: []string{"a=b"}, Origin: env}, fromFile},
		}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSystem(t, 0)
			s.file("etc/containers/storage.conf", text)
			if tt.vars != "" {
				s.vars["STORAGE_OPTS"] = tt.vars
			}
			c := s.load()
			c.AddDriverOptions("--storage-opt", tt.added)
			var got []config.Setting
			for _, setting := range c.Settings() {
				if setting.Key == "driver-options" {
					got = append(got, setting)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("setting (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.effect, c.DriverOptions()); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
			if note := c.Note("storage.options." + tt.noteOn); note != tt.noteText {
				t.Errorf("note on %s: %q, want %q", tt.noteOn, note, tt.noteText)
			}
		})
	}
}

func TestUnknownKeys(t *testing.T) {
	s := newSystem(t, 0)
	path := s.file("etc/containers/storage.conf", "[storage]\ndrivr = 'overlay'\n[storage.options]\nqqqqqqqqqqqq = 1\n[storage.options.overlay]\nmount_opt = 'x'\n[other]\nx = 1\n")
	var got []string
	for _, w := range s.load().Warnings {
		got = append(got, strings.TrimPrefix(w.String(), path))
	}
	want := []string{
		`:2: unknown key "storage.drivr", did you mean "storage.driver"?`,
		`:4: unknown key "storage.options.qqqqqqqqqqqq"`,
		`:6: unknown key "storage.options.overlay.mount_opt", did you mean "storage.options.overlay.mountopt"?`,
		`:8: unknown key "other.x"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestBadValues(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"syntax", "[storage]\ndriver = \n", "toml: line 2"},
		{"number for string", "[storage]\n\ndriver = 3\n", `line 3: storage.driver: invalid: expected a string, found an integer`},
		{"string for boolean", "[storage]\ntransient_store = 'yes'\n", "line 2: storage.transient_store: invalid: expected a boolean, found a string"},
		{"number in list", "[storage]\ndriver_priority = ['a', 1]\n", "line 2: storage.driver_priority"},
		{"table in list", "[storage]\ndriver_priority = ['a', {prepend=true}]\n", "the only table allowed in an array is {append=true}"},
		{"negative size", "[storage.options]\nauto-userns-min-size = -1\n", "line 2: storage.options.auto-userns-min-size"},
		{"value for table", "[storage]\noptions = 1\n", "line 2: storage.options: invalid: expected a table, found an integer"},
		{"relative root", "[storage]\ngraphroot = 'a/b'\n", "is not an absolute path"},
		{"image store is graph root", "[storage]\ngraphroot = '/g'\nimagestore = '/g'\n", "is the graph root itself"},
		{"sync", "[storage.options.strata]\nsync = 'sometimes'\n", "storage.conf:2): \"sometimes\": expected \"filesystem\" or \"none\""},
		{"cap", "[storage.options.strata]\nmax_entries = 'lots'\n", "is not a size"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSystem(t, 0)
			s.file("etc/containers/storage.conf", tt.text)
			_, err := config.Load(s.env())
			if !errors.Is(err, errdefs.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAppendAndHistory(t *testing.T) {
	s := newSystem(t, 0)
	s.file("etc/containers/storage.conf", "[storage]\ndriver = 'vfs'\n[storage.options]\nadditionalimagestores = ['/a']\n")
	drop := s.file("etc/containers/storage.conf.d/1.conf", "[storage]\ndriver = 'overlay'\n[storage.options]\nadditionalimagestores = ['/b', {append=true}]\n")
	c := s.load()
	if got := c.AdditionalImageStores(); !slices.Equal(got, []string{"/a", "/b"}) {
		t.Errorf("additional image stores = %q", got)
	}
	c.Override("storage.driver", "--storage-driver", "btrfs")
	for _, set := range c.Settings() {
		if set.Key != "storage.driver" {
			continue
		}
		if set.Origin.String() != "--storage-driver" || len(set.Overrode) != 3 || set.Overrode[0].Origin.String() != drop+":2" ||
			set.Overrode[1].Value != "vfs" || set.Overrode[2].Origin.Source != config.FromDefault {
			t.Errorf("history of driver: %+v", set)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(everything)
	f.Add("[storage]\ndriver = '''a\nb'''\n[[storage.x]]\ny=1\n")
	f.Add("storage.driver='x'\n\"storage\".options.'size'=\"1\"\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "fuzz.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		env := config.Env{Getenv: func(string) (string, bool) { return "", false }, Root: dir}
		c, err := config.LoadFile(env, path)
		if err != nil {
			return
		}
		total := strings.Count(text, "\n") + 1
		for _, set := range c.Settings() {
			if set.Origin.Line > total {
				t.Fatalf("%s on line %d of %d", set.Key, set.Origin.Line, total)
			}
		}
		_ = c.DriverOptions()
	})
}
