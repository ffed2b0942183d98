package dockervolumes

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/stratastore/strata/errdefs"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// dataRoot has the folders named, each with a _data, and a database with the records.
func dataRoot(t *testing.T, folders []string, records map[string]any) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range folders {
		must(t, os.MkdirAll(filepath.Join(root, "volumes", f, "_data"), 0o755))
	}
	must(t, os.MkdirAll(filepath.Join(root, "volumes"), 0o755))
	if records == nil {
		return root
	}
	db, err := bbolt.Open(filepath.Join(root, "volumes", "metadata.db"), 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte("volumes"))
		must(t, err)
		for name, r := range records {
			value, err := json.Marshal(r)
			must(t, err, bucket.Put([]byte(name), value))
		}
		return nil
	}), db.Close())
	return root
}

func TestRead(t *testing.T) {
	root := dataRoot(t, []string{"plain", "mount", "limited", "damaged", "linked"}, map[string]any{
		"plain":  map[string]any{"Name": "plain", "Driver": "local", "Labels": map[string]string{"k": "v"}},
		"remote": map[string]any{"Name": "remote", "Driver": "nfs", "Options": map[string]string{"share": "x"}},
		"odd":    "no record at all", "../up": map[string]any{"Driver": "nfs"},
	})
	at := func(name string) string { return filepath.Join(root, "volumes", name) }
	must(t,
		os.WriteFile(at("mount/opts.json"), []byte(`{"MountType":"none","MountOpts":"bind","MountDevice":"/srv","Quota":{"Size":0}}`), 0o600),
		os.WriteFile(at("limited/opts.json"), []byte(`{"MountType":"","Quota":{"Size":1048576}}`), 0o600),
		os.WriteFile(at("damaged/opts.json"), []byte(`{"Mount`), 0o600),
		os.Remove(at("linked/_data")), os.Symlink("/etc", at("linked/_data")),
		os.WriteFile(at("backingFsBlockDev"), nil, 0o600), os.Mkdir(at("empty"), 0o755), os.Mkdir(at(".hidden"), 0o755))
	found, err := Read(t.Context(), root, Options{})
	must(t, err)
	var names []string
	by := map[string]Volume{}
	for _, v := range found {
		names = append(names, v.Name)
		by[v.Name] = v
	}
	if got := strings.Join(names, " "); got != "damaged empty limited linked mount plain remote" {
		t.Fatalf("found %s", got)
	}
	if v := by["plain"]; v.Err != nil || v.Labels["k"] != "v" || v.Data != at("plain/_data") || len(v.Options) != 0 {
		t.Errorf("%+v", v)
	}
	if v := by["mount"]; v.Err != nil || v.Data != "" || !maps.Equal(v.Options, map[string]string{"type": "none", "o": "bind", "device": "/srv"}) {
		t.Errorf("%+v", v)
	}
	if v := by["limited"]; v.Err != nil || v.Data == "" || !maps.Equal(v.Options, map[string]string{"size": "1048576"}) {
		t.Errorf("%+v", v)
	}
	for name, kind := range map[string]error{"damaged": errdefs.ErrCorrupt, "linked": errdefs.ErrCorrupt, "empty": os.ErrNotExist, "remote": ErrPlugin} {
		if v := by[name]; !errors.Is(v.Err, kind) {
			t.Errorf("%s: %v, want %v", name, v.Err, kind)
		}
	}
}

func TestWhereVolumesAre(t *testing.T) {
	remapped := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(remapped, "100000.100000", "volumes", "data", "_data"), 0o755))
	found, err := Read(t.Context(), remapped, Options{})
	if err != nil || len(found) != 1 || found[0].Name != "data" {
		t.Errorf("remapped users: %v, %v", found, err)
	}
	must(t, os.MkdirAll(filepath.Join(remapped, "200000.200000", "volumes"), 0o755))
	if _, err := Read(t.Context(), remapped, Options{}); !errors.Is(err, errdefs.ErrInvalid) || errdefs.Hint(err) == "" {
		t.Errorf("two engines: %v", err)
	}
	if _, err := Read(t.Context(), t.TempDir(), Options{}); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("no volumes: %v", err)
	}
	if _, err := Read(t.Context(), "/nonexistent", Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no root: %v", err)
	}
}

func TestRunningAndDamaged(t *testing.T) {
	root := dataRoot(t, []string{"data"}, map[string]any{"data": map[string]any{"Driver": "local", "Labels": map[string]string{"k": "v"}}})
	path := filepath.Join(root, "volumes", "metadata.db")
	engine, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	if _, err := Read(t.Context(), root, Options{}); !errors.Is(err, ErrRunning) || errdefs.Hint(err) == "" {
		t.Errorf("beside an engine: %v", err)
	}
	if found, err := Read(t.Context(), root, Options{AllowRunning: true}); err != nil || len(found) != 1 || found[0].Labels != nil {
		t.Errorf("by force: %v, %v", found, err)
	}
	must(t, engine.Close(), os.WriteFile(path, []byte("no database"), 0o600))
	if _, err := Read(t.Context(), root, Options{}); !errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("damaged: %v", err)
	}
}
