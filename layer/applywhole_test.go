package layer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

func apply(t *testing.T, s *Store, id ID, tar []byte) {
	t.Helper()
	if _, err := s.ApplyDiff(context.Background(), id, bytes.NewReader(tar), ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
}

// wantFiles mounts the layer and looks at its files; "" is a file that is not there.
func wantFiles(t *testing.T, s *Store, id ID, want map[string]string) {
	t.Helper()
	dir, err := s.Mount(context.Background(), id, MountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if string(got) != text || (err == nil) != (text != "") {
			t.Errorf("%s is %q, %v; want %q", name, got, err, text)
		}
	}
	if _, err := s.Unmount(context.Background(), id, UnmountOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestApplyKeepsWhatIsThere: the second tree begins with the first one's files.
func TestApplyKeepsWhatIsThere(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		base := load(t, s, "", baseTar(t))
		l := create(t, s, CreateOptions{Parent: base.ID})
		child := create(t, s, CreateOptions{Parent: l.ID})
		apply(t, s, l.ID, testutil.Tar(t, testutil.Entry{Name: "etc/"}, testutil.Entry{Name: "etc/.wh.gone"}, testutil.Entry{Name: "one", Body: "1"}))
		more := testutil.Tar(t, testutil.Entry{Name: "two", Body: "2"}, testutil.Entry{Name: "bin/"}, testutil.Entry{Name: "bin/.wh.s"})
		apply(t, s, l.ID, more)
		wantFiles(t, s, l.ID, map[string]string{"one": "1", "two": "2", "etc/hello": "hello\n", "etc/gone": "", "bin/s": ""})
		if e.driver == "overlay" { // children of vfs layers are copies
			wantFiles(t, s, child.ID, map[string]string{"two": "2", "etc/gone": ""})
		}
		if got := get(t, s, l.ID); got.DiffID != DiffID(testutil.Digest(more)) || len(got.Flags) > 0 {
			t.Errorf("record %+v", got.Record)
		}
	})
}

// unable is a driver on a file system that can not exchange directories.
type unable struct {
	graphdriver.Driver
	graphdriver.Lister
	graphdriver.Restager
}

func (unable) Restage(context.Context, graphdriver.ID, bool) (graphdriver.Restaged, error) {
	return nil, fmt.Errorf("exchange directories: %w", errdefs.ErrUnsupported)
}

func TestApplyWhereTreesCanNotBeExchanged(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		e.wrap = func(d graphdriver.Driver) graphdriver.Driver {
			return unable{d, d.(graphdriver.Lister), d.(graphdriver.Restager)}
		}
		s := e.open(t)
		l := load(t, s, "", baseTar(t))
		more := testutil.Tar(t, testutil.Entry{Name: "two", Body: "2"})
		apply(t, s, l.ID, more)
		wantFiles(t, s, l.ID, map[string]string{"two": "2", "etc/hello": "hello\n"})
		if got := get(t, s, l.ID); got.DiffID != DiffID(testutil.Digest(more)) {
			t.Errorf("record %+v", got.Record)
		}
	})
}

// TestApplyLinkToAnEarlierFile: such an entry may change the file that it names, so the
// layer's own must not be it.
func TestApplyLinkToAnEarlierFile(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		l := load(t, s, "", testutil.Tar(t, testutil.Entry{Name: "a", Body: "text"}, testutil.Entry{Name: "b", Body: "b"}))
		apply(t, s, l.ID, testutil.Tar(t, testutil.Entry{Name: "b", Type: '1', Link: "a", Mode: 0o600}))
		wantFiles(t, s, l.ID, map[string]string{"a": "text", "b": "text"})
	})
}

