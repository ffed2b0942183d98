package rootfd

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/stratastore/strata/errdefs"
)

func TestClean(t *testing.T) {
	tests := []struct {
		in, want string // "" is an error
	}{
		{"a", "a"}, {"a/b", "a/b"}, {"./a", "a"}, {"/a", "a"}, {"//a//b/", "a/b"}, {"a/.", "a"}, {"a/./b", "a/b"},
		{"a/../b", "b"}, {"a/..", "."}, {".", "."}, {"", "."}, {"/", "."}, {"./", "."}, {"/./", "."},
		{"...", "..."}, {"..a", "..a"}, {"a..", "a.."}, {"\xff", "\xff"}, {"a b\n", "a b\n"},
		{"..", ""}, {"../", ""}, {"/..", ""}, {"../a", ""}, {"a/../../b", ""}, {"a/../../a/b", ""}, {"/../a", ""},
		{"a\x00b", ""}, {"a/\x00", ""},
	}
	for _, tt := range tests {
		got, err := Clean(tt.in)
		if tt.want == "" {
			if !errors.Is(err, errdefs.ErrInvalid) {
				t.Errorf("Clean(%q) = %q, %v; want ErrInvalid", tt.in, got, err)
			}
			continue
		}
		if got != tt.want || err != nil {
			t.Errorf("Clean(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestSplit(t *testing.T) {
	for in, want := range map[string][2]string{"a": {".", "a"}, ".": {".", "."}, "a/b": {"a", "b"}, "a/b/c": {"a/b", "c"}} {
		if dir, base := Split(in); dir != want[0] || base != want[1] {
			t.Errorf("Split(%q) = %q, %q", in, dir, base)
		}
	}
}

// A cleaned name is the shortest of its kind and stays below the root.
func FuzzClean(f *testing.F) {
	for _, seed := range []string{"a/b", "../a", "a/../b", "/", "./a//b/", "a\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := Clean(name)
		if err != nil {
			return
		}
		if again, err := Clean(got); err != nil || again != got {
			t.Errorf("Clean(%q) = %q, and of that %q, %v", name, got, again, err)
		}
		if got != path.Clean(got) || path.IsAbs(got) || got == ".." || strings.HasPrefix(got, "../") {
			t.Errorf("Clean(%q) = %q", name, got)
		}
		if want := path.Clean("./" + name); want != got {
			t.Errorf("Clean(%q) = %q, want %q", name, got, want)
		}
	})
}
