package drivertest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

func layerCases() []testCase {
	return []testCase{
		{name: "powers are as declared", run: powersAreAsDeclared},
		{name: "create, exists, remove", run: createExistsRemove},
		{name: "create again", run: createAgain},
		{name: "create on unknown parent", run: createOnUnknownParent},
		{name: "create with unknown storage option", run: createWithUnknownOption},
		{name: "bad IDs", run: badIDs},
		{name: "removed ID is new again", run: removedIDIsNew},
		{name: "root directory", needs: []need{needsOwners}, run: rootDirectory},
		{name: "child does not change parent", run: childDoesNotChangeParent},
		{name: "deep chain", run: deepChain},
		{name: "list", needs: []need{needsLister}, run: list},
		{name: "status and metadata", run: statusAndMetadata},
		{name: "layers survive the process", run: layersSurvive},
	}
}

// hundred maps a hundred users and groups.
var hundred = idmap.Mapping{
	UIDs: []idmap.Range{{ContainerID: 0, HostID: 100000, Size: 100}},
	GIDs: []idmap.Range{{ContainerID: 0, HostID: 200000, Size: 100}},
}

func powersAreAsDeclared(e *env) {
	_, stager := e.d.(graphdriver.Stager)
	_, trasher := e.d.(graphdriver.Trasher)
	_, lister := e.d.(graphdriver.Lister)
	_, getter := e.d.(graphdriver.DiffGetter)
	_, state := e.d.(graphdriver.MountState)
	shifter, shifts := e.d.(graphdriver.Shifter)
	shifts = shifts && shifter.CanShift(hundred)
	capable, reowns := e.d.(graphdriver.Capable)
	reowns = reowns && capable.Capabilities().Reowns
	caps := e.suite.Caps
	for _, p := range []struct {
		name          string
		has, declared bool
	}{
		{"Stager", stager, caps.Stager}, {"Trasher", trasher, caps.Trasher}, {"Lister", lister, caps.Lister},
		{"DiffGetter", getter, caps.DiffGetter}, {"MountState", state, caps.MountState}, {"Shifter", shifts, caps.Shifter},
		{"Reowns", reowns, caps.Reowns},
	} {
		if p.has != p.declared {
			e.Errorf("%s: driver has it: %v, Caps say %v", p.name, p.has, p.declared)
		}
	}
}

func (e *env) exists(id graphdriver.ID, want bool) {
	e.Helper()
	got, err := e.d.Exists(e.Context(), id)
	e.must(err)
	if got != want {
		e.Errorf("Exists(%s) = %v, want %v", id, got, want)
	}
}

func createExistsRemove(e *env) {
	e.leavesNothing(func() {
		e.exists("base", false)
		e.must(e.d.Remove(e.Context(), "base")) // nothing to remove is success
		e.create("base", "")
		e.create("child", "base")
		e.exists("base", true)
		e.exists("child", true)
		e.must(e.d.Remove(e.Context(), "child"))
		e.exists("child", false)
		e.exists("base", true)
		e.must(e.d.Remove(e.Context(), "base"))
		e.exists("base", false)
	})
}

func createAgain(e *env) {
	e.layer("base", "", testutil.Entry{Name: "f", Body: "1"})
	e.create("other", "")
	before := e.tree("base")
	e.leavesNothing(func() {
		e.wants("create base again", e.d.Create(e.Context(), "base", "", graphdriver.CreateOptions{}), errdefs.ErrExists)
		e.wants("create base on other", e.d.Create(e.Context(), "base", "other", graphdriver.CreateOptions{}), errdefs.ErrExists)
	})
	e.same("base", e.tree("base"), before)
}

func createOnUnknownParent(e *env) {
	e.leavesNothing(func() {
		e.wants("create", e.d.Create(e.Context(), "child", "nobody", graphdriver.CreateOptions{}), errdefs.ErrNotFound)
		e.exists("child", false)
	})
}

func createWithUnknownOption(e *env) {
	e.leavesNothing(func() {
		opts := graphdriver.CreateOptions{StorageOpt: map[string]string{"no-such-option": "1"}}
		if err := e.d.Create(e.Context(), "base", "", opts); err == nil {
			e.Error("an unknown storage option was accepted")
		}
		e.exists("base", false)
	})
}

