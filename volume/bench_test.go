package volume

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// BenchmarkOpen opens and lists a store of 10,000 volumes.
func BenchmarkOpen(b *testing.B) {
	const volumes = 10_000
	path, local := filepath.Join(b.TempDir(), "metadata.db"), newFake("local")
	m, err := openMetadata(b.Context(), path, DefaultLockTimeout, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	err = m.db.Update(func(tx *bbolt.Tx) error {
		for i := range volumes {
			name := fmt.Sprint("volume", i)
			local.volumes[name] = nil
			value := fmt.Sprintf(`{"Name":%q,"Driver":"local","Labels":{"k":"v"},"Options":null}`, name)
			if err := tx.Bucket(volumesBucket).Put([]byte(name), []byte(value)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || m.close() != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		drivers := NewRegistry(RegistryOptions{})
		_ = drivers.Register(local)
		s, err := Open(context.Background(), Options{Path: path, Drivers: drivers})
		if err != nil {
			b.Fatal(err)
		}
		if found, err := s.Find(context.Background(), ByLabel("k")); err != nil || len(found.Volumes) != volumes {
			b.Fatal(len(found.Volumes), err)
		}
		_ = s.Close()
	}
}
