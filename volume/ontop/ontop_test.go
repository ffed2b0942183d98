package ontop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/volume"
)

func make1(t *testing.T, d *Driver, base string, options ...string) {
	t.Helper()
	o := map[string]string{"base": base}
	for i := 0; i < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	_, err := d.Create(t.Context(), "v", o)
	must(t, err)
}

func TestOptionTexts(t *testing.T) {
	d, base := setup(t)
	must(t, os.Mkdir(d.opts.Root+"/taken", 0o700), os.WriteFile(d.opts.Root+"/taken/metadata.json", []byte(`{"BaseDirPath":"/","Volatile":false}`), 0o600))
	for _, c := range []struct {
		name    string
		options map[string]string
		text    string
		kind    error
	}{
		{"a/b", nil, "volume name cannot contain slashes", volume.ErrInvalidName},
		{"..", nil, `volume name contains illegal characters: it should comply to "[a-zA-Z0-9][a-zA-Z0-9_.-]*"`, volume.ErrInvalidName},
		{"", nil, "volume name contains illegal characters", volume.ErrInvalidName},
		{"v", map[string]string{"z": "", "foo": "", "base": base}, "Invalid option foo", ErrOption},
		{"v", nil, "`base` must be given", ErrOption},
		{"v", map[string]string{"base": "rel"}, "`base` must be an absolute path", ErrOption},
		{"v", map[string]string{"base": ""}, "`base` must be an absolute path", ErrOption},
		{"v", map[string]string{"base": base + "/none"}, "the base directory does not exist", ErrOption},
		{"v", map[string]string{"base": base + "/file"}, "`base` must be a directory", ErrOption},
		{"v", map[string]string{"base": d.opts.Root}, "`base` is inside the state folder", ErrOption},
		{"v", map[string]string{"base": base, "volatile": "1"}, "option `volatile` must be either 'true', 'false', 'yes', or 'no'", ErrOption},
		{"v", map[string]string{"base": base, "volatile": ""}, "option `volatile` must be either", ErrOption},
		{"v", map[string]string{"base": base, "lower": "image"}, "can not be given together", ErrOption},
		{"v", map[string]string{"lower": "image"}, "`lower` needs an image store", ErrOption},
		{"taken", map[string]string{"base": base}, "volume already exists", errdefs.ErrExists},
	} {
		_, err := d.Create(t.Context(), c.name, c.options)
		if err == nil || !strings.HasPrefix(err.Error(), c.text) && !strings.Contains(c.text, "together") || !errors.Is(err, c.kind) {
			t.Errorf("%s %v: %v, want %s", c.name, c.options, err, c.text)
		}
	}
	if _, err := d.Create(t.Context(), "root", map[string]string{"base": "/", "volatile": "YES"}); err != nil {
		t.Errorf("the root as base: %v", err)
	}
}

