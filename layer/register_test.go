package layer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

func TestParallelRegistersMakeOneLayer(t *testing.T) {
	eachChainStore(t, func(t *testing.T, e *env, c *ChainStore) {
		parent := register(t, c, nil, "parent")
		const n = 8
		refs := make([]*Ref, n)
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() {
				var err error
				if refs[i], err = c.Register(context.Background(), bytes.NewReader(upperTar(t)), parent.ChainID()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if t.Failed() {
			return
		}
		ids, err := c.store.driver().(graphdriver.Lister).List(context.Background())
		if err != nil || len(ids) != 2 {
			t.Errorf("the driver has %v, %v", ids, err)
		}
		release(t, c, parent)
		for i, r := range refs {
			if r.ChainID() != refs[0].ChainID() || r.CacheID() != refs[0].CacheID() {
				t.Errorf("reference %d is to %s", i, r.ChainID())
			}
			if i < n-1 {
				release(t, c, r)
			} else {
				release(t, c, r, r, parent)
			}
		}
	})
}

func TestDepthLimit(t *testing.T) {
	e := newEnv(t, "overlay")
	s := e.open(t)
	c := e.chainStore(t, s, nil)
	ctx := context.Background()
	tar := make([]byte, 1024)
	var chain ChainID
	var refs []*Ref
	for i := range MaxDepth {
		r, err := c.Register(ctx, bytes.NewReader(tar), chain)
		if err != nil {
			t.Fatalf("layer %d: %v", i+1, err)
		}
		chain, refs = r.ChainID(), append(refs, r)
	}
	if want := ChainID("sha256:93a63c6285986272040a09559889b445a9619e914557bdd50e85774d75158cfa"); chain != want {
		t.Errorf("125 empty layers have chain ID %s, want %s", chain, want)
	}
	if _, err := c.Register(ctx, bytes.NewReader(tar), chain); !errors.Is(err, ErrMaxDepth) {
		t.Errorf("layer 126: %v", err)
	}
	rw, err := c.CreateRWLayer(ctx, "deep", chain, RWOptions{Init: func(context.Context, string) error { return nil }})
	if err != nil {
		t.Fatalf("read-write layer on top: %v", err)
	}
	if _, err := rw.Mount(ctx, ""); err != nil {
		t.Error(err)
	}
	if err := rw.Unmount(ctx); err != nil {
		t.Error(err)
	}
	for _, r := range refs {
		release(t, c, r)
	}
	removed, err := c.ReleaseRWLayer(ctx, rw)
	slices.Reverse(refs)
	if err != nil || len(removed) != MaxDepth || removed[0].ChainID != chain {
		t.Errorf("removed %d layers, %v", len(removed), err)
	}
}

// badReader gives the bytes and then its error instead of io.EOF.
type badReader struct {
	data io.Reader
	err  error
}

func (r *badReader) Read(p []byte) (int, error) {
	n, err := r.data.Read(p)
	if errors.Is(err, io.EOF) {
		err = r.err
	}
	return n, err
}

func TestFailedRegistersLeaveNothing(t *testing.T) {
	broken := errors.New("checksum error")
	good := upperTar(t)
	tests := []struct {
		name string
		tar  func(cancel func()) io.Reader
		opts RegisterOptions
		want error
	}{
		{"an error after the end of the archive", func(func()) io.Reader {
			return &badReader{bytes.NewReader(append(slices.Clone(good), make([]byte, 64<<10)...)), broken}
		}, RegisterOptions{}, broken},
		{"an error amid the archive", func(func()) io.Reader { return &badReader{bytes.NewReader(good[:700]), broken} }, RegisterOptions{}, broken},
		{"a cut archive", func(func()) io.Reader { return bytes.NewReader(good[:len(good)-1700]) }, RegisterOptions{}, errdefs.ErrCorrupt},
		{"another diff ID", func(func()) io.Reader { return bytes.NewReader(good) }, RegisterOptions{Expect: EmptyDiffID}, errdefs.ErrCorrupt},
		{"no tar", func(func()) io.Reader { return nil }, RegisterOptions{}, errdefs.ErrInvalid},
		{"cancelled amid the archive", func(cancel func()) io.Reader { return &endingReader{bytes.NewReader(good), cancel} }, RegisterOptions{}, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
				parent := register(t, c, nil, "parent")
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				_, err := c.RegisterWithOptions(ctx, tt.tar(cancel), parent.ChainID(), tt.opts)
				if !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if ids := listIDs(t, c.store); len(ids) != 1 {
					t.Errorf("layers %v", ids)
				}
				release(t, c, parent, parent)
			})
		})
	}
}

// endingReader cancels with its last byte, when only the adoption is left to do.
type endingReader struct {
	io.Reader
	cancel func()
}

func (r *endingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		r.cancel()
	}
	return n, err
}

// The tail belongs to the layer: another tail, another diff ID.
func TestTheTailIsPartOfTheLayer(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		ctx := context.Background()
		long := append(slices.Clone(upperTar(t)), make([]byte, 1<<20)...)
		r, err := c.Register(ctx, bytes.NewReader(long), "")
		if err != nil {
			t.Fatal(err)
		}
		if want := DiffID(testutil.Digest(long)); r.DiffID() != want {
			t.Errorf("diff ID %s, want %s", r.DiffID(), want)
		}
		if got := readAll(t, r.TarStream); !bytes.Equal(got, long) {
			t.Errorf("got %d bytes back of %d", len(got), len(long))
		}
	})
}

