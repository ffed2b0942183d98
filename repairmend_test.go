package strata_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// broken is a store with an image of three layers, base first, and a container, whose files a
// test damages.
type broken struct {
	*storetest.Store
	t      *testing.T
	layers []string
}

func (b broken) home(names ...string) string {
	return filepath.Join(append([]string{b.GraphRoot(), "overlay"}, names...)...)
}

func (b broken) note(i int, name string) string { return b.home(b.layers[i], name) }

func (b broken) read(path string) string {
	b.t.Helper()
	data, err := os.ReadFile(path)
	must(b.t, err)
	return string(data)
}

// record changes one record on the disk.
func (b broken) record(kind, id string, change func(r map[string]any)) {
	b.t.Helper()
	path := filepath.Join(b.GraphRoot(), "overlay-"+kind+"s", kind+"s.json")
	var list []map[string]any
	must(b.t, json.Unmarshal([]byte(b.read(path)), &list))
	for _, r := range list {
		if r["id"] == id {
			change(r)
		}
	}
	data, err := json.Marshal(list)
	must(b.t, errors.Join(err, os.WriteFile(path, data, 0o600)))
}

// TestRepairKeepsTheImage: what can be told from what is sound is put right where it is.
func TestRepairKeepsTheImage(t *testing.T) {
	tests := []struct {
		name   string
		damage func(b broken) error
	}{
		{"list of layers below is another's", func(b broken) error {
			return os.WriteFile(b.note(2, "lower"), []byte("l/"+b.read(b.note(0, "link"))), 0o600)
		}},
		{"list of layers below at the base", func(b broken) error {
			return os.WriteFile(b.note(0, "lower"), []byte("l/"+b.read(b.note(1, "link"))), 0o600)
		}},
		{"list with a name that nobody has", func(b broken) error {
			return os.WriteFile(b.note(2, "lower"), []byte("l/"+strings.Repeat("A", 26)), 0o600)
		}},
		{"list with one name that nobody has", func(b broken) error {
			return os.WriteFile(b.note(2, "lower"), []byte("l/"+b.read(b.note(1, "link"))+":l/"+strings.Repeat("A", 26)), 0o600)
		}},
		{"list of a container's layer with one name that nobody has", func(b broken) error {
			c, err := b.Container(b.t.Context(), "con1")
			must(b.t, err)
			path := b.home(string(c.Layer), "lower")
			return os.WriteFile(path, []byte(strings.Replace(b.read(path), b.read(b.note(0, "link")), strings.Repeat("A", 26), 1)), 0o600)
		}},
		{"short link to another layer", func(b broken) error {
			link := b.home("l", b.read(b.note(1, "link")))
			return errors.Join(os.Remove(link), os.Symlink("../"+b.layers[0]+"/diff", link))
		}},
		{"two layers with one short name", func(b broken) error {
			return os.WriteFile(b.note(2, "link"), []byte(b.read(b.note(1, "link"))), 0o600)
		}},
		{"record without the layer below", func(b broken) error {
			b.record("layer", b.layers[1], func(r map[string]any) { delete(r, "parent") })
			return nil
		}},
		{"record with another layer below", func(b broken) error {
			b.record("layer", b.layers[2], func(r map[string]any) { r["parent"] = b.layers[0] })
			return nil
		}},
		{"layer that stands on itself", func(b broken) error {
			b.record("layer", b.layers[1], func(r map[string]any) { r["parent"] = b.layers[1] })
			return nil
		}},
		{"records that lead in a circle", func(b broken) error {
			b.record("layer", b.layers[0], func(r map[string]any) { r["parent"] = b.layers[2] })
			return nil
		}},
		{"wrong length of a layer", func(b broken) error {
			b.record("layer", b.layers[1], func(r map[string]any) { r["diff-size"] = 5 })
			return nil
		}},
		{"digest that is none", func(b broken) error {
			b.record("image", "img1", func(r map[string]any) { r["digest"] = "none" })
			return nil
		}},
		{"wrong length of a data item", func(b broken) error {
			b.record("image", "img1", func(r map[string]any) { r["big-data-sizes"] = map[string]any{"item": 1} })
			return nil
		}},
		{"directory for the short name", func(b broken) error {
			return errors.Join(os.Remove(b.note(1, "link")), os.Mkdir(b.note(1, "link"), 0o700))
		}},
		{"link for the short name", func(b broken) error {
			return errors.Join(os.Remove(b.note(1, "link")), os.Symlink("/etc/hostname", b.note(1, "link")))
		}},
		{"FIFO for the short link", func(b broken) error {
			path := b.home("l", b.read(b.note(1, "link")))
			return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600))
		}},
		{"directory for the list of layers below", func(b broken) error {
			return errors.Join(os.Remove(b.note(2, "lower")), os.Mkdir(b.note(2, "lower"), 0o700))
		}},
		{"FIFO for the list of layers below", func(b broken) error {
			return errors.Join(os.Remove(b.note(2, "lower")), unix.Mkfifo(b.note(2, "lower"), 0o600))
		}},
		{"names and attributes that are not in the tar", func(b broken) error {
			diff := b.note(1, "diff")
			return errors.Join(os.WriteFile(diff+"/extra", []byte("extra"), 0o600), os.Chmod(diff+"/f1", 0o777), unix.Mknod(diff+"/gone", unix.S_IFCHR, 0))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t, "overlay")
			ctx := t.Context()
			var ended []error
			layers, err := s.ImportStack(ctx, strata.StackOptions{}, stackOf(t, 3, &ended))
			must(t, err)
			b := broken{Store: s, t: t}
			for _, l := range layers {
				b.layers = append(b.layers, string(l.ID))
			}
			createImage(t, s, "img1", b.layers[2], "app:1")
			must(t, s.SetBigData(ctx, strata.KindImage, "img1", "item", []byte("data")))
			createContainer(t, s, "con1", "img1")
			must(t, tt.damage(b))
			again := s.Again(t)
			report, err := again.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			if len(report.Findings) == 0 {
				t.Fatal("nothing was found")
			}
			cures(t, again, report)
			snap, err := again.Snapshot(ctx)
			must(t, err)
			wantEqual(t, "objects", []int{4, 1, 1}, []int{len(snap.Layers), len(snap.Images), len(snap.Containers)})
			mountAll(t, again, snap)
			l, err := again.Layer(ctx, b.layers[1])
			must(t, err)
			wantEqual(t, "layer below", layer.ID(b.layers[0]), l.Parent)
		})
	}
}

