//go:build linux && amd64

package faulttest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"go.etcd.io/bbolt"

	"github.com/stratastore/strata/internal/faulttest"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/local"
	"github.com/stratastore/strata/volume/ontop"
)

// volumeBench is a bench for a store with volumes. What is below the volumes, the
// directory base and Docker's data root, is shared by all benches, for nobody may change it.
type volumeBench struct{ *bench }

// volumeFixture is what the volume benches start from.
type volumeFixture struct {
	*common
	template string
}

// newVolumeFixture makes the directories below volumes, and a store with a volume of each kind.
func newVolumeFixture(t testing.TB) *volumeFixture {
	t.Helper()
	f := &volumeFixture{common: newCommon(t)}
	f.template = f.file("template-volumes")
	f.tree(t, "below/base", map[string]string{"kept": "kept", "changed": "old", "gone": "x", "sub/file": "deep"})
	f.tree(t, "below/device", map[string]string{"file": "of the device"})
	for _, name := range []string{"first", "second"} {
		f.tree(t, "below/docker/volumes/"+name+"/_data", map[string]string{"file": name, "sub/deep": "deep"})
	}
	f.tree(t, "below/docker/volumes/mount/_data", nil)
	f.write(t, "below/docker/volumes/mount/opts.json", []byte(`{"MountType":"none","MountOpts":"bind","MountDevice":"/srv"}`))
	f.dockerDatabase(t)
	b := f.bench(t, "making")
	b.fill()
	if err := os.Mkdir(f.template, 0o700); err != nil {
		t.Fatal(err)
	}
	copyStore(t, b.dir, f.template)
	return f
}

// tree makes files below the common directory.
func (f *volumeFixture) tree(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(f.file(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(f.file(dir+"/"+name)), 0o755); err != nil {
			t.Fatal(err)
		}
		f.write(t, dir+"/"+name, []byte(text))
	}
}

