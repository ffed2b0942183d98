package layer

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/testutil"
)

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func TestLoadedLayerGivesItsExactTarBack(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		base, upper := baseTar(t), upperTar(t)
		blobs := []struct {
			name        string
			blob, tar   []byte
			compression archive.Compression
		}{
			{"gzip", gzipped(t, base), base, archive.Gzip},
			{"plain", upper, upper, archive.None},
			{"zstd", zstded(t, base), base, archive.Zstd},
			{"empty", nil, nil, archive.None},
			{"zeroes", make([]byte, 1024), make([]byte, 1024), archive.None},
		}
		s := e.open(t)
		var parent ID
		var diffs []DiffID
		for _, b := range blobs {
			l := load(t, s, parent, b.blob)
			diffs = append(diffs, DiffID(testutil.Digest(b.tar)))
			want := Record{
				ID: ImageLayerID(parent, diffs[len(diffs)-1]), Parent: parent, Created: l.Created,
				BlobDigest: BlobDigest(testutil.Digest(b.blob)), BlobSize: int64(len(b.blob)),
				DiffID: diffs[len(diffs)-1], DiffSize: int64(len(b.tar)), Compression: b.compression,
				UIDs: l.UIDs, GIDs: l.GIDs,
			}
			if d := cmp.Diff(want, l.Record); d != "" {
				t.Errorf("%s: record (-want +got):\n%s", b.name, d)
			}
			if want := ChainIDs(diffs)[len(diffs)-1]; l.Chain != want {
				t.Errorf("%s: chain ID %s, want %s", b.name, l.Chain, want)
			}
			got, err := diff(s, l.ID, "", plain)
			if err != nil || !bytes.Equal(got, b.tar) {
				t.Errorf("%s: diff of %d bytes is not the tar of %d: %v", b.name, len(got), len(b.tar), err)
			}
			parent = l.ID
		}
	})
}

func TestOwnersAreRecorded(t *testing.T) {
	e := newEnv(t, "vfs")
	l := load(t, e.open(t), "", baseTar(t))
	if !slices.Equal(l.UIDs, []uint32{0, 5}) || !slices.Equal(l.GIDs, []uint32{0, 7}) {
		t.Errorf("owners %v %v", l.UIDs, l.GIDs)
	}
}
