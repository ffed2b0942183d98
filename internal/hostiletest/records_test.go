package hostiletest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

// A store's own files may come from a stranger: a disk image, a backup, an engine
// that was tricked. Every name in them is looked at before it becomes a path.

// furnished is a store with an image of two layers and a container.
func furnished(t *testing.T, driver string) (s *target, base, top string) {
	t.Helper()
	s = newTarget(t, driver)
	base = firstWord(s.must("import-layer", "-f", s.store("a.tar", testutil.Tar(t, file("a")))))
	top = firstWord(s.must("import-layer", "-f", s.store("b.tar", testutil.Tar(t, file("b"))), base))
	s.must("create-image", "--name", "image", top)
	s.must("set-image-data", "-f", s.store("item", []byte("item")), "image", "key")
	s.must("create-container", "--name", "box", "image")
	return s, base, top
}

// edit changes the first record of a file that has a value.
func (s *target) edit(kind, id string, change func(record map[string]any)) {
	s.t.Helper()
	path := filepath.Join(s.graph(), s.driver+"-"+kind+"s", kind+"s.json")
	data, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	var records []map[string]any
	if err := json.Unmarshal(data, &records); err != nil {
		s.t.Fatal(err)
	}
	for _, r := range records {
		if id == "" || r["id"] == id {
			change(r)
			break
		}
	}
	if data, err = json.Marshal(records); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// verbs are those that make paths of what a record says.
func verbs() [][]string {
	return [][]string{
		{"layers"},
		{"images"},
		{"containers"},
		{"mount", "box"},
		{"diff", "box"},
		{"changes", "box"},
		{"get-image-data", "image", "key"},
		{"get-image-data", "image", "../../../outside/secret"},
		{"get-container-dir", "box"},
		{"unmount", "box"},
		{"delete-container", "box"},
		{"delete-image", "image"},
		{"wipe"},
	}
}

// TestHostileRecords: whatever the records say, no verb reaches a file outside of
// the store, and none panics or hangs.
func TestHostileRecords(t *testing.T) {
	up := "../../../outside"
	set := func(key string, value any) func(map[string]any) {
		return func(r map[string]any) { r[key] = value }
	}
	tests := []struct {
		name, kind string
		change     func(map[string]any)
	}{
		{"layer ID", "layer", set("id", up)},
		{"layer ID with a slash at the end", "layer", set("id", up+"/")},
		{"layer ID of dots", "layer", set("id", "..")},
		{"absolute layer ID", "layer", set("id", "/etc")},
		{"empty layer ID", "layer", set("id", "")},
		{"layer ID with NUL", "layer", set("id", "a\x00b")},
		{"parent", "layer", set("parent", up)},
		{"parent of itself", "layer", func(r map[string]any) { r["parent"] = r["id"] }},
		{"layer's data keys", "layer", set("big-data-names", []string{"../../" + up + "/secret", "/etc/passwd", ".."})},
		{"layer's digest", "layer", set("diff-digest", "sha256:../../../outside/secret")},
		{"flagged, with such an ID", "layer", func(r map[string]any) { r["id"], r["flags"] = up, map[string]any{"incomplete": true} }},
		{"image ID", "image", set("id", up)},
		{"image's layer", "image", set("layer", up)},
		{"image's mapped layers", "image", set("mapped-layers", []string{up, "/"})},
		{"image's data keys", "image", set("big-data-names", []string{up + "/secret"})},
		{"image's digest", "image", set("digest", "sha256:"+up)},
		{"container ID", "container", set("id", up)},
		{"container's layer", "container", set("layer", up)},
		{"container's image", "container", set("image", up)},
		{"container's data keys", "container", set("big-data-names", []string{up + "/secret"})},
	}
	each(t, func(t *testing.T, driver string) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				s, _, _ := furnished(t, driver)
				s.edit(tt.kind, "", tt.change)
				s.harmless(verbs())
			})
		}
	})
}

// harmless runs verbs that may fail, but not badly, and must not give away what is
// outside.
func (s *target) harmless(verbs [][]string) {
	s.t.Helper()
	for _, args := range verbs {
		r := s.strata(nil, args...)
		if r.code < 0 || r.code > 13 || strings.Contains(r.stderr, "panic") || strings.Contains(r.stderr, "goroutine ") {
			s.t.Errorf("%v: exit %d: %s", args, r.code, r.stderr)
		}
		if strings.Contains(r.stdout, "root:x:") || strings.Contains(r.stdout, treasure) || strings.Contains(r.stdout, "\"/etc/passwd") {
			s.t.Errorf("%v gives away what is outside: %s", args, r.stdout)
		}
	}
}

