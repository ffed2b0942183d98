package strata_test

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
)

// autoStore opens a store whose automatic mappings have the ranges of a file of the test's.
func autoStore(t *testing.T, driver, ranges string, change ...func(*strata.AutoUserns)) *storetest.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "subids")
	must(t, os.WriteFile(path, []byte(ranges), 0o600))
	return storetest.New(t, driver, func(o *strata.Options) {
		o.AutoUserns = strata.AutoUserns{SubUIDs: path, SubGIDs: path, MinSize: 10}
		for _, c := range change {
			c(&o.AutoUserns)
		}
	})
}

func autoContainer(t testing.TB, s *storetest.Store, id, img string, auto strata.AutoMapping) (container.Container, error) {
	t.Helper()
	return s.CreateContainer(t.Context(), strata.ContainerOptions{
		ID: container.ID(id), Image: img, Mapping: strata.MappingOptions{Auto: &auto},
	})
}

// host describes a mapping's first range.
func hostRange(c container.Container) string {
	u, g := c.Mapping().UIDs[0], c.Mapping().GIDs[0]
	return fmt.Sprintf("%d+%d %d+%d", u.HostID, u.Size, g.HostID, g.Size)
}

func TestAutoSizes(t *testing.T) {
	testutil.RequireRoot(t)
	passwd := func(text string) []testutil.Entry {
		return []testutil.Entry{{Name: "etc/"}, {Name: "etc/passwd", Body: text}}
	}
	tests := []struct {
		name    string
		entries []testutil.Entry
		auto    strata.AutoMapping
		want    string
		size    int
	}{
		{"nothing known", nil, strata.AutoMapping{}, "", 10},
		{"wanted at least", nil, strata.AutoMapping{InitialSize: 33}, "", 33},
		{"wanted", passwd("u:x:500:500::/:/bin/sh\n"), strata.AutoMapping{Size: 5}, "", 5},
		{"users", passwd("root:x:0:0::/:/bin/sh\nu:x:500:600::/:/bin/sh\n"), strata.AutoMapping{}, "", 601},
		{"nobody does not count", passwd("nobody:x:65534:65534::/:/bin/sh\n"), strata.AutoMapping{}, "", 10},
		{"groups", []testutil.Entry{{Name: "etc/"}, {Name: "etc/group", Body: "root:x:0:\ng:x:700:a\nnogroup:x:65534:\n"}}, strata.AutoMapping{}, "", 701},
		{"owners", []testutil.Entry{{Name: "f", UID: 40, GID: 50}, {Name: "g", UID: 65534, GID: 65534}}, strata.AutoMapping{}, "", 51},
		{"list behind a link", []testutil.Entry{{Name: "etc/"}, {Name: "etc/passwd", Link: "../real"}, {Name: "real", Body: "u:x:500:1::/:/bin/sh\n"}}, strata.AutoMapping{}, "", 501},
		{"list behind a link that leads out", []testutil.Entry{{Name: "etc/"}, {Name: "etc/passwd", Link: "/etc/passwd"}}, strata.AutoMapping{}, "", 10},
		{"list that is a directory", []testutil.Entry{{Name: "etc/"}, {Name: "etc/passwd/"}}, strata.AutoMapping{}, "", 10},
		{"more than allowed", passwd("u:x:4999:1::/:/bin/sh\n"), strata.AutoMapping{}, "bigger than the maximum value allowed with userns=auto 1000", 0},
		{"more than there are", nil, strata.AutoMapping{Size: 5001}, "not enough unused IDs in user namespace", 0},
		{"all there are", nil, strata.AutoMapping{Size: 5000}, "", 5000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := autoStore(t, "vfs", "other:1:1\ncontainers:100000:5000\n", func(a *strata.AutoUserns) { a.MaxSize = 1000 })
			importLayer(t, s, "base", "", tt.entries...)
			createImage(t, s, "img", "base")
			c, err := autoContainer(t, s, "c", "img", tt.auto)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, errdefs.ErrLimit) || errdefs.Hint(err) == "" {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				wantIDs(t, s, []string{"base"}, []string{"img"}, nil)
				return
			}
			must(t, err)
			wantEqual(t, "mapping", fmt.Sprintf("100000+%d 100000+%d", tt.size, tt.size), hostRange(c))
		})
	}
}