// dockerDatabase gives one of Docker's volumes a label.
func (f *volumeFixture) dockerDatabase(t testing.TB) {
	t.Helper()
	db, err := bbolt.Open(f.file("below/docker/volumes/metadata.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket([]byte("volumes"))
		if err != nil {
			return err
		}
		return bucket.Put([]byte("first"), []byte(`{"Name":"first","Driver":"local","Labels":{"of":"docker"}}`))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func (f *volumeFixture) bench(t testing.TB, name string) *volumeBench {
	t.Helper()
	return &volumeBench{f.common.bench(t, "volume-"+name, "overlay")}
}

// words puts the common directory in for "@@", and the bench's own for "%%".
func (b *volumeBench) words(words []string) []string {
	r := strings.NewReplacer("@@", b.common.dir+"/", "%%", b.dir+"/")
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = r.Replace(w)
	}
	return out
}

// volumes are the folders of the drivers local and ontop.
func (b *volumeBench) local() string { return filepath.Join(b.graph(), "strata", "volumes") }
func (b *volumeBench) ontop() string { return filepath.Join(b.graph(), "strata", "ontop") }

// fill makes the volumes that every verb begins with.
func (b *volumeBench) fill() {
	b.t.Helper()
	b.strata("load", "@app.tar")
	for _, line := range []string{
		"--label keep=yes data", "other", "--label com.docker.volume.anonymous= anon",
		"--label k=v --opt type=none --opt o=bind --opt device=@@below/device bound",
		"--label k=v --driver ontop --opt base=@@below/base preview",
		"--driver ontop --opt base=@@below/base --opt volatile=yes scratch",
		"--driver ontop --opt lower=localhost/app:1 pic",
	} {
		b.strata(append([]string{"volume", "create"}, b.words(strings.Fields(line))...)...)
	}
	for _, name := range []string{"data", "other", "anon"} {
		b.plant(filepath.Join(b.local(), name, "_data", "file"), name)
	}
	b.change("preview")
	b.change("pic")
	b.strata("volume", "snapshot", "preview", "monday")
}

// change writes into a volume and removes something from it.
func (b *volumeBench) change(name string) {
	b.t.Helper()
	dir := b.strata("volume", "mount", name)
	b.plant(filepath.Join(dir, "made"), "made")
	for _, path := range []string{"gone", "etc/base"} {
		if err := os.Remove(filepath.Join(dir, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.t.Fatal(err)
		}
	}
	b.strata("volume", "unmount", name)
}

// restore makes the store anew, as the template is, and an empty folder for what verbs write.
func (b *volumeBench) restore(f *volumeFixture) {
	b.t.Helper()
	b.clear()
	copyStore(b.t, f.template, b.dir)
	out := filepath.Join(b.dir, "out")
	if err := errors.Join(os.RemoveAll(out), os.Mkdir(out, 0o755)); err != nil {
		b.t.Fatal(err)
	}
}

// sweep is the documented one: the next command that changes something, and a collection of
// the store's garbage where it is concerned.
func (b *volumeBench) sweep(collect bool) error {
	_, err := b.try("volume", "prune", "--force", "--filter", "label=nobody")
	if err == nil && collect {
		_, err = b.try("gc")
	}
	return err
}

// look is the state of the volumes, as a new process and the disk tell.
func (b *volumeBench) look() (_ state, err error) {
	ctx := b.t.Context()
	near, err := local.New(ctx, local.Options{Root: b.local()})
	if err != nil {
		return nil, err
	}
	top, err := ontop.New(ctx, ontop.Options{Root: b.ontop(), Name: "ontop", LookOnly: true})
	if err != nil {
		return nil, err
	}
	drivers := volume.NewRegistry(volume.RegistryOptions{})
	if err := errors.Join(drivers.Register(near), drivers.Register(top)); err != nil {
		return nil, err
	}
	var warnings strings.Builder
	s, err := volume.Open(ctx, volume.Options{
		Path: filepath.Join(b.local(), "metadata.db"), Drivers: drivers, LockTimeout: time.Minute,
		Logger: slog.New(slog.NewTextHandler(&warnings, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	found, err := s.Find(ctx, volume.Filter{})
	if err != nil {
		return nil, err
	}
	out := state{}
	for _, v := range found.Volumes {
		one, err := s.Get(ctx, v.Name, volume.GetOptions{})
		if err != nil {
			return nil, err
		}
		out["volume "+v.Name] = fmt.Sprintf("driver %s labels %v options %v listed %t content %s", one.Driver, one.Labels, one.Options,
			testutil.JSON(b.t, []any{one.Labels, one.Options, one.Driver}) == testutil.JSON(b.t, []any{v.Labels, v.Options, v.Driver}), b.content(v))
	}
	b.folders(out)
	if err := errors.Join(b.users(out, found.Volumes), b.outside(out)); err != nil {
		return nil, err
	}
	return out, nil
}

// content is a digest of what a volume holds by itself.
func (b *volumeBench) content(v volume.Volume) string {
	dir := filepath.Join(b.local(), v.Name, "_data")
	about := ""
	if v.Driver == "ontop" {
		dir = filepath.Join(b.ontop(), v.Name, "upper")
		data, err := os.ReadFile(filepath.Join(b.ontop(), v.Name, "metadata.json"))
		var m map[string]any
		if err := errors.Join(err, json.Unmarshal(data, &m)); err != nil {
			return "BROKEN " + err.Error()
		}
		delete(m, "CreatedAt")
		about = testutil.JSON(b.t, m)
	}
	if _, err := os.Lstat(dir); err != nil {
		return "BROKEN " + err.Error()
	}
	return about + digestOf(b.t, dir)
}

// overlayMarks are what the kernel writes into an upper directory for itself.
var overlayMarks = regexp.MustCompile(`trusted\.overlay\.(uuid|impure|origin)="(\\.|[^"\\])*",?`)

// digestOf is a short digest of a tree, but for times.
func digestOf(t testing.TB, dir string) string {
	t.Helper()
	lines := testutil.Tree(t, dir, testutil.IgnoreMtime)
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(overlayMarks.ReplaceAllString(line, ""), "  ", " - ")
	}
	return fmt.Sprint(len(lines), ":", testutil.Digest([]byte(strings.Join(lines, "\n"))).Encoded()[:12])
}

// folders reports those that are volumes' by their names, and no volumes.
func (b *volumeBench) folders(out state) {
	for _, root := range []string{b.local(), b.ontop()} {
		entries, err := os.ReadDir(root)
		if err != nil {
			out["folder "+root] = "BROKEN " + err.Error()
		}
		for _, e := range entries {
			if e.IsDir() && out["volume "+e.Name()] == "" && !strings.HasPrefix(e.Name(), ".") {
				out["volume "+e.Name()] = "UNLISTED in " + filepath.Base(root)
			}
		}
	}
}

// users tells who uses each volume: by the database, by the records of the driver ontop,
// and by what is mounted.
func (b *volumeBench) users(out state, volumes []volume.Volume) error {
	mounts, err := mountapi.Table(mountinfo.PrefixFilter(filepath.Join(b.graph(), "strata")))
	if err != nil {
		return err
	}
	recorded := b.references()
	for _, v := range volumes {
		point, records := filepath.Join(b.local(), v.Name, "_data"), ""
		if v.Driver == "ontop" {
			point = filepath.Join(b.ontop(), v.Name, "mountpoint")
			records = readRecords(filepath.Join(b.ontop(), v.Name, "activemounts"))
		}
		n := 0
		for _, m := range mounts {
			if m.Mountpoint == point {
				n++
			}
		}
		if text := fmt.Sprintf("holders %v references %s records [%s] mounted %d", v.References, recorded[v.Name], records, n); text != noUsers {
			out["users of "+v.Name] = text
		}
		if n > 1 {
			out["stack on "+v.Name] = fmt.Sprint("STACKED ", n)
		}
	}
	return nil
}

const noUsers = "holders [] references  records [] mounted 0"

func readRecords(dir string) string {
	entries, _ := os.ReadDir(dir)
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		var r struct{ UsageCount int }
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err := errors.Join(err, json.Unmarshal(data, &r)); err != nil {
			out = append(out, "BROKEN "+err.Error())
		}
		out = append(out, fmt.Sprint(e.Name(), ":", r.UsageCount))
	}
	return strings.Join(out, " ")
}

// references are the recorded holders of each volume, with their mounts. The database is a
// copy, for the bench's own is open.
func (b *volumeBench) references() map[string]string {
	out := map[string]string{}
	data, err := os.ReadFile(filepath.Join(b.local(), "metadata.db"))
	copied := filepath.Join(b.dir, "copy.db")
	if err = errors.Join(err, os.WriteFile(copied, data, 0o600)); err != nil {
		b.t.Fatal(err)
	}
	db, err := bbolt.Open(copied, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("references")).ForEach(func(name, value []byte) error {
			var refs []struct {
				ID     string
				Mounts int
			}
			err := json.Unmarshal(value, &refs)
			out[string(name)] = fmt.Sprint(refs)
			return err
		})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// outside is what is not the store's: what nobody may change, and what a verb writes.
func (b *volumeBench) outside(out state) error {
	for _, dir := range []string{"base", "device", "docker"} {
		lines := testutil.Tree(b.t, b.common.file("below/"+dir))
		out["below "+dir] = testutil.Digest([]byte(strings.Join(lines, "\n"))).Encoded()[:12]
	}
	entries, err := os.ReadDir(filepath.Join(b.dir, "out"))
	for _, e := range entries {
		if !e.IsDir() && strings.HasPrefix(e.Name(), ".") {
			continue // a tar that was not finished, which is documented
		}
		if strings.HasPrefix(e.Name(), ".") {
			out["beside the output"] = "LEFT"
			continue
		}
		out["output "+e.Name()] = b.output(filepath.Join(b.dir, "out", e.Name()))
	}
	return err
}

// output is a digest of a tar's entries or of a directory.
func (b *volumeBench) output(path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return digestOf(b.t, path)
	}
	list, err := exec.CommandContext(b.t.Context(), "tar", "-tvf", path).Output()
	if err != nil {
		return "BROKEN " + err.Error()
	}
	lines := slices.Collect(strings.Lines(string(list)))
	return fmt.Sprint(len(lines), " entries")
}

// traced runs the command under a plan. What it opens of the directories below volumes counts.
func (b *volumeBench) traced(plan faulttest.Plan, words []string) *faulttest.Report {
	b.t.Helper()
	r, err := faulttest.Run(b.t.Context(), faulttest.Command{Args: b.args(b.words(words)...), Env: b.env(), Watch: b.common.dir}, plan)
	if err != nil {
		b.t.Fatalf("trace %q: %v", words, err)
	}
	return r
}