// TestHostileLinks: the overlay driver's notes steer mounts and deletions.
func TestHostileLinks(t *testing.T) {
	tests := []struct {
		name, file, text string
	}{
		{"lower upwards", "lower", "l/../../../../outside"},
		{"absolute lower", "lower", "OUT"},
		{"lower with options", "lower", "l/x,upperdir=OUT"},
		{"lower with colons", "lower", ":::"},
		{"huge lower", "lower", strings.Repeat("l/ABCDEFGHIJKLMNOPQRSTUVWXYZ:", 100000)},
		{"link upwards", "link", "../../../outside/secret"},
		{"absolute link", "link", "OUT/secret"},
		{"empty link", "link", ""},
		{"link with line feed", "link", "ABCDEFGHIJKLMNOPQRSTUVWXYZ\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _, top := furnished(t, "overlay")
			text := strings.ReplaceAll(tt.text, "OUT", filepath.Join(s.dir, "outside"))
			if err := os.WriteFile(filepath.Join(s.graph(), "overlay", top, tt.file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			s.harmless([][]string{{"mount", "box"}, {"diff", "box"}, {"unmount", "box"}, {"wipe"}})
		})
	}
	t.Run("short link to outside", func(t *testing.T) {
		s, _, top := furnished(t, "overlay")
		name, err := os.ReadFile(filepath.Join(s.graph(), "overlay", top, "link"))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(s.graph(), "overlay", "l", string(name))
		if err := errors.Join(os.Remove(path), os.Symlink(filepath.Join(s.dir, "outside"), path)); err != nil {
			t.Fatal(err)
		}
		r := s.strata(nil, "mount", "box")
		if r.code == 0 {
			if _, err := os.Stat(filepath.Join(r.stdout, "secret")); err == nil {
				t.Error("what is outside is mounted into the container")
			}
		}
		s.harmless([][]string{{"unmount", "box"}, {"wipe"}})
	})
}

// TestHostileMountCounts: no mount of somebody else is undone because a count says
// that it is a layer's.
func TestHostileMountCounts(t *testing.T) {
	each(t, func(t *testing.T, driver string) {
		s, _, top := furnished(t, driver)
		point := filepath.Join(s.dir, "mounted")
		if err := os.Mkdir(point, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("none", point, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
				t.Errorf("the mount is gone: %v", err)
			}
		})
		if err := os.WriteFile(filepath.Join(point, "mine"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{top, "../../mounted"} {
			text, err := json.Marshal([]map[string]any{{"id": id, "path": point, "count": 1}})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(s.run(), driver+"-layers", "mountpoints.json"), text, 0o600); err != nil {
				t.Fatal(err)
			}
			s.harmless([][]string{{"mounted", top}, {"unmount", top}, {"unmount", "--force", top}, {"mount", "box"}, {"unmount", "box"}})
			if _, err := os.Stat(filepath.Join(point, "mine")); err != nil {
				t.Errorf("count of %s: %v", id, err)
			}
		}
		s.harmless([][]string{{"wipe"}, {"shutdown", "--force"}})
		if _, err := os.Stat(filepath.Join(point, "mine")); err != nil {
			t.Error(err)
		}
	})
}

// TestHostileTarSplit: the names in a tar-split lead to files of the layer only.
func TestHostileTarSplit(t *testing.T) {
	each(t, func(t *testing.T, driver string) {
		for _, name := range []string{"../../../../outside/secret", "OUT/secret", "x/secret", "../a/a", "fifo", ""} {
			t.Run(strings.ReplaceAll(name, "/", "|"), func(t *testing.T) {
				s := newTarget(t, driver)
				out := filepath.Join(s.dir, "outside")
				body := testutil.Entry{Name: "a", Body: treasure}
				id := firstWord(s.must("import-layer", "-f", s.store("a.tar", testutil.Tar(t, body, link("x", out)))))
				if err := unix.Mkfifo(filepath.Join(s.tree(id), "fifo"), 0o600); err != nil {
					t.Fatal(err)
				}
				s.rewriteSplit(id, strings.ReplaceAll(name, "OUT", out))
				r := s.strata(nil, "diff", id)
				if r.code == 0 {
					t.Error("it is no damage to the command")
				}
				r.within(t, mostMemory)
				if strings.Contains(r.stdout, treasure) {
					t.Errorf("diff read a file outside of the layer (exit %d): %s", r.code, r.stderr)
				}
			})
		}
	})
}

// TestTarSplitBomb: a tar-split that unpacks to one endless line is damage, of bounded cost.
func TestTarSplitBomb(t *testing.T) {
	s := newTarget(t, "overlay")
	id := firstWord(s.must("import-layer", "-f", s.store("a.tar", testutil.Tar(t, file("a")))))
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	_, err := io.Copy(w, io.MultiReader(strings.NewReader(`{"type":2,"payload":"`), strings.NewReader(strings.Repeat("A", 512*mib))))
	if err := errors.Join(err, w.Close(), os.WriteFile(s.split(id), bomb.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"check", "verify"} {
		r := s.strata(nil, verb)
		if r.code != exitCorrupt || !strings.Contains(r.stdout, "tar-split") {
			t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
		}
		r.within(t, mostMemory)
	}
}

func (s *target) split(id string) string {
	return filepath.Join(s.graph(), s.driver+"-layers", id+".tar-split.gz")
}

// rewriteSplit has the entry "a" of a layer's tar-split refer to another name.
func (s *target) rewriteSplit(id, name string) {
	s.t.Helper()
	path := s.split(id)
	f, err := os.Open(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	in, err := gzip.NewReader(f)
	if err != nil {
		s.t.Fatal(err)
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	decoder, encoder := json.NewDecoder(in), json.NewEncoder(w)
	for decoder.More() {
		var line map[string]any
		if err := decoder.Decode(&line); err != nil {
			s.t.Fatal(err)
		}
		if line["name"] == "a" {
			line["name"] = name
		}
		if err := encoder.Encode(line); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), os.WriteFile(path, out.Bytes(), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}
