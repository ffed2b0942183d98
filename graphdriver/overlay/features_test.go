package overlay

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

func TestStatus(t *testing.T) {
	dir := root(t)
	d := openAt(t, dir)
	var keys []string
	for _, item := range d.Status() {
		keys = append(keys, item.Key)
	}
	same(t, "keys", keys, []string{
		"Backing Filesystem", "Supports d_type", "Native Overlay Diff", "Using metacopy", "Supports shifting", "Supports volatile",
	})
	kept := shapeNames(t, d.runHome)
	for _, feature := range []string{"overlay", "metacopy()", "native-diff()", "volatile", "idmapped-lower-dir"} {
		_, yes := os.Stat(filepath.Join(d.runHome, feature+"-true"))
		_, no := os.Stat(filepath.Join(d.runHome, feature+"-false"))
		if (yes == nil) == (no == nil) {
			t.Errorf("answer about %s: kept are %q", feature, kept)
		}
	}
	same(t, "left by trials", shapeNames(t, d.homes[0].Temp()), []string(nil))
	// The next process asks nobody.
	other := openAt(t, dir)
	other.mounter = nil
	same(t, "status of the next process", other.Status(), d.Status())
}

// TestKeptAnswers: what another engine found out counts.
func TestKeptAnswers(t *testing.T) {
	dir := root(t)
	cfg := config(dir, graphdriver.Option{Key: "mountopt", Value: "nodev"})
	must(t, os.MkdirAll(cfg.RunHome, 0o700))
	for _, name := range []string{"overlay-true", "native-diff(nodev)-false", "metacopy(nodev)-true", "volatile-false", "idmapped-lower-dir-false"} {
		write(t, filepath.Join(cfg.RunHome, name), "")
	}
	d, err := open(t.Context(), cfg, mountapi.Auto)
	must(t, err)
	d.mounter = nil
	same(t, "status", d.Status(), []graphdriver.StatusItem{
		{Key: "Backing Filesystem", Value: d.backing.String()}, {Key: "Supports d_type", Value: "true"},
		{Key: "Native Overlay Diff", Value: "false"}, {Key: "Using metacopy", Value: "true"},
		{Key: "Supports shifting", Value: "false"}, {Key: "Supports volatile", Value: "false"},
	})
	must(t, d.Cleanup(t.Context()))
	must(t, os.Remove(filepath.Join(cfg.RunHome, "overlay-true")))
	write(t, filepath.Join(cfg.RunHome, "overlay-false"), "no such luck")
	if _, err := open(t.Context(), cfg, mountapi.Auto); !graphdriver.IsNotSupported(err) {
		t.Errorf("kept no: %v, want one of the class not supported", err)
	}
}

// TestOneShotMountsNothing: opening, listing and asking about layers needs no mount in a later
// process.
func TestOneShotMountsNothing(t *testing.T) {
	dir := root(t)
	first := openAt(t, dir)
	layer(t, first, "base", "", testutil.Entry{Name: "f", Body: "1"})
	layer(t, first, "child", "base", testutil.Entry{Name: "g", Body: "1"})
	same(t, "changes", changes(t, first, "child", "base"), []string{`Add "/g"`})
	before := mountsBelow(t, dir)
	d := openAt(t, dir)
	d.mounter = nil
	_, err := d.List(t.Context())
	must(t, err)
	_, err = d.Metadata(t.Context(), "child")
	must(t, err)
	same(t, "changes", changes(t, d, "child", "base"), []string{`Add "/g"`})
	must(t, d.Create(t.Context(), "other", "child", graphdriver.CreateOptions{}))
	must(t, d.Remove(t.Context(), "other"))
	same(t, "mounts", mountsBelow(t, dir), before)
}

// TestMetacopy: with metacopy=on the changes of attributes have no content in the upper
// directory, and the diff is right all the same.
func TestMetacopy(t *testing.T) {
	for name, api := range map[string]mountapi.API{"detached": mountapi.Auto, "classic": mountapi.Classic} {
		t.Run(name, func(t *testing.T) {
			dir := root(t)
			d, err := open(t.Context(), config(dir, graphdriver.Option{Key: "mountopt", Value: "metacopy=on"}), api)
			must(t, err)
			if !d.features.metacopy() {
				t.Skip("the kernel has no metacopy")
			}
			same(t, "native diff", d.features.nativeDiff(), false)
			layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "content"}, testutil.Entry{Name: "d/"}, testutil.Entry{Name: "d/g", Body: "2"})
			must(t, d.Create(t.Context(), "child", "base", graphdriver.CreateOptions{}))
			mounted(t, d, "child", graphdriver.MountOptions{Options: []string{"nosuid"}}, func(path string) {
				must(t, os.Chmod(filepath.Join(path, "f"), 0o600))
				must(t, os.Rename(filepath.Join(path, "d"), filepath.Join(path, "e")))
			})
			before := mountsBelow(t, dir)
			same(t, "changes", changes(t, d, "child", "base"), []string{`Delete "/d"`, `Add "/e"`, `Add "/e/g"`, `Modify "/f"`})
			size, err := d.DiffSize(t.Context(), "child", "base", graphdriver.DiffOptions{})
			must(t, err)
			same(t, "size", size, int64(len("content")+1))
			r, err := d.Diff(t.Context(), "child", "base", graphdriver.DiffOptions{})
			must(t, err)
			if api != mountapi.Classic {
				same(t, "mounts while a diff is read", mountsBelow(t, dir), before)
			}
			mounts, err := d.DiffMounts(t.Context(), "child", "base")
			must(t, err)
			same(t, "DiffMounts", mounts, api == mountapi.Classic)
			must(t, d.Create(t.Context(), "copy", "base", graphdriver.CreateOptions{}))
			_, err = d.ApplyDiff(t.Context(), "copy", "base", r, graphdriver.ApplyOptions{})
			must(t, errors.Join(err, r.Close()))
			same(t, "applied diff", tree(t, d, "copy"), tree(t, d, "child"))
			same(t, "mounts", mountsBelow(t, dir), before)
			must(t, d.Cleanup(t.Context()))
		})
	}
}
