package layer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
)

func TestDiffPacking(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	tar := baseTar(t)
	l := load(t, s, "", gzipped(t, tar))
	tests := []struct {
		name    string
		packing Packing
		want    archive.Compression
		err     string
	}{
		{"recorded", Recorded, archive.Gzip, ""},
		{"none", PackedAs(archive.None), archive.None, ""},
		{"gzip", PackedAs(archive.Gzip), archive.Gzip, ""},
		{"zstd", PackedAs(archive.Zstd), archive.Zstd, ""},
		{"xz", PackedAs(archive.Xz), 0, "unsupported compression format tar.xz"},
		{"bzip2", PackedAs(archive.Bzip2), 0, "unsupported compression format tar.bz2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := diff(s, l.ID, "", DiffOptions{Packing: tt.packing})
			if tt.err != "" {
				if err == nil || err.Error() != tt.err || !errors.Is(err, errdefs.ErrUnsupported) {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c := archive.Detect(got); c != tt.want {
				t.Errorf("packed as %v, want %v", c, tt.want)
			}
			r, _, err := archive.Decompress(bytes.NewReader(got))
			if err != nil {
				t.Fatal(err)
			}
			if unpacked, err := io.ReadAll(r); err != nil || !bytes.Equal(unpacked, tar) {
				t.Errorf("unpacked %d bytes, want %d: %v", len(unpacked), len(tar), err)
			}
		})
	}
}

func TestDiffFindsModifiedFiles(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		tar := baseTar(t)
		l := load(t, s, "", tar)
		path := filepath.Join(contentDir(e, l.ID), "etc/hello")
		if err := os.WriteFile(path, []byte("hacks\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := diff(s, l.ID, "", plain); !errors.Is(err, errdefs.ErrCorrupt) {
			t.Errorf("diff of a modified layer: %v, want ErrCorrupt", err)
		}
	})
}

// contentDir is where a driver keeps a layer's own files.
func contentDir(e *env, id ID) string {
	if e.driver == "vfs" {
		return filepath.Join(e.graph, "vfs", "dir", string(id))
	}
	return filepath.Join(e.graph, e.driver, string(id), "diff")
}

func TestDamagedTarSplit(t *testing.T) {
	damages := map[string]func(t *testing.T, path string){
		"cut": func(t *testing.T, path string) {
			if err := os.Truncate(path, 60); err != nil {
				t.Fatal(err)
			}
		},
		"emptied": func(t *testing.T, path string) {
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		},
		"rubbish": func(t *testing.T, path string) {
			if err := os.WriteFile(path, bytes.Repeat([]byte("rubbish"), 100), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"another layer's": func(t *testing.T, path string) {
			if err := os.WriteFile(path, gzipped(t, []byte(`{"type":2,"payload":"","position":0}`+"\n")), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, "vfs")
			s := e.open(t)
			l := load(t, s, "", baseTar(t))
			damage(t, filepath.Join(e.graphDir(), string(l.ID)+splitSuffix))
			if _, err := diff(s, l.ID, "", plain); !errors.Is(err, errdefs.ErrCorrupt) {
				t.Errorf("diff: %v, want ErrCorrupt", err)
			}
		})
	}
}

func TestWithoutTarSplitTheDiffIsComputed(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		l := load(t, s, "", baseTar(t))
		if err := os.Remove(filepath.Join(e.graphDir(), string(l.ID)+splitSuffix)); err != nil {
			t.Fatal(err)
		}
		data, err := diff(s, l.ID, "", plain)
		if err != nil {
			t.Fatal(err)
		}
		other := newEnv(t, e.driver)
		twin := load(t, other.open(t), "", data)
		if a, b := testutil.Tree(t, contentDir(e, l.ID))[1:], testutil.Tree(t, contentDir(other, twin.ID))[1:]; !cmp.Equal(a, b) {
			t.Errorf("computed diff makes another tree:\n%s", cmp.Diff(a, b))
		}
	})
}

func TestReadersHoldNoLock(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		l := load(t, s, "", baseTar(t))
		c := create(t, s, CreateOptions{Parent: l.ID})
		exact, err := s.Diff(context.Background(), l.ID, "", plain)
		if err != nil {
			t.Fatal(err)
		}
		defer exact.Close()
		computed, err := s.Diff(context.Background(), c.ID, "", plain)
		if err != nil {
			t.Fatal(err)
		}
		defer computed.Close()
		write(t, s, func(tx *WriteTx) {
			if err := tx.SetMetadata(l.ID, "written while two diffs are open"); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestClosingADiffEarlyStopsTheWork(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	l := load(t, s, "", testutil.Tar(t, testutil.Entry{Name: "big", Body: string(make([]byte, 4<<20))}))
	r, err := s.Diff(context.Background(), l.ID, "", DiffOptions{Packing: PackedAs(archive.Gzip)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := r.Read(make([]byte, 10)); err == nil {
		t.Error("read after close works")
	}
}

func TestDiffEndsWithItsContext(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	l := load(t, s, "", testutil.Tar(t, testutil.Entry{Name: "big", Body: string(make([]byte, 4<<20))}))
	ctx, cancel := context.WithCancel(context.Background())
	r, err := s.Diff(ctx, l.ID, "", plain)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: %v", err)
	}
}

func TestDeletedWhileRead(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		big := string(make([]byte, 2<<20))
		l := load(t, s, "", testutil.Tar(t, testutil.Entry{Name: "a", Body: big}, testutil.Entry{Name: "b", Body: big}))
		twin := load(t, s, l.ID, testutil.Tar(t, testutil.Entry{Name: "c", Body: big}, testutil.Entry{Name: "d", Body: big}))
		if err := os.Remove(filepath.Join(e.graphDir(), string(twin.ID)+splitSuffix)); err != nil {
			t.Fatal(err)
		}
		readers := map[string]io.ReadCloser{}
		whole := map[string][]byte{}
		for name, id := range map[string]ID{"computed": twin.ID, "exact": l.ID} {
			var err error
			if whole[name], err = diff(s, id, "", plain); err != nil {
				t.Fatal(err)
			}
			r, err := s.Diff(context.Background(), id, "", plain)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.ReadFull(r, make([]byte, 512)); err != nil {
				t.Fatal(err)
			}
			readers[name] = r
		}
		remove(t, s, l.ID, twin.ID)
		for name, r := range readers {
			rest, err := io.ReadAll(r)
			_, streams := s.driver().(MountlessDiffer)
			if spooled := name == "computed" && !streams; spooled {
				if err != nil || !bytes.Equal(rest, whole[name][512:]) {
					t.Errorf("spooled: %d bytes, %v", len(rest), err)
				}
				continue
			}
			if !errors.Is(err, ErrVanished) || errors.Is(err, errdefs.ErrCorrupt) {
				t.Errorf("%s: read of a deleted layer's diff: %d bytes, %v; want ErrVanished and no corruption", name, len(rest), err)
			}
		}
	})
}