// A parent that lost its last other holder while something failed on it goes with
// that failure.
func TestAFailedRegisterGivesTheParentBack(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		parent := register(t, c, nil, "parent")
		broken := errors.New("broken")
		source := &badReader{bytes.NewReader(nil), broken}
		tar := readerFunc(func(p []byte) (int, error) {
			release(t, c, parent) // held by the registration
			return source.Read(p)
		})
		if _, err := c.Register(context.Background(), &onceThen{first: tar, then: source}, parent.ChainID()); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
		if ids := listIDs(t, c.store); len(ids) != 0 {
			t.Errorf("layers %v", ids)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// onceThen reads once from the one and then from the other.
type onceThen struct {
	first, then io.Reader
	read        bool
}

func (r *onceThen) Read(p []byte) (int, error) {
	if !r.read {
		r.read = true
		return r.first.Read(p)
	}
	return r.then.Read(p)
}

func TestDescriptors(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		ctx := context.Background()
		want := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("blob"), Size: 4}
		r, err := c.RegisterWithDescriptor(ctx, bytes.NewReader(upperTar(t)), "", want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Descriptor(ctx); err != nil || got.Digest != want.Digest || got.MediaType != want.MediaType || got.Size != 4 {
			t.Errorf("got %v, %v", got, err)
		}
		plain := register(t, c, r, "plain")
		if _, err := plain.Descriptor(ctx); !errors.Is(err, ErrDataUnknown) {
			t.Errorf("without one: %v", err)
		}
	})
}

func TestExactDriversNeedNoTarSplit(t *testing.T) {
	e := newEnv(t, "vfs")
	x := &exactVFS{tars: map[graphdriver.ID][]byte{}}
	e.wrap = func(d graphdriver.Driver) graphdriver.Driver { x.bare = bare{d}; return x }
	s := e.open(t)
	c := e.chainStore(t, s, nil)
	r, err := c.Register(context.Background(), bytes.NewReader(upperTar(t)), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range readDir(t, e.graphDir()) {
		if strings.HasSuffix(name, splitSuffix) {
			t.Errorf("there is %s", name)
		}
	}
	if got := readAll(t, r.TarStream); !bytes.Equal(got, upperTar(t)) {
		t.Error("the tar is another")
	}
	x.tars[graphdriver.ID(r.CacheID())][600] ^= 1
	wantCorrupt(t, r)
}

func wantCorrupt(t *testing.T, r *Ref) {
	t.Helper()
	stream, err := r.TarStream(context.Background())
	if err == nil {
		_, err = io.Copy(io.Discard, stream)
		stream.Close()
	}
	if !errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("error %v, want corrupt", err)
	}
}

// A layer without a tar-split, as other engines may store it, is checked all the same.
func TestTarStreamsWithoutTarSplitAreChecked(t *testing.T) {
	eachChainStore(t, func(t *testing.T, e *env, c *ChainStore) {
		r, err := c.Register(context.Background(), bytes.NewReader(baseTar(t)), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(e.graphDir(), string(r.CacheID())+splitSuffix)); err != nil {
			t.Fatal(err)
		}
		wantCorrupt(t, r)
	})
}

func TestModifiedFilesAreFound(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		r := register(t, c, nil, "file")
		m, err := r.Metadata(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		dir := m["Dir"] + m["UpperDir"]
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("Content of file"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantCorrupt(t, r)
	})
}

// Whatever comes and goes together, at the end nothing is left.
func TestReferencesComeAndGoTogether(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		rounds := 12
		if testing.Short() {
			rounds = 4
		}
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() {
				for round := range rounds {
					if err := comeAndGo(c, fmt.Sprintf("%d", (i+round)%2), numbered(t, "base"), upperTar(t)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		if ids := listIDs(t, c.store); len(ids) != 0 {
			t.Errorf("layers %v", ids)
		}
	})
}

// comeAndGo registers a stack, puts a read-write layer on it and gives all back.
func comeAndGo(c *ChainStore, name string, base, upper []byte) error {
	ctx := context.Background()
	a, err := c.Register(ctx, bytes.NewReader(base), "")
	if err != nil {
		return err
	}
	b, err := c.Register(ctx, bytes.NewReader(upper), a.ChainID())
	if err != nil {
		return err
	}
	_, err = c.Release(ctx, a)
	rw, rwErr := c.CreateRWLayer(ctx, name, b.ChainID(), RWOptions{})
	if errors.Is(rwErr, ErrMountExists) {
		rw, rwErr = c.GetRWLayer(ctx, name)
	}
	if rwErr == nil {
		_, rwErr = c.ReleaseRWLayer(ctx, rw)
	} else if errors.Is(rwErr, ErrNoMount) {
		rwErr = nil // gone between the two questions
	}
	_, releaseErr := c.Release(ctx, b)
	return errors.Join(err, rwErr, releaseErr)
}