// badIDs gives every method IDs that would be bad paths.
func badIDs(e *env) {
	e.create("base", "")
	bad := []graphdriver.ID{
		"", ".", "..", "../base", "a/b", "/etc", "base/", "./base", "l", "tempdirs", "staging",
		".hidden", "a\x00b", "a\nb", graphdriver.ID(strings.Repeat("x", 300)),
	}
	e.leavesNothing(func() {
		for _, id := range bad {
			for what, err := range e.callAll(id) {
				if id == "" && strings.HasSuffix(what, "parent") {
					continue // no parent
				}
				e.wants(fmt.Sprintf("%s(%.20q)", what, id), err, errdefs.ErrInvalid)
			}
		}
	})
	e.exists("base", true)
}

func (e *env) callAll(id graphdriver.ID) map[string]error {
	got := map[string]error{
		"Create": e.d.Create(e.Context(), id, "", graphdriver.CreateOptions{}),
		"Remove": e.d.Remove(e.Context(), id),
		"Put":    e.d.Put(e.Context(), id),
	}
	if id != "" {
		got["Create, as parent"] = e.d.Create(e.Context(), "fresh", id, graphdriver.CreateOptions{})
	}
	_, got["Get"] = e.d.Get(e.Context(), id, graphdriver.MountOptions{})
	_, got["Exists"] = e.d.Exists(e.Context(), id)
	_, got["Metadata"] = e.d.Metadata(e.Context(), id)
	_, got["Diff"] = e.d.Diff(e.Context(), id, "", graphdriver.DiffOptions{})
	_, got["Changes"] = e.d.Changes(e.Context(), id, "", graphdriver.DiffOptions{})
	_, got["DiffSize"] = e.d.DiffSize(e.Context(), id, "", graphdriver.DiffOptions{})
	_, got["ApplyDiff"] = e.d.ApplyDiff(e.Context(), id, "", strings.NewReader(""), graphdriver.ApplyOptions{})
	if t, ok := e.d.(graphdriver.Trasher); ok {
		_, got["Trash"] = t.Trash(e.Context(), id)
	}
	if g, ok := e.d.(graphdriver.DiffGetter); ok {
		_, got["DiffGetter"] = g.DiffGetter(e.Context(), id)
	}
	if m, ok := e.d.(graphdriver.MountState); ok {
		_, _, got["Mounted"] = m.Mounted(e.Context(), id)
	}
	if s, ok := e.d.(graphdriver.Stager); ok {
		got["Adopt"] = e.adoptAs(s, id)
	}
	return got
}

func (e *env) adoptAs(s graphdriver.Stager, id graphdriver.ID) error {
	st, err := s.Stage(e.Context(), "", graphdriver.CreateOptions{})
	e.must(err)
	defer func() { e.must(st.Discard()) }()
	return st.Adopt(e.Context(), id)
}

func removedIDIsNew(e *env) {
	e.layer("base", "", testutil.Entry{Name: "old", Body: "1"})
	e.must(e.d.Remove(e.Context(), "base"))
	e.create("base", "")
	e.same("re-created layer", e.tree("base"), nil)
}

// rootDirectory: on-disk format, 1.1 and 1.2.
func rootDirectory(e *env) {
	e.create("plain", "")
	e.must(e.d.Create(e.Context(), "mapped", "", graphdriver.CreateOptions{Mapping: hundred}))
	e.wantRoot("plain", 0o555, 0, 0)
	e.wantRoot("mapped", 0o555, 100000, 200000)
	e.mounted("plain", func(dir string) {
		e.must(os.Chown(dir, 7, 8))
		e.must(unix.Chmod(dir, 0o1751))
	})
	e.create("child", "plain")
	e.wantRoot("child", 0o1751, 7, 8)
}

func (e *env) wantRoot(id graphdriver.ID, mode, uid, gid uint32) {
	e.Helper()
	e.mounted(id, func(dir string) {
		var st unix.Stat_t
		e.must(unix.Lstat(dir, &st))
		if st.Mode != unix.S_IFDIR|mode || st.Uid != uid || st.Gid != gid {
			e.Errorf("root of %s: mode %o, owner %d:%d; want %o, %d:%d", id, st.Mode, st.Uid, st.Gid, mode, uid, gid)
		}
	})
}

