package volume

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/stratastore/strata/errdefs"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "A-b_c.d", "0", strings.Repeat("x", MaxName)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "-a", "_a", ".a", "a/b", "a b", "ä", "a\x00", "a\n", strings.Repeat("x", MaxName+1)} {
		if err := CheckName(name); !errors.Is(err, ErrInvalidName) || !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzCheckName(f *testing.F) {
	for _, seed := range []string{"a", "..", "a/b", "", "x.y-z_0", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if CheckName(name) != nil {
			return
		}
		if filepath.Base(name) != name || filepath.Join("/r", name) != "/r/"+name || name[0] == '.' || len(name) > MaxName {
			t.Errorf("%q is accepted", name)
		}
	})
}

func FuzzFilterArguments(f *testing.F) {
	f.Add("label", "k=v", "dangling", "1")
	f.Add("name", "[", "driver", "x:latest")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		args := map[string][]string{k1: {v1}, k2: {v2}}
		if filter, err := ListFilter(args); err == nil {
			filter.Match(Volume{Name: v1, Driver: v2, Labels: map[string]string{v1: v2}})
		}
		if opts, err := PruneFilter(args); err == nil {
			opts.Filter.Match(Volume{Name: v1})
		}
	})
}

func TestErrorTexts(t *testing.T) {
	local, other := newFake("local"), newFake("other")
	s := open(t, "", local, other)
	create(t, s, "V", CreateOptions{Holder: Holder{ID: "c2"}})
	if _, err := s.Get(t.Context(), "V", GetOptions{Holder: Holder{ID: "c1"}}); err != nil {
		t.Fatal(err)
	}
	_, conflict := s.Create(t.Context(), "V", CreateOptions{Driver: "other"})
	_, missing := s.Create(t.Context(), "W", CreateOptions{Driver: "P"})
	_, unknown := s.Get(t.Context(), "W", GetOptions{})
	local.failing(ErrUnavailable, "get")
	_, down := s.Get(t.Context(), "V", GetOptions{})
	for _, c := range []struct {
		err  error
		text string
	}{
		{s.Remove(t.Context(), "V", RemoveOptions{Force: true}), "remove V: volume is in use - [c1, c2]"},
		{conflict, "create V: driver 'local' already has volume 'V': volume name must be unique"},
		{missing, `create W: error looking up volume plugin P: plugin "P" not found`},
		{unknown, "get W: no such volume"},
		{down, `get V: error while checking if volume "V" exists in driver "local": volume driver is unavailable`},
		{&Error{Op: OpList, Err: errBroken}, "list: internal error"},
	} {
		if diff := cmp.Diff(c.text, c.err.Error()); diff != "" {
			t.Error(diff)
		}
	}
	want(t, missing, OpCreate, ErrNoSuchDriver)
}

func TestCreateOfWhatIsThere(t *testing.T) {
	local := newFake("local", "adopted")
	s := open(t, "", local)
	adopted := create(t, s, "adopted", CreateOptions{Driver: "local", Options: map[string]string{"type": "tmpfs"}, Labels: map[string]string{"k": "v"}})
	if !adopted.Existed || len(adopted.Options) != 0 || adopted.Labels["k"] != "v" || len(adopted.Warnings) == 0 {
		t.Errorf("adopted: %+v", adopted)
	}
	again := create(t, s, "adopted", CreateOptions{Labels: map[string]string{"k": "other"}})
	if !again.Existed || again.Labels["k"] != "v" || len(again.Warnings) != 1 {
		t.Errorf("again: %+v", again)
	}
	_, err := s.Create(t.Context(), "adopted", CreateOptions{FailIfExists: true})
	want(t, err, OpCreate, ErrExists)
	anonymous := create(t, s, "", CreateOptions{})
	if _, labelled := anonymous.Labels[AnonymousLabel]; !labelled || len(anonymous.Name) != 64 {
		t.Errorf("anonymous: %+v", anonymous)
	}
}