// TestRepairKeepsExtraFiles: what a layer has too many is in the trash afterwards.
func TestRepairKeepsExtraFiles(t *testing.T) {
	s := storetest.New(t, "vfs")
	ctx := t.Context()
	importLayer(t, s, "lay1", "", testutil.Entry{Name: "f", Body: "one"})
	must(t, os.MkdirAll(tamper(t, s, "lay1")+"/d/e", 0o700))
	must(t, os.WriteFile(tamper(t, s, "lay1")+"/d/e/extra", []byte("extra"), 0o600))
	report, err := s.Store.Check(ctx, strata.CheckOptions{})
	must(t, err)
	done, err := s.Repair(ctx, report, strata.RepairOptions{})
	must(t, err)
	data, err := os.ReadFile(done.Trash + "/layer-lay1/extra/d/e/extra")
	if string(data) != "extra" || err != nil || len(done.Left) > 0 {
		t.Errorf("%q, %v, %v", data, err, done.Left)
	}
}

// TestLayerWithoutDirectory: a layer whose files are gone, or are no directory, is found, and
// hides nothing else.
func TestLayerWithoutDirectory(t *testing.T) {
	replace := func(path string) error {
		return errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600))
	}
	for name, damage := range map[string]func(b broken) error{
		"no files":       func(b broken) error { return os.RemoveAll(b.note(0, "diff")) },
		"file for files": func(b broken) error { return replace(b.note(0, "diff")) },
		"link for files": func(b broken) error {
			return errors.Join(os.RemoveAll(b.note(0, "diff")), os.Symlink("/etc", b.note(0, "diff")))
		},
		"file for the directory": func(b broken) error { return replace(b.note(0, "")) },
		"link for the directory": func(b broken) error {
			return errors.Join(os.RemoveAll(b.note(0, "")), os.Symlink("/etc", b.note(0, "")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t, "overlay")
			ctx := t.Context()
			importLayer(t, s, strings.Repeat("a", 64), "", testutil.Entry{Name: "f", Body: "one"})
			importLayer(t, s, "good", "", testutil.Entry{Name: "f", Body: "two"})
			must(t, damage(broken{Store: s, t: t, layers: []string{strings.Repeat("a", 64)}}))
			report, err := s.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			wantEqual(t, "findings", []string{"content-missing layer aaaa"}, found(report.Findings))
			done, err := s.Repair(ctx, report, strata.RepairOptions{Remove: true})
			must(t, err)
			for _, f := range done.Left {
				t.Errorf("left: %v: %v", f.Finding, f.Err)
			}
			importLayer(t, s, strings.Repeat("a", 64), "", testutil.Entry{Name: "f", Body: "one"})
		})
	}
}

// TestLinksElsewhere: a symbolic link in the place of the folder of short links is replaced, and
// what it leads to is never touched.
func TestLinksElsewhere(t *testing.T) {
	b := newBroken(t)
	ctx := t.Context()
	other := t.TempDir()
	must(t, os.Symlink("mine", filepath.Join(other, "link")))
	must(t, os.RemoveAll(b.home("l")))
	must(t, os.Symlink(other, b.home("l")))
	again := b.Again(t)
	report, err := again.Store.Check(ctx, strata.CheckOptions{})
	must(t, err)
	wantEqual(t, "findings", 4, len(report.Findings))
	for _, f := range report.Findings {
		if f.Problem != strata.ProblemLinks || f.Repair != strata.RepairRelink {
			t.Errorf("%+v", f)
		}
	}
	_, err = again.GC(ctx, strata.GCOptions{})
	must(t, err)
	done, err := again.Repair(ctx, report, strata.RepairOptions{Remove: true})
	must(t, err)
	for _, f := range done.Left {
		t.Errorf("left: %v: %v", f.Finding, f.Err)
	}
	entries, err := os.ReadDir(other)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "link" {
		t.Errorf("elsewhere: %v", entries)
	}
	after, err := again.Store.Check(ctx, strata.CheckOptions{})
	must(t, err)
	wantEqual(t, "findings", []string(nil), found(after.Findings))
	snap, err := again.Snapshot(ctx)
	must(t, err)
	mountAll(t, again, snap)
}