func TestPersistentAndVolatile(t *testing.T) {
	testutil.RequireRoot(t)
	for volatile, after := range map[string]string{"no": "changed", "yes": "base"} {
		t.Run(volatile, func(t *testing.T) {
			d, base := setup(t)
			before := testutil.Tree(t, base)
			make1(t, d, base, "volatile", volatile)
			path := mount(t, d, "A")
			var st unix.Stat_t
			must(t, unix.Stat(path, &st))
			if st.Uid != 12 || st.Gid != 34 || st.Mode&0o7777 != 0o1777 {
				t.Errorf("owner and mode of the base are not the volume's: %o %d:%d", st.Mode, st.Uid, st.Gid)
			}
			write(t, path+"/file", "changed")
			must(t, os.RemoveAll(path+"/dir"), os.Chmod(path, 0o700))
			mount(t, d, "B")
			unmount(t, d, "A")
			if got := read(t, path+"/file"); got != "changed" || !d.mounted() {
				t.Errorf("under the second user: %s", got)
			}
			unmount(t, d, "B")
			if d.mounted() || read(t, d.place("v").path(upperDir)+"/file") != "changed" {
				t.Error("still mounted, or changes dropped too early")
			}
			if got := read(t, mount(t, d, "C")+"/file"); got != after {
				t.Errorf("third user reads %s, want %s", got, after)
			}
			must(t, unix.Stat(path, &st))
			if want := map[string]uint32{"no": 0o700, "yes": 0o1777}[volatile]; st.Mode&0o7777 != want {
				t.Errorf("mode is %o, want %o", st.Mode&0o7777, want)
			}
			unmount(t, d, "C")
			must(t, d.Remove(t.Context(), "v"), d.Close())
			if diff := cmp.Diff(before, testutil.Tree(t, base)); diff != "" {
				t.Errorf("the base changed: %s", diff)
			}
			if left, _ := os.ReadDir(d.opts.Root); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// docker cp on a running container mounts and unmounts with the container's own ID.
func TestOneIDMountsTwice(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	mount(t, d, "A")
	mount(t, d, "A")
	unmount(t, d, "A")
	if !d.mounted() {
		t.Fatal("unmounted under a user")
	}
	unmount(t, d, "stranger")
	if !d.mounted() {
		t.Fatal("a stranger's unmount counted")
	}
	if err := d.Remove(t.Context(), "v"); !errors.Is(err, volume.ErrInUse) {
		t.Errorf("removal in use: %v", err)
	}
	unmount(t, d, "A")
	if d.mounted() {
		t.Error("still mounted")
	}
	unmount(t, d, "A")
}

func TestNamesAndIDsInEveryMethod(t *testing.T) {
	d, base := setup(t)
	make1(t, d, base)
	ctx := t.Context()
	for _, name := range []string{"", ".", "..", "../v", "v/upper", ".hidden", strings.Repeat("x", 300), "a\x00"} {
		_, create := d.Create(ctx, name, map[string]string{"base": base})
		_, mount := d.Mount(ctx, name, "A")
		_, get := d.Get(ctx, name)
		_, path := d.Path(ctx, name)
		_, size := d.Size(ctx, name)
		_, diff := d.Diff(ctx, name)
		_, clone := d.Clone(ctx, "v", name)
		for i, err := range []error{create, mount, get, path, size, diff, clone, d.Unmount(ctx, name, "A"), d.Remove(ctx, name), d.Reset(ctx, name), d.Discard(ctx, name), d.Rename(ctx, "v", name)} {
			if !errors.Is(err, volume.ErrInvalidName) {
				t.Errorf("method %d accepts %q: %v", i, name, err)
			}
		}
	}
	for _, id := range []string{"", ".", "..", "../x", "a/b", ".tmp", strings.Repeat("x", 256), "a b"} {
		if _, err := d.Mount(ctx, "v", id); !errors.Is(err, ErrInvalidID) {
			t.Errorf("Mount accepts %q: %v", id, err)
		}
		if err := d.Unmount(ctx, "v", id); !errors.Is(err, ErrInvalidID) {
			t.Errorf("Unmount accepts %q: %v", id, err)
		}
	}
	if _, err := d.Get(ctx, "v"); err != nil {
		t.Error(err)
	}
}

func TestListLeavesOutWhatIsNoVolume(t *testing.T) {
	d, base := setup(t)
	make1(t, d, base)
	root := d.opts.Root
	must(t, os.Mkdir(root+"/foreign", 0o700), os.WriteFile(root+"/file", nil, 0o600), os.Mkdir(root+"/.hidden", 0o700),
		os.Mkdir(root+"/bad", 0o700), os.WriteFile(root+"/bad/metadata.json", []byte("{"), 0o600))
	list, err := d.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != "v" || list[0].CreatedAt.IsZero() {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := d.Create(t.Context(), "foreign", map[string]string{"base": base}); err != nil {
		t.Errorf("an incomplete volume is not replaced: %v", err)
	}
	must(t, os.Mkdir(root+"/foreign2", 0o700), d.Remove(t.Context(), "foreign2"), d.Remove(t.Context(), "bad"))
	if err := d.Remove(t.Context(), "file"); !errors.Is(err, volume.ErrNoSuchVolume) {
		t.Error(err)
	}
}

func TestBaseThatComesAndGoes(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	must(t, os.Rename(base, base+"-away"))
	_, err := d.Mount(t.Context(), "v", "A")
	if err == nil || !strings.Contains(err.Error(), "does the base directory exist?") {
		t.Fatal(err)
	}
	if users, _ := d.place("v").records(); len(users) != 0 {
		t.Error("a failed mount is recorded")
	}
	must(t, os.Rename(base+"-away", base))
	if got := read(t, mount(t, d, "A")+"/file"); got != "base" {
		t.Error(got)
	}
}

func TestBusyUnmount(t *testing.T) {
	testutil.RequireRoot(t)
	for volatile, after := range map[string]string{"no": "late", "yes": "base"} {
		t.Run(volatile, func(t *testing.T) {
			d, base := setup(t)
			make1(t, d, base, "volatile", volatile)
			path := mount(t, d, "A")
			busy, err := os.OpenFile(path+"/file", os.O_RDWR|os.O_TRUNC, 0)
			must(t, err)
			defer busy.Close()
			if err := d.Unmount(t.Context(), "v", "A"); !errors.Is(err, unix.EBUSY) || !strings.HasPrefix(err.Error(), "strata-ontop internal error") {
				t.Fatalf("error of a busy unmount: %v", err)
			}
			_, err = busy.WriteString("late")
			must(t, err)
			path = mount(t, d, "B")
			if got := read(t, path+"/file"); got != after {
				t.Errorf("reads %q, want %q", got, after)
			}
			if n := overlaysAt(t, path); n != 1 {
				t.Errorf("%d overlays are stacked", n)
			}
			must(t, busy.Close())
			unmount(t, d, "B")
			if d.mounted() {
				t.Error("still mounted")
			}
		})
	}
}

func overlaysAt(t *testing.T, path string) int {
	t.Helper()
	return strings.Count(read(t, "/proc/self/mountinfo"), " "+path+" ")
}

func TestUnmountedByHand(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	path := mount(t, d, "A")
	must(t, mountapi.Unmount(path))
	_, err := d.Mount(t.Context(), "v", "B")
	if !errors.Is(err, ErrNotMounted) || errdefs.Hint(err) == "" {
		t.Fatalf("a path that is not the overlay is handed out: %v", err)
	}
	must(t, d.Reset(t.Context(), "v"))
	mount(t, d, "B")
	unmount(t, d, "B")
	// After a restart of the machine, and at a start of the driver, such records are stale.
	mount(t, d, "C")
	must(t, mountapi.Unmount(path))
	d.opts.Boot = "another"
	mount(t, d, "D")
	must(t, mountapi.Unmount(path))
	d = open(t, d.opts.Root)
	if users, _ := d.place("v").records(); len(users) != 0 {
		t.Errorf("stale records %v", users)
	}
	mount(t, d, "E")
}

func TestStateOfTheModel(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	dir := d.opts.Root + "/v"
	must(t, os.MkdirAll(dir+"/upper", 0o755), os.MkdirAll(dir+"/activemounts", 0o755), os.WriteFile(dir+"/upper/new", nil, 0o644),
		os.WriteFile(dir+"/metadata.json", []byte(fmt.Sprintf(`{"BaseDirPath":%q,"Volatile":false,"Other":1}`, base)), 0o644))
	path := mount(t, d, "A")
	write(t, dir+"/activemounts/A", `{"UsageCount":2}`)
	unmount(t, d, "A")
	if !d.mounted() {
		t.Fatal("the model's count is not read")
	}
	write(t, dir+"/activemounts/A", "")
	if _, err := d.Mount(t.Context(), "v", "A"); !errors.Is(err, errdefs.ErrCorrupt) || errdefs.Hint(err) == "" {
		t.Errorf("unreadable record: %v", err)
	}
	if err := d.Unmount(t.Context(), "v", "A"); !errors.Is(err, errdefs.ErrCorrupt) || !d.mounted() {
		t.Errorf("unreadable record: %v", err)
	}
	must(t, d.Reset(t.Context(), "v"))
	if _, err := os.Stat(path); err == nil {
		t.Error("the mount point is left")
	}
	mount(t, d, "A")
}

func TestOneBrokenVolumeStopsNobody(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	_, err := d.Create(t.Context(), "w", map[string]string{"base": base})
	must(t, err)
	must(t, os.MkdirAll(d.opts.Root+"/w/mountpoint/in-the-way", 0o700))
	d = open(t, d.opts.Root)
	mount(t, d, "A")
	if _, err := d.Mount(t.Context(), "w", "A"); err == nil || !strings.Contains(err.Error(), "could not be recovered") {
		t.Error(err)
	}
	must(t, os.Remove(d.opts.Root+"/w/mountpoint/in-the-way"), d.Reset(t.Context(), "w"))
	if _, err := d.Mount(t.Context(), "w", "A"); err != nil {
		t.Error(err)
	}
}

func TestTwoDriversOnOneStateFolder(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	other := open(t, d.opts.Root)
	path := mount(t, d, "A")
	if mount(t, other, "B"); overlaysAt(t, path) != 1 {
		t.Error("two overlays")
	}
	unmount(t, d, "A")
	if !other.mounted() {
		t.Error("unmounted under the other's user")
	}
	unmount(t, other, "B")
}

func TestParallelMountsEndClean(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	other := open(t, d.opts.Root)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			who := []*Driver{d, other}[i%2]
			id := fmt.Sprint("id", i%4)
			path, err := who.Mount(context.Background(), "v", id)
			if err == nil && !isOverlay(path) {
				err = errors.New("not an overlay")
			}
			if err := errors.Join(err, who.Unmount(context.Background(), "v", id)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	users, _ := d.place("v").records()
	if path := d.place("v").path(mountDir); d.mounted() || len(users) != 0 || overlaysAt(t, path) != 0 {
		t.Errorf("left: %v", users)
	}
}

func TestMountThatWaitsWhileTheVolumeGoes(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	unlock, _, err := d.place("v").lock(t.Context(), true)
	must(t, err)
	waiting := make(chan error)
	go func() { _, err := d.Mount(context.Background(), "v", "A"); waiting <- err }()
	time.Sleep(30 * time.Millisecond)
	must(t, d.trash(d.place("v").dir))
	unlock()
	if err := <-waiting; !errors.Is(err, volume.ErrNoSuchVolume) {
		t.Error(err)
	}
	make1(t, d, base)
	unlock, _, err = d.place("v").lock(t.Context(), true)
	must(t, err)
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.Mount(ctx, "v", "A"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestDamagedMetadata: a volume whose metadata can not be read keeps its changes, and the error
// says where they are.
func TestDamagedMetadata(t *testing.T) {
	d, base := setup(t)
	_, err := d.Create(t.Context(), "v", map[string]string{"base": base})
	must(t, err)
	dir := d.opts.Root + "/v"
	write(t, dir+"/upper/mine", "kept")
	write(t, dir+"/metadata.json", `{"BaseDirPath":"/s`)
	d = open(t, d.opts.Root)
	if _, err := d.Get(t.Context(), "v"); !errors.Is(err, errdefs.ErrCorrupt) || !strings.Contains(errdefs.Hint(err), dir+"/upper") {
		t.Errorf("%v, hint %q", err, errdefs.Hint(err))
	}
	if _, err := d.Create(t.Context(), "v", map[string]string{"base": base}); !errors.Is(err, volume.ErrExists) {
		t.Errorf("created over it: %v", err)
	}
	if data, err := os.ReadFile(dir + "/upper/mine"); string(data) != "kept" {
		t.Errorf("%q, %v", data, err)
	}
}