func TestStaleVolumes(t *testing.T) {
	local, other := newFake("local"), newFake("other")
	s := open(t, "", local, other)
	create(t, s, "free", CreateOptions{})
	create(t, s, "held", CreateOptions{Holder: Holder{ID: "c"}})
	local.volumes = map[string]map[string]string{}
	if made := create(t, s, "free", CreateOptions{Driver: "other"}); made.Existed || made.Driver != "other" {
		t.Errorf("%+v", made)
	}
	_, err := s.Get(t.Context(), "held", GetOptions{})
	want(t, err, OpGet, ErrNoSuchVolume)
	_, err = s.Create(t.Context(), "held", CreateOptions{Driver: "other"})
	want(t, err, OpCreate, ErrNameConflict)
	if err := s.Remove(t.Context(), "held", RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	create(t, s, "held", CreateOptions{Driver: "other"})
}

func TestHoldersAreVerifiedAndRebuilt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	local := newFake("local")
	s := open(t, path, local)
	sleep := exec.Command("sleep", "600")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	process, err := ProcessHolder("process", sleep.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	create(t, s, "v", CreateOptions{Holder: process})
	create(t, s, "plain", CreateOptions{Holder: Holder{ID: "opaque"}})
	create(t, s, "old", CreateOptions{Holder: Holder{ID: "boot", Boot: "an-earlier-boot"}})
	if _, err := s.Mount(t.Context(), "v", Holder{ID: "mounter"}); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	s = openWith(t, Options{Path: path, Holders: func(context.Context) (map[string][]Holder, error) {
		return map[string][]Holder{"plain": {{ID: "announced"}}, "unknown": {{ID: "x"}}}, nil
	}}, local)
	for name, held := range map[string][]string{"v": {"mounter", "process"}, "plain": {"announced"}, "old": nil, "unknown": {"x"}} {
		if diff := cmp.Diff(held, s.references(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if err := s.Unmount(t.Context(), "v", "mounter"); err != nil {
		t.Fatal(err)
	}
	want(t, s.Remove(t.Context(), "v", RemoveOptions{Force: true}), OpRemove, ErrInUse)
	_ = sleep.Process.Kill()
	_ = sleep.Wait()
	if err := s.Remove(t.Context(), "v", RemoveOptions{}); err != nil {
		t.Errorf("the dead process still holds the volume: %v", err)
	}
}

func TestMountsAreCountedPerHolder(t *testing.T) {
	local := newFake("local")
	s := open(t, "", local)
	create(t, s, "v", CreateOptions{})
	for _, id := range []string{"a", "a", "b"} {
		if _, err := s.Mount(t.Context(), "v", Holder{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	local.failing(errBroken, "mount")
	if _, err := s.Mount(t.Context(), "v", Holder{ID: "c"}); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	for _, step := range []struct {
		id   string
		left []string
	}{{"a", []string{"a", "b"}}, {"stranger", []string{"a", "b"}}, {"a", []string{"b"}}, {"b", nil}} {
		if err := s.Unmount(t.Context(), "v", step.id); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.left, s.references("v")); diff != "" {
			t.Errorf("after %s: %s", step.id, diff)
		}
	}
	if _, err := s.Mount(t.Context(), "v", Holder{}); !errors.Is(err, errdefs.ErrInvalid) || s.CountReferences("v") != 0 {
		t.Errorf("a holder without an ID: %v, %d references", err, s.CountReferences("v"))
	}
}

func TestLockTimeoutNamesPathAndHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	open(t, path)
	_, err := Open(t.Context(), Options{Path: path, LockTimeout: 50 * time.Millisecond})
	var locked *LockedError
	if !errors.As(err, &locked) || !errors.Is(err, errdefs.ErrLocked) {
		t.Fatal(err)
	}
	want(t, err, OpOpen)
	if !strings.Contains(err.Error(), path) {
		t.Errorf("%v does not name the path", err)
	}
	if table, _ := os.ReadFile("/proc/locks"); len(table) > 0 && len(locked.Holders) != 1 {
		t.Errorf("holders are %v", locked.Holders)
	}
}

// A line twice is what the kernel prints when other processes' locks come and go between two
// reads of the table.
func TestFlockHolders(t *testing.T) {
	table := `1: FLOCK  ADVISORY  WRITE 31989 08:02:131074 0 EOF
1: -> FLOCK  ADVISORY  WRITE 4 08:02:131074 0 EOF
2: POSIX  ADVISORY  WRITE 5 08:02:131074 0 EOF
3: FLOCK  ADVISORY  READ 6 08:02:131074 0 EOF
4: FLOCK  ADVISORY  WRITE 7 08:02:13107 0 EOF
5: FLOCK  ADVISORY  WRITE 31989 08:02:131074 0 EOF
6: OFDLCK ADVISORY  WRITE -1 08:02:131074 0 EOF
7: FLOCK  ADVISORY  WRITE 0 08:02:131074 0 EOF
8: FLOCK
`
	if diff := cmp.Diff([]int{31989, 6}, flockHolders(table, "08:02:131074")); diff != "" {
		t.Error(diff)
	}
}

func TestUnreadableMetadataIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(volumesBucket)
		return errors.Join(err, b.Put([]byte("bad"), []byte("{")), b.Put([]byte("empty"), nil),
			b.Put([]byte("docker"), []byte(`{"Name":"docker","Driver":"","Labels":null,"Options":{"o":"1"}}`)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, newFake("other"), newFake("local", "docker"))
	if v, err := s.Get(t.Context(), "docker", GetOptions{}); err != nil || v.Driver != "local" || v.Options["o"] != "1" {
		t.Errorf("%+v, %v", v, err)
	}
	_ = s.meta.db.View(func(tx *bbolt.Tx) error {
		for _, key := range []string{"bad", "empty"} {
			if tx.Bucket(volumesBucket).Get([]byte(key)) == nil {
				t.Errorf("%s was deleted", key)
			}
		}
		return nil
	})
	if err := os.WriteFile(path+"2", []byte(strings.Repeat("rubbish", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Path: path + "2"}); !errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("rubbish as a database: %v", err)
	}
}

// TestForcedRemovalThatFails: what the driver still has is not forgotten.
func TestForcedRemovalThatFails(t *testing.T) {
	local := newFake("local")
	s := open(t, "", local)
	create(t, s, "v", CreateOptions{Labels: map[string]string{"k": "v"}})
	local.failing(errBroken, "remove")
	if refused := want(t, s.Remove(t.Context(), "v", RemoveOptions{Force: true}), OpRemove, errBroken); refused.Forgotten {
		t.Error("the volume is forgotten")
	}
	if v, err := s.Get(t.Context(), "v", GetOptions{}); err != nil || v.Labels["k"] != "v" {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestPrune(t *testing.T) {
	local, other := newFake("local"), newFake("other")
	s := open(t, "", local, other)
	create(t, s, "named", CreateOptions{Labels: map[string]string{"k": "v"}})
	create(t, s, "held", CreateOptions{Holder: Holder{ID: "c"}})
	create(t, s, "dead", CreateOptions{Holder: Holder{ID: "c", Boot: "earlier"}})
	create(t, s, "options", CreateOptions{Options: map[string]string{"o": "1"}})
	create(t, s, "foreign", CreateOptions{Driver: "other"})
	anonymous := create(t, s, "", CreateOptions{})
	report, err := s.Prune(t.Context(), PruneOptions{})
	if diff := cmp.Diff([]string{anonymous.Name}, report.Removed); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	opts, err := PruneFilter(map[string][]string{"all": {"true"}, "label!": {"k"}})
	if err != nil {
		t.Fatal(err)
	}
	report, err = s.Prune(t.Context(), opts)
	if diff := cmp.Diff([]string{"dead"}, report.Removed); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	create(t, s, "stays", CreateOptions{})
	local.failing(errBroken, "remove")
	report, err = s.Prune(t.Context(), opts)
	if err != nil || len(report.Failed) != 1 || report.Failed[0].Name != "stays" || !errors.Is(report.Failed[0], errBroken) {
		t.Errorf("a driver that fails: %+v, %v", report, err)
	}
	local.failing(nil)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if report, err := s.Prune(cancelled, PruneOptions{All: true}); err != nil || len(report.Removed) != 0 {
		t.Errorf("cancelled: %v, %v", report, err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	_, err = s.Prune(late, PruneOptions{All: true})
	want(t, err, OpList, context.DeadlineExceeded)
}

func TestOnePruneAtATime(t *testing.T) {
	local := newFake("local")
	s := open(t, "", local)
	first := make(chan struct{})
	release := make(chan struct{})
	local.fail = func(op, _ string) error {
		if op == "list" {
			close(first)
			<-release
		}
		return nil
	}
	var done sync.WaitGroup
	done.Go(func() { _, _ = s.Prune(t.Context(), PruneOptions{}) })
	<-first
	_, err := s.Prune(t.Context(), PruneOptions{})
	want(t, err, OpPrune, ErrPruneRunning)
	close(release)
	done.Wait()
}

func TestListFilter(t *testing.T) {
	s, _, _ := filterStore(t)
	for _, c := range []struct {
		args map[string][]string
		want []string
	}{
		{nil, []string{"a1", "a2", "b1"}},
		{map[string][]string{"dangling": {"true"}}, []string{"a2"}},
		{map[string][]string{"dangling": {"0"}}, []string{"a1", "b1"}},
		{map[string][]string{"name": {"^b", "2"}}, []string{"a2", "b1"}},
		{map[string][]string{"driver": {"other", "none"}}, []string{"b1"}},
		{map[string][]string{"label": {"k", "k=w"}}, []string{"b1"}},
		{map[string][]string{"label": {"k"}, "driver": {"local"}}, []string{"a2"}},
	} {
		f, err := ListFilter(c.args)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, find(t, s, f)); diff != "" {
			t.Errorf("%v: %s", c.args, diff)
		}
	}
	for _, args := range []map[string][]string{{"nonsense": {"1"}}, {"dangling": {"maybe"}}, {"dangling": {"1", "0"}}} {
		if _, err := ListFilter(args); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// A driver that hangs must not hold up listing, other names or a caller's context.
func TestSlowDriver(t *testing.T) {
	t.Parallel()
	slow, local := newFake("slow"), newFake("local")
	s := openWith(t, Options{DriverTimeout: 5 * time.Second}, slow, local)
	create(t, s, "v", CreateOptions{Driver: "slow"})
	create(t, s, "w", CreateOptions{})
	hang := make(chan struct{})
	slow.mu.Lock()
	slow.fail = nil
	slow.mu.Unlock()
	blocked := &hanging{fake: slow, until: hang}
	s.drivers.drivers["slow"] = blocked
	defer close(hang)
	found, err := s.Find(t.Context(), Filter{})
	if err != nil || len(found.Volumes) != 2 || len(found.Warnings) != 1 || found.Warnings[0].Name != "slow" {
		t.Fatalf("%+v, %v", found, err)
	}
	unlock, err := s.names.lock(t.Context(), "v")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := s.Get(t.Context(), "w", GetOptions{}); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = s.Get(ctx, "v", GetOptions{})
	want(t, err, OpGet, context.DeadlineExceeded)
}

// hanging is a driver that never lists.
type hanging struct {
	*fake
	until chan struct{}
}

func (h *hanging) List(context.Context) ([]Info, error) {
	<-h.until
	return nil, errBroken
}

func TestParallelUse(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "metadata.db"), newFake("local"), newFake("other"))
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			name, id := []string{"a", "b", "c"}[i%3], []string{"x", "y"}[i%2]
			for range 5 {
				_, _ = s.Create(t.Context(), name, CreateOptions{Holder: Holder{ID: id}})
				_, _ = s.Mount(t.Context(), name, Holder{ID: id})
				_, _ = s.Find(t.Context(), ByReferenced(true))
				_ = s.Unmount(t.Context(), name, id)
				_ = s.Release(t.Context(), name, id)
				_ = s.Remove(t.Context(), name, RemoveOptions{})
			}
		})
	}
	all.Wait()
	for _, name := range []string{"a", "b", "c"} {
		_ = s.Remove(t.Context(), name, RemoveOptions{Force: true})
	}
	if n := s.drivers.Uses("local"); n != 0 {
		t.Errorf("driver is acquired %d times with no volume left", n)
	}
}

// TestDamagedVolumesAreListed: a volume that its driver can not read is shown with a warning, and
// one that is gone is not.
func TestDamagedVolumesAreListed(t *testing.T) {
	local := newFake("local")
	s := open(t, "", local)
	for _, name := range []string{"damaged", "gone", "good"} {
		create(t, s, name, CreateOptions{Labels: map[string]string{"k": name}})
	}
	delete(local.volumes, "damaged")
	delete(local.volumes, "gone")
	local.fail = func(op, name string) error {
		if op == "get" && name == "damaged" {
			return errBroken
		}
		return nil
	}
	found, err := s.Find(t.Context(), Filter{})
	if err != nil || len(found.Volumes) != 2 || found.Volumes[0].Name != "damaged" || found.Volumes[0].Labels["k"] != "damaged" {
		t.Errorf("%+v, %v", found.Volumes, err)
	}
	if len(found.Warnings) != 1 || found.Warnings[0].Name != "damaged" || !errors.Is(found.Warnings[0], errBroken) {
		t.Errorf("warnings %v", found.Warnings)
	}
}
