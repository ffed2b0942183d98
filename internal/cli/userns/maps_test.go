package userns

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestSubordinate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "subuid")
	text := "alice:100000:65536\nbob:200000:10\n1000:300000:5\nalice:400000:1\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		owners []string
		want   []idRange
	}{
		{"by name, two ranges", []string{"alice"}, []idRange{{1, 100000, 65536}, {65537, 400000, 1}}},
		{"by number and name", []string{"1000", "bob"}, []idRange{{1, 200000, 10}, {11, 300000, 5}}},
		{"nobody", []string{"carol"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := subordinate(path, tt.owners)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
	if got, err := subordinate(filepath.Join(t.TempDir(), "none"), []string{"alice"}); err != nil || got != nil {
		t.Errorf("without a file: %v, %v", got, err)
	}
}

func TestPlanMaps(t *testing.T) {
	root, err := planMaps(0, 0)
	if err != nil || !root.root || len(root.uids) == 0 || root.uids[0].inside != root.uids[0].outside {
		t.Errorf("root: %+v, %v", root, err)
	}
	const uid, gid = 64123, 64124 // nobody's
	user, err := planMaps(uid, gid)
	if err != nil || user.root || !slices.Equal(user.uids, []idRange{{0, uid, 1}}) || !slices.Equal(user.gids, []idRange{{0, gid, 1}}) {
		t.Errorf("user without ranges: %+v, %v", user, err)
	}
	if got := lines([]idRange{{0, 1000, 1}, {1, 100000, 65536}}); got != "0 1000 1\n1 100000 65536\n" {
		t.Errorf("lines = %q", got)
	}
}

func TestInside(t *testing.T) {
	env := func(pairs map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) { v, ok := pairs[name]; return v, ok }
	}
	tests := []struct {
		name   string
		env    map[string]string
		inside bool
		uid    int
		known  bool
	}{
		{"ordinary process", nil, false, 0, false},
		{"a UID alone", map[string]string{markUID: "1000"}, false, 0, false},
		{"inside", map[string]string{markConfigured: "done", markUID: "1000"}, true, 1000, true},
		{"inside, of nobody", map[string]string{markConfigured: "1"}, true, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			uid, known := User(env(tt.env))
			if Inside(env(tt.env)) != tt.inside || uid != tt.uid || known != tt.known {
				t.Errorf("Inside %t, User %d %t", Inside(env(tt.env)), uid, known)
			}
		})
	}
}

// TestResumeOfAnOrdinaryProcess does nothing; TestOrdinaryUser of package cli runs the rest.
func TestResumeOfAnOrdinaryProcess(t *testing.T) {
	if err := Resume(func(string) (string, bool) { return "", false }, nil, nil); err != nil {
		t.Error(err)
	}
}
