package volume

import (
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// FuzzMetadata: whatever the database holds of one volume, the store opens, and what it
// holds of another stays.
func FuzzMetadata(f *testing.F) {
	f.Add("v", []byte(`{"Name":"v","Driver":"local","Labels":{"k":"v"},"Options":null}`), []byte(`[{"ID":"c"}]`))
	f.Add("../v", []byte(`{"Name":"../../etc","Driver":"../x","Scope":"else","Version":99}`), []byte("["))
	f.Add("v", []byte(`{"Name":"good","Driver":"other","CreatedAt":"never"}`), []byte(`[null,{"ID":"","PID":-1}]`))
	f.Add("", []byte("null"), []byte("null"))
	f.Fuzz(func(t *testing.T, key string, value, refs []byte) {
		if key == "" || key == "good" || len(key) > bbolt.MaxKeySize {
			return
		}
		path := filepath.Join(t.TempDir(), "metadata.db")
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			volumes, err := tx.CreateBucket(volumesBucket)
			references, err2 := tx.CreateBucket(referencesBucket)
			return errors.Join(err, err2, volumes.Put([]byte(key), value), references.Put([]byte(key), refs),
				volumes.Put([]byte("good"), []byte(`{"Name":"good","Driver":"local","Labels":{"k":"v"}}`)))
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		s := open(t, path, newFake("local", "good", "v"), newFake("other"))
		_, _ = s.Get(t.Context(), key, GetOptions{}) // an error, or some volume
		found, err := s.Find(t.Context(), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]int{}
		for _, v := range found.Volumes {
			names[v.Name]++
			if CheckName(v.Name) != nil {
				t.Fatalf("%q is listed", v.Name)
			}
		}
		good, err := s.Get(t.Context(), "good", GetOptions{})
		if err != nil || good.Driver != "local" || good.Labels["k"] != "v" || names["good"] != 1 {
			t.Fatalf("the other volume is %+v, %v, listed %d times", good, err, names["good"])
		}
	})
}
