package ontop

import (
	"errors"
	"os"
	"testing"
)

// FuzzState: whatever the files of a volume's folder hold, the state folder opens, and the
// volume beside it is as it was.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"BaseDirPath":"/","Volatile":false}`), []byte(`{"UsageCount":1}`), "user")
	f.Add([]byte(`{"BaseDirPath":1}`), []byte(`{"UsageCount":-1}`), "user")
	f.Add([]byte(`{"Image":"../x","SnapshotOf":"..","Version":7,"CreatedAt":"x"}`), []byte("{"), ".tmp-1")
	f.Add([]byte("null"), []byte("null"), "a b")
	f.Fuzz(func(t *testing.T, meta, user []byte, id string) {
		d, err := New(t.Context(), Options{Root: t.TempDir(), LookOnly: true, Boot: "boot"})
		must(t, err)
		for _, name := range []string{"bad", "good"} {
			p := d.place(name)
			must(t, os.MkdirAll(p.path(recordsDir), 0o700), os.Mkdir(p.path(upperDir), 0o700), p.writeMetadata(metadata{Base: "/"}))
		}
		bad := d.place("bad")
		must(t, os.WriteFile(bad.path(metadataFile), meta, 0o600))
		if checkID(id) == nil {
			must(t, os.WriteFile(bad.path(recordsDir+"/"+id), user, 0o600))
			if r, ok, err := bad.record(id); err == nil && (!ok || r.Count < 1) {
				t.Fatalf("record %+v", r)
			}
		}
		_, _ = d.Get(t.Context(), "bad") // an error, or the volume
		_, _ = d.Size(t.Context(), "bad")
		infos, err := d.List(t.Context())
		_, goodErr := d.Get(t.Context(), "good")
		must(t, errors.Join(err, goodErr))
		if len(infos) == 0 || infos[len(infos)-1].Name != "good" {
			t.Fatalf("listed are %+v", infos)
		}
	})
}
