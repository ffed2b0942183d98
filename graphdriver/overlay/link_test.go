package overlay

import (
	"errors"
	"strings"
	"testing"

	"github.com/stratastore/strata/errdefs"
)

const linkA, linkB = linkID("AAAAAAAAAAAAAAAAAAAAAAAAAA"), linkID("BBBBBBBBBBBBBBBBBBBBBBBB27")

func TestNewLinkID(t *testing.T) {
	seen := map[linkID]bool{}
	for range 1000 {
		l := newLinkID()
		if again, err := parseLink(string(l)); err != nil || again != l {
			t.Fatalf("%q: %v", l, err)
		}
		seen[l] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d different names of 1000", len(seen))
	}
}

func TestParseLower(t *testing.T) {
	a, b := linkA.entry(), linkB.entry()
	tests := []struct {
		name, text string
		want       int // entries; 0 for damaged
	}{
		{"one", a, 1},
		{"two", a + ":" + b, 2},
		{"empty", "", 0},
		{"cut in an entry", a + ":" + b[:20], 0},
		{"cut behind an entry", a + ":", 0},
		{"made on a damaged parent", a + ":", 0},
		{"newline", a + "\n", 0},
		{"zeros", strings.Repeat("\x00", 28), 0},
		{"absolute", "/" + a, 0},
		{"climbs", "l/../../../../../../../../../etc", 0},
		{"lower case", strings.ToLower(a), 0},
		{"digit that is not in the alphabet", "l/" + strings.Repeat("1", 26), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseLower(tt.text)
			if tt.want == 0 {
				if !errors.Is(err, errdefs.ErrCorrupt) {
					t.Errorf("got %v, error %v; want ErrCorrupt", got, err)
				}
				return
			}
			must(t, err)
			same(t, "entries", len(got), tt.want)
			same(t, "written back", formatLower(got), tt.text)
		})
	}
}

func TestParseLink(t *testing.T) {
	for text, good := range map[string]bool{
		string(linkA): true, string(linkA) + "\n": true, "": false, "A": false, string(linkA) + "A": false,
		strings.ToLower(string(linkA)): false, strings.Repeat("/", 26): false, "..": false,
	} {
		if _, err := parseLink(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]string{
		"../abc/diff": "abc", "abc/diff": "", "../abc": "", "../abc/diff/x": "", "../../x/diff": "", "/g/overlay/abc/diff": "",
		"..//diff": "", "../l/diff": "", "../a/b/diff": "", "../../diff": "",
	} {
		id, ok := parseTarget(text)
		if ok != (want != "") || ok && string(id) != want {
			t.Errorf("%q: %q, %v; want %q", text, id, ok, want)
		}
	}
}

// FuzzParseLower: what is accepted is written back as it was, and leads nowhere but into l/.
func FuzzParseLower(f *testing.F) {
	f.Add("")
	f.Add(linkA.entry() + ":" + linkB.entry())
	f.Add(linkA.entry() + ":")
	f.Add("l/../x:l/A")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseLower(text)
		if err != nil {
			if !errors.Is(err, errdefs.ErrCorrupt) || list != nil {
				t.Fatalf("%v, %v", list, err)
			}
			return
		}
		if len(list) == 0 || formatLower(list) != text {
			t.Fatalf("%q reads as %q", text, list)
		}
		for _, l := range list {
			if strings.ContainsAny(string(l), "/.\x00\n") {
				t.Fatalf("link name %q", l)
			}
		}
	})
}

func FuzzParseLink(f *testing.F) {
	f.Add(string(linkA))
	f.Add(string(linkA) + "\n\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseLink(text)
		if err == nil && strings.TrimRight(text, "\n") != string(l) {
			t.Fatalf("%q reads as %q", text, l)
		}
		if id, ok := parseTarget(text); ok && (id.Validate() != nil || target(id) != text) {
			t.Fatalf("target %q reads as %q", text, id)
		}
	})
}

func FuzzParseOverride(f *testing.F) {
	f.Add("0:0:0755:dir")
	f.Add("1:2:4755")
	f.Add("::")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseOverride(text)
		if err == nil && (r.mode > 0o7777 || r.uid < 0 || r.gid < 0) {
			t.Fatalf("%q reads as %+v", text, r)
		}
	})
}