// TestApplyToAMountedLayer writes where its users see it.
func TestApplyToAMountedLayer(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		ctx := context.Background()
		l := load(t, s, "", baseTar(t))
		child := create(t, s, CreateOptions{Parent: l.ID})
		for _, mounted := range []ID{l.ID, child.ID} {
			dir, err := s.Mount(ctx, mounted, MountOptions{})
			if err != nil {
				t.Fatal(err)
			}
			apply(t, s, mounted, testutil.Tar(t, testutil.Entry{Name: "new", Body: string(mounted)}))
			if got, err := os.ReadFile(filepath.Join(dir, "new")); err != nil || string(got) != string(mounted) {
				t.Errorf("read %q, %v", got, err)
			}
			if e.driver == "overlay" {
				if _, err := os.Stat(filepath.Join(dir, "etc/hello")); err != nil {
					t.Error("below a mount the files went: ", err)
				}
			}
			if _, err := s.Unmount(ctx, mounted, UnmountOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// interrupt leaves the layer as a process does that dies before its files were exchanged.
func interrupt(t *testing.T, s *Store, id ID, files func(x *exchange, now string)) {
	t.Helper()
	ctx := context.Background()
	now, err := s.generation(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := s.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	r, err := tx.own(id)
	if err != nil {
		t.Fatal(err)
	}
	x := exchange{State: exchangeBegun, OldFiles: "old", NewFiles: "new", Old: contentOf(&r), OldSplit: true, NewSplit: true}
	x.New = content{DiffID: DiffID(testutil.Digest([]byte("new"))), DiffSize: 3}
	files(&x, now)
	if err := (&application{store: s, id: id}).announce(ctx, tx, x); err != nil {
		t.Fatal(err)
	}
}

func TestInterruptedExchange(t *testing.T) {
	for _, c := range []struct {
		name  string
		files func(x *exchange, now string)
		// moved: the tar-splits were put aside.
		moved bool
		want  string // of the record and the tar-split: old, new or nothing
	}{
		{"nothing done", func(x *exchange, now string) { x.OldFiles = now }, false, "old"},
		{"tar-splits aside", func(x *exchange, now string) { x.OldFiles = now }, true, "old"},
		{"files exchanged", func(x *exchange, now string) { x.NewFiles = now }, true, "new"},
		{"new tar-split lost", func(x *exchange, now string) { x.NewFiles, x.OldSplit = now, false }, false, "new"},
		{"a copy of the store", func(*exchange, string) {}, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEnv(t, "vfs")
			s := e.open(t)
			l := load(t, s, "", baseTar(t))
			interrupt(t, s, l.ID, c.files)
			p, err := s.splitsOf(l.ID)
			if err != nil {
				t.Fatal(err)
			}
			old, err := os.ReadFile(p.final)
			if err != nil {
				t.Fatal(err)
			}
			if c.moved {
				if err := os.Rename(p.final, p.old); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p.new, old, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := get(t, e.open(t), l.ID) // another process
			want := map[string]DiffID{"old": l.DiffID, "new": DiffID(testutil.Digest([]byte("new")))}[c.want]
			if got.DiffID != want || len(got.Flags) > 0 {
				t.Errorf("diff ID %q, want %q; flags %v", got.DiffID, want, got.Flags)
			}
			if _, err := os.Stat(p.final); (err == nil) != (c.want != "") {
				t.Errorf("tar-split: %v", err)
			}
			for _, path := range []string{p.old, p.new} {
				if _, err := os.Stat(path); err == nil {
					t.Errorf("%s stays", path)
				}
			}
		})
	}
}

// TestAnotherEnginesDiffWins: what it wrote into a layer after the interruption is true.
func TestAnotherEnginesDiffWins(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	l := load(t, s, "", baseTar(t))
	interrupt(t, s, l.ID, func(x *exchange, now string) { x.OldFiles = now })
	path := filepath.Join(e.graphDir(), stableName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var records []map[string]any
	if err := json.Unmarshal(data, &records); err != nil {
		t.Fatal(err)
	}
	records[0]["diff-digest"] = string(testutil.Digest([]byte("theirs")))
	if data, err = json.Marshal(records); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := get(t, e.open(t), l.ID); got.DiffID != DiffID(testutil.Digest([]byte("theirs"))) || len(got.Flags) > 0 {
		t.Errorf("record %+v", got.Record)
	}
}

// TestApplySharesFiles: a diff onto a large layer does not copy it.
func TestApplySharesFiles(t *testing.T) {
	e := newEnv(t, "overlay")
	s := e.open(t)
	l := load(t, s, "", baseTar(t))
	file := filepath.Join(e.graph, "overlay", string(l.ID), "diff/x")
	var before, after unix.Stat_t
	if err := unix.Stat(file, &before); err != nil {
		t.Fatal(err)
	}
	apply(t, s, l.ID, testutil.Tar(t, testutil.Entry{Name: "y", Body: "y"}))
	if err := unix.Stat(file, &after); err != nil || after.Ino != before.Ino || after.Nlink != 1 {
		t.Errorf("inode %d became %d with %d names, %v", before.Ino, after.Ino, after.Nlink, err)
	}
}
