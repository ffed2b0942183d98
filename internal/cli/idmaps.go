package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/moby/sys/user"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/cli/option"
)

// mapOptions are the options for ID maps of the create verbs.
type mapOptions struct {
	hostUIDs, hostGIDs bool
	uids, gids         string
	subUser, subGroup  string
}

func (m *mapOptions) options() []option.Option {
	return []option.Option{
		option.Bool(&m.hostUIDs, "hostuidmap", "Use no UID map, whatever the parent has"),
		option.Bool(&m.hostGIDs, "hostgidmap", "Use no GID map, whatever the parent has"),
		option.As("MAP", option.String(&m.uids, "uidmap", "UID map CONTAINER:HOST:SIZE, several joined with colons")),
		option.As("MAP", option.String(&m.gids, "gidmap", "GID map CONTAINER:HOST:SIZE, several joined with colons")),
		option.As("USER", option.String(&m.subUser, "subuidmap", "Take the UID map from the ranges of this user in /etc/subuid")),
		option.As("GROUP", option.String(&m.subGroup, "subgidmap", "Take the GID map from the ranges of this group in /etc/subgid")),
	}
}

// mapping turns the options into the store's terms (command-line reference, 5.2).
func (m *mapOptions) mapping() (strata.MappingOptions, error) {
	out := strata.MappingOptions{HostUIDs: m.hostUIDs, HostGIDs: m.hostGIDs}
	if m.hostUIDs && (m.uids != "" || m.subUser != "") {
		return out, invalidf("host uid map specified along with UID mapping")
	}
	if m.hostGIDs && (m.gids != "" || m.subGroup != "") {
		return out, invalidf("host gid map specified along with GID mapping")
	}
	subUIDs, subGIDs, err := m.subordinate()
	if err != nil {
		return out, err
	}
	uids, err := parseMap("uid", m.uids)
	if err != nil {
		return out, err
	}
	gids, err := parseMap("gid", m.gids)
	if err != nil {
		return out, err
	}
	out.UIDs, out.GIDs = append(subUIDs, uids...), append(subGIDs, gids...)
	return out, nil
}

func invalidf(format string, args ...any) error {
	return errdefs.New(errdefs.ErrInvalid, fmt.Sprintf(format, args...))
}

// subordinate reads the ranges of the system's files; one name serves for both kinds.
func (m *mapOptions) subordinate() (uids, gids []strata.IDRange, err error) {
	name, group := m.subUser, m.subGroup
	if name == "" {
		name = group
	}
	if group == "" {
		group = name
	}
	if name == "" {
		return nil, nil, nil
	}
	if uids, err = subRanges("/etc/subuid", "subuid", "user", name); err != nil {
		return nil, nil, err
	}
	gids, err = subRanges("/etc/subgid", "subgid", "group", group)
	return uids, gids, err
}

func subRanges(path, kind, owner, name string) ([]strata.IDRange, error) {
	found, err := user.ParseSubIDFileFilter(path, func(s user.SubID) bool { return s.Name == name })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(found) == 0 {
		return nil, errdefs.WithHint(errdefs.New(errdefs.ErrNotFound, fmt.Sprintf("no %s ranges found for %s %q in %s", kind, owner, name, path)),
			fmt.Sprintf("add a line such as %s:100000:65536 to %s", name, path))
	}
	var list []strata.IDRange
	next := 0
	for _, s := range found {
		list = append(list, strata.IDRange{ContainerID: next, HostID: int(s.SubID), Size: int(s.Count)})
		next += int(s.Count)
	}
	return list, nil
}

// parseMap reads "CONTAINER:HOST:SIZE", repeated and joined with colons.
func parseMap(kind, text string) ([]strata.IDRange, error) {
	if text == "" {
		return nil, nil
	}
	bad := &reworded{
		usagef("for example --"+kind+"map 0:100000:65536", "--%smap %s: a map is CONTAINER:HOST:SIZE, three numbers", kind, quoteWord(text)),
		fmt.Sprintf(`initializing ID mappings: %s setting is malformed expected ["uint32:uint32:uint32"]: [%q]`, kind, text),
	}
	fields := strings.Split(text, ":")
	if len(fields)%3 != 0 {
		return nil, bad
	}
	var list []strata.IDRange
	for i := 0; i < len(fields); i += 3 {
		var n [3]int
		for j := range n {
			v, err := strconv.ParseUint(fields[i+j], 10, 32)
			if err != nil || v > math.MaxUint32 {
				return nil, bad
			}
			n[j] = int(v)
		}
		list = append(list, strata.IDRange{ContainerID: n[0], HostID: n[1], Size: n[2]})
	}
	return list, nil
}