func TestAutoFilesOfTheHost(t *testing.T) {
	s := autoStore(t, "vfs", "containers:100000:5000\n")
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/passwd", []byte("u:x:70:80::/:/bin/sh\n"), 0o600))
	must(t, os.WriteFile(dir+"/group", []byte("g:x:90:\n"), 0o600))
	importLayer(t, s, "base", "", testutil.Entry{Name: "etc/"}, testutil.Entry{Name: "etc/passwd", Body: "u:x:500:500::/:/bin/sh\n"})
	createImage(t, s, "img", "base")
	for id, img := range map[string]string{"with": "img", "without": ""} {
		c, err := autoContainer(t, s, id, img, strata.AutoMapping{PasswdFile: dir + "/passwd", GroupFile: dir + "/group"})
		must(t, err)
		wantEqual(t, "size "+id+" an image", 91, c.Mapping().UIDs[0].Size)
	}
	_, err := autoContainer(t, s, "c", "img", strata.AutoMapping{PasswdFile: dir + "/none"})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// TestAutoRanges: no ID is given twice, and one that is free again is.
func TestAutoRanges(t *testing.T) {
	for _, driver := range storetest.Drivers() {
		t.Run(driver, func(t *testing.T) {
			s := autoStore(t, driver, "containers:100000:35\ncontainers:200000:100\n")
			importLayer(t, s, "base", "", testutil.Entry{Name: "f", UID: 3, GID: 4})
			createImage(t, s, "img", "base")
			mappedContainer(t, s, "explicit", ranges(100010, 10))
			for _, want := range []string{"100000+10 100000+10", "100020+10 100020+10", "100030+5 100030+5"} {
				c, err := autoContainer(t, s, "c"+want[:6], "img", strata.AutoMapping{})
				must(t, err)
				wantEqual(t, "ranges", want, hostRange(c))
			}
			must(t, s.DeleteContainer(t.Context(), "c100020"))
			c, err := autoContainer(t, s, "again", "img", strata.AutoMapping{})
			must(t, err)
			wantEqual(t, "range that was given back", "100020+10 100020+10", hostRange(c))
			root, err := s.Mount(t.Context(), "again", strata.MountOptions{})
			must(t, err)
			wantEqual(t, "owner", uint32(100023), uidOf(t, filepath.Join(root, "f")))
			must(t, errOf(s.Unmount(t.Context(), "again", strata.UnmountOptions{})))
		})
	}
}

func TestAutoFixedPart(t *testing.T) {
	s := autoStore(t, "vfs", "containers:100000:1000\n")
	createLayer(t, s, "base", "")
	createImage(t, s, "img", "base")
	fixed := []strata.IDRange{{ContainerID: 5, HostID: 7000, Size: 2}}
	c, err := s.CreateContainer(t.Context(), strata.ContainerOptions{Image: "img", Mapping: strata.MappingOptions{
		Auto: &strata.AutoMapping{Size: 10}, UIDs: fixed,
	}})
	must(t, err)
	var got []string
	for _, r := range c.Mapping().UIDs {
		got = append(got, fmt.Sprintf("%d:%d:%d", r.ContainerID, r.HostID, r.Size))
	}
	wantEqual(t, "UIDs", []string{"0:100000:5", "7:100005:3", "5:7000:2"}, got)
	wantEqual(t, "GIDs", 10, c.Mapping().GIDs[0].Size)
}

func TestAutoRefuses(t *testing.T) {
	s := autoStore(t, "vfs", "other:100000:1000\n")
	createLayer(t, s, "base", "")
	createImage(t, s, "img", "base")
	_, err := autoContainer(t, s, "c", "img", strata.AutoMapping{})
	if !errors.Is(err, errdefs.ErrNotFound) || !strings.Contains(err.Error(), `cannot find mappings for user "containers"`) || errdefs.Hint(err) == "" {
		t.Errorf("no ranges: %v", err)
	}
	auto := strata.MappingOptions{Auto: &strata.AutoMapping{}}
	if _, err := s.CreateLayer(t.Context(), strata.LayerOptions{Mapping: auto}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("layer: %v", err)
	}
	auto.HostUIDs = true
	if _, err := s.CreateContainer(t.Context(), strata.ContainerOptions{Mapping: auto}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("with the host's IDs: %v", err)
	}
	if _, err := autoContainer(t, s, "c", "none", strata.AutoMapping{}); !errors.Is(err, container.ErrUnknown) && !strings.Contains(err.Error(), "image not known") {
		t.Errorf("unknown image: %v", err)
	}
	wantIDs(t, s, []string{"base"}, []string{"img"}, nil)
}

func TestAutoConcurrently(t *testing.T) {
	for _, driver := range storetest.Drivers() {
		t.Run(driver, func(t *testing.T) {
			s := autoStore(t, driver, "containers:100000:1000\n")
			importLayer(t, s, "base", "", testutil.Entry{Name: "f"})
			createImage(t, s, "img", "base")
			var all sync.WaitGroup
			for n := range 8 {
				again := s.Again(t)
				all.Go(func() {
					if _, err := autoContainer(t, again, fmt.Sprint("c", n), "img", strata.AutoMapping{}); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			list, err := s.Containers(t.Context())
			must(t, err)
			seen := map[string]bool{}
			for _, c := range list {
				seen[hostRange(c)] = true
			}
			wantEqual(t, "different ranges", 8, len(seen))
		})
	}
}

// TestPodmanAuto: podman and strata take turns, and neither takes the other's IDs.
func TestPodmanAuto(t *testing.T) {
	for _, driver := range storetest.Drivers() {
		t.Run(driver, func(t *testing.T) {
			testutil.RequireRoot(t)
			name := subIDUser(t)
			s := storetest.New(t, driver, func(o *strata.Options) { o.AutoUserns = strata.AutoUserns{User: name, MinSize: 1000} })
			e := engines(t, s, "podman")
			conf := filepath.Join(t.TempDir(), "storage.conf")
			must(t, os.WriteFile(conf, fmt.Appendf(nil, "[storage]\ndriver=%q\ngraphroot=%q\nrunroot=%q\n[storage.options]\nroot-auto-userns-user=%q\nauto-userns-min-size=1000\n",
				driver, s.GraphRoot(), s.RunRoot(), name), 0o600))
			t.Setenv("CONTAINERS_STORAGE_CONF", conf)
			ociImage(t, s, "localhost/strata:1", twoLayers(t)...)
			seen := map[int]string{}
			for n := range 3 {
				id := fmt.Sprint("ours", n)
				must(t, errOf(s.CreateContainer(t.Context(), strata.ContainerOptions{Names: []string{id}, Image: "localhost/strata:1",
					Mapping: strata.MappingOptions{Auto: &strata.AutoMapping{}}})))
				e.podman("create", "--name", fmt.Sprint("theirs", n), "--network=none", "--userns=auto", "localhost/strata:1")
			}
			list, err := s.Containers(t.Context())
			must(t, err)
			for _, c := range list {
				first := c.Mapping().UIDs[0]
				if first.Size != 1000 || first.HostID%1000 != list[0].Mapping().UIDs[0].HostID%1000 || seen[first.HostID] != "" {
					t.Errorf("%s and %s have %+v", c.Names, seen[first.HostID], first)
				}
				seen[first.HostID] = c.Names[0]
			}
			wantEqual(t, "containers", 6, len(list))
			for n := range 3 {
				must(t, s.DeleteContainer(t.Context(), fmt.Sprint("ours", n)))
				e.podman("rm", fmt.Sprint("theirs", n))
			}
			e.podman("rmi", "localhost/strata:1")
		})
	}
}

// subIDUser finds somebody with enough ranges in the system's files.
func subIDUser(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"containers", currentUser(), "strata-ci"} {
		both := true
		for _, path := range []string{"/etc/subuid", "/etc/subgid"} {
			data, err := os.ReadFile(path)
			both = both && err == nil && strings.Contains("\n"+string(data), "\n"+name+":")
		}
		if both && name != "" {
			return name
		}
	}
	t.Skip("nobody has ranges in /etc/subuid and /etc/subgid")
	return ""
}

func currentUser() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}