func childDoesNotChangeParent(e *env) {
	e.layer("base", "", testutil.Entry{Name: "d/"}, testutil.Entry{Name: "d/f", Body: "base"}, testutil.Entry{Name: "gone", Body: "x"})
	before := e.tree("base")
	e.create("child", "base")
	e.mounted("child", func(dir string) {
		e.must(os.WriteFile(filepath.Join(dir, "d/f"), []byte("changed in the child"), 0o600))
		e.must(os.Chmod(filepath.Join(dir, "d"), 0o700))
		e.must(os.Remove(filepath.Join(dir, "gone")))
		e.must(unix.Setxattr(filepath.Join(dir, "d/f"), "user.child", []byte("1"), 0))
	})
	e.same("base", e.tree("base"), before)
	e.create("sibling", "base")
	e.same("sibling", e.tree("sibling"), before)
}

// deepChain: every layer adds a file and removes that of its grandparent.
func deepChain(e *env) {
	depth := e.suite.Caps.MaxDepth
	if depth == 0 {
		depth = 130
	}
	name := func(n int) graphdriver.ID { return graphdriver.ID(fmt.Sprintf("layer%03d", n)) }
	var parent graphdriver.ID
	for n := range depth {
		entries := []testutil.Entry{{Name: fmt.Sprintf("file%03d", n), Body: string(name(n))}}
		if n >= 2 {
			entries = append(entries, testutil.Entry{Name: fmt.Sprintf(".wh.file%03d", n-2)})
		}
		e.layer(name(n), parent, entries...)
		parent = name(n)
	}
	for _, n := range []int{1, depth / 2, depth - 1} {
		e.mounted(name(n), func(dir string) {
			got, err := os.ReadDir(dir)
			e.must(err)
			if len(got) != 2 || got[0].Name() != fmt.Sprintf("file%03d", n-1) || got[1].Name() != fmt.Sprintf("file%03d", n) {
				e.Errorf("layer %d of the chain holds %v", n, got)
			}
		})
	}
	e.same("changes of the top", e.changes(parent, name(depth-2)), []string{
		fmt.Sprintf("Delete %q", fmt.Sprintf("/file%03d", depth-3)), fmt.Sprintf("Add %q", fmt.Sprintf("/file%03d", depth-1)),
	})
	e.must(e.d.Remove(e.Context(), parent))
	e.mounted(name(depth-2), func(dir string) {
		if _, err := os.Lstat(filepath.Join(dir, fmt.Sprintf("file%03d", depth-2))); err != nil {
			e.Error(err)
		}
	})
}

func list(e *env) {
	ids := func() []graphdriver.ID {
		got, err := power[graphdriver.Lister](e, e.d).List(e.Context())
		e.must(err)
		return got
	}
	if got := ids(); len(got) != 0 {
		e.Errorf("new driver lists %q", got)
	}
	for _, id := range []graphdriver.ID{"c", "a", "b"} {
		e.create(id, "")
	}
	e.create("aa", "a")
	e.must(e.d.Remove(e.Context(), "b"))
	if got, want := ids(), []graphdriver.ID{"a", "aa", "c"}; !slices.Equal(got, want) {
		e.Errorf("List = %q, want %q", got, want)
	}
}

func statusAndMetadata(e *env) {
	if e.d.Name() == "" {
		e.Error("no name")
	}
	if a, b := e.d.Status(), e.d.Status(); !slices.Equal(a, b) {
		e.Errorf("status differs from call to call: %v, %v", a, b)
	}
	_, err := e.d.Metadata(e.Context(), "nobody")
	e.wants("metadata of an unknown layer", err, errdefs.ErrNotFound)
	e.create("base", "")
	meta, err := e.d.Metadata(e.Context(), "base")
	e.must(err)
	for key, value := range meta {
		for path := range strings.SplitSeq(value, ":") {
			if key == "" || !filepath.IsAbs(path) {
				e.Errorf("metadata %q = %q is not a list of absolute paths", key, value)
			}
		}
	}
}

func layersSurvive(e *env) {
	e.layer("base", "", testutil.Entry{Name: "f", Body: "1"})
	e.layer("child", "base", testutil.Entry{Name: "g", Body: "2"})
	want := e.tree("child")
	e.must(e.d.Cleanup(e.Context()))
	e.d = e.open()
	e.exists("child", true)
	e.same("child", e.tree("child"), want)
}
