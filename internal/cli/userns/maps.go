package userns

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	subid "github.com/moby/sys/user"
)

// idRange maps size IDs from inside on to outside.
type idRange struct{ inside, outside, size int }

// maps are the ID maps of a new namespace.
type maps struct {
	uids, gids []idRange
	// root: the process may write any map; it needs no helper programs.
	root bool
}

// planMaps maps the user to root and the user's subordinate ranges to the IDs
// from 1 on. Root keeps all its IDs.
func planMaps(uid, gid int) (maps, error) {
	if uid == 0 {
		all, err := currentMap()
		return maps{uids: all, gids: all, root: true}, err
	}
	m := maps{uids: []idRange{{0, uid, 1}}, gids: []idRange{{0, gid, 1}}}
	owners := []string{strconv.Itoa(uid)}
	if u, err := user.LookupId(owners[0]); err == nil {
		owners = append(owners, u.Username)
	}
	if !helpersExist() {
		return m, nil
	}
	uids, err := subordinate("/etc/subuid", owners)
	if err != nil {
		return m, err
	}
	gids, err := subordinate("/etc/subgid", owners)
	if err != nil {
		return m, err
	}
	if len(uids) > 0 && len(gids) > 0 {
		m.uids, m.gids = append(m.uids, uids...), append(m.gids, gids...)
	}
	return m, nil
}

// currentMap is the identity over all IDs that the process has.
func currentMap() ([]idRange, error) {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return nil, err
	}
	var list []idRange
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		var r idRange
		if _, err := fmt.Sscan(line, &r.inside, &r.outside, &r.size); err != nil {
			return nil, fmt.Errorf("read /proc/self/uid_map: %w", err)
		}
		list = append(list, idRange{r.inside, r.inside, r.size})
	}
	return list, nil
}

func helpersExist() bool {
	for _, name := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(name); err != nil {
			return false
		}
	}
	return true
}

// subordinate reads the ranges of a user, named or numbered, one after the other from ID 1 on.
func subordinate(path string, owners []string) ([]idRange, error) {
	found, err := subid.ParseSubIDFileFilter(path, func(s subid.SubID) bool {
		for _, o := range owners {
			if s.Name == o {
				return true
			}
		}
		return false
	})
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var list []idRange
	next := 1
	for _, s := range found {
		list = append(list, idRange{next, int(s.SubID), int(s.Count)})
		next += int(s.Count)
	}
	return list, nil
}

// install gives a process its maps.
func (m maps) install(ctx context.Context, pid int) error {
	if m.root || (len(m.uids) == 1 && len(m.gids) == 1) {
		return m.write(pid)
	}
	if err := helper(ctx, "newuidmap", pid, m.uids); err != nil {
		return err
	}
	return helper(ctx, "newgidmap", pid, m.gids)
}

// write sets the maps directly, which is allowed for root and for a map of the
// user alone.
func (m maps) write(pid int) error {
	dir := fmt.Sprintf("/proc/%d/", pid)
	files := []struct{ name, text string }{{"uid_map", lines(m.uids)}, {"setgroups", "deny"}, {"gid_map", lines(m.gids)}}
	for _, f := range files {
		if f.name == "setgroups" && m.root {
			continue
		}
		if err := os.WriteFile(dir+f.name, []byte(f.text), 0); err != nil {
			return fmt.Errorf("map IDs of the user namespace: %w", err)
		}
	}
	return nil
}

func lines(list []idRange) string {
	var b strings.Builder
	for _, r := range list {
		fmt.Fprintf(&b, "%d %d %d\n", r.inside, r.outside, r.size)
	}
	return b.String()
}

// helper runs newuidmap or newgidmap, which may map subordinate IDs.
func helper(ctx context.Context, name string, pid int, list []idRange) error {
	args := []string{strconv.Itoa(pid)}
	for _, r := range list {
		args = append(args, strconv.Itoa(r.inside), strconv.Itoa(r.outside), strconv.Itoa(r.size))
	}
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}
