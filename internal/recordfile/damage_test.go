package recordfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

func TestDamage(t *testing.T) {
	tests := []struct {
		name, text string
		offset     int64
		reason     string
	}{
		{"torn", list(rec("a"))[:20], 20, "unexpected end of file"},
		{"zeros", "\x00\x00", 0, `unexpected character '\x00'`},
		{"record without ID", `[{"id":"a"},{"parent":"a"}]`, 12, "no ID"},
		{"empty ID", `[{"id":""}]`, 1, "no ID"},
		{"ID is a number", `[{"id":123456}]`, 1, "no ID"},
		{"ID that is a path", `[{"id":"../../etc"}]`, 1, `ID "../../etc"`},
		{"names are no list", `[{"id":"a","names":"n"}]`, 1, "no list"},
		{"name is no text", `[{"id":"a","names":[1]}]`, 1, "no text"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := newFixture(t, list(rec("x")), tt.text)
			x.schema.CheckID = checkID
			x.files[1].Backup = filepath.Join(x.dir, "backup.json")
			_, err := x.open().View(t.Context())
			var c *CorruptError
			if !errors.As(err, &c) || !errors.Is(err, errdefs.ErrCorrupt) {
				t.Fatalf("error = %v", err)
			}
			if c.Path != x.files[1].Path || c.Offset != tt.offset || !strings.Contains(c.Reason, tt.reason) {
				t.Errorf("error %+v", c)
			}
			if hint := errdefs.Hint(err); !strings.Contains(hint, c.Path) || c.Backup != "" {
				t.Errorf("hint %q", hint)
			}
			check(t, os.WriteFile(x.files[1].Backup, []byte(list()), 0o600))
			_, err = x.open().Begin(t.Context())
			if hint := errdefs.Hint(err); !strings.Contains(hint, "cp "+x.files[1].Backup+" "+c.Path) {
				t.Errorf("hint with a backup %q", hint)
			}
			x.want(t, 1, tt.text)
		})
	}
}

// One record that can not be decoded must not hide the others.
func TestUndecodableRecord(t *testing.T) {
	x := newFixture(t, list(rec("a"), `{"id":"b","compressed-size":"many"}`, rec("c")))
	tx := view(t, x.open())
	var good []string
	var bad error
	for r, err := range tx.All() {
		if err != nil {
			bad = err
			continue
		}
		good = append(good, r.ID)
	}
	var c *CorruptError
	if strings.Join(good, " ") != "a c" || !errors.As(bad, &c) || !strings.Contains(c.Reason, `layer "b"`) {
		t.Errorf("records %s, error %v", good, bad)
	}
	if _, ok, err := tx.Get("b"); ok || !errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("Get = %t, %v", ok, err)
	}
}

func TestEmptyFile(t *testing.T) {
	x := newFixture(t, "")
	if got := count(t, x.open()); got != 0 {
		t.Errorf("%d records", got)
	}
	x.schema.EmptyIsDamage = func(path string) bool { return path == x.files[0].Path }
	s := x.open()
	for _, open := range []func() error{
		func() error { _, err := s.View(t.Context()); return err },
		func() error { _, err := s.Begin(t.Context()); return err },
	} {
		if err := open(); !errors.Is(err, errdefs.ErrCorrupt) || errdefs.Hint(err) == "" {
			t.Errorf("error = %v, hint %q", err, errdefs.Hint(err))
		}
	}
	check(t, os.Remove(x.files[0].Path))
	if got := count(t, s); got != 0 {
		t.Errorf("%d records without a file", got)
	}
}

// TestNotAFile: what can be no record file is damage, told at once.
func TestNotAFile(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"zeros":     func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<30)) },
	} {
		x := newFixture(t, "-")
		_ = os.Remove(x.files[0].Path) // it may not be there
		check(t, make(x.files[0].Path))
		var corrupt *CorruptError
		if _, err := x.open().View(t.Context()); !errors.As(err, &corrupt) || corrupt.Path != x.files[0].Path {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A save that fails at any step leaves each file old or new, and a store that
// works: only what was between two renames can be half done.
func TestFailingSave(t *testing.T) {
	oldA, oldB := list(rec("a"), rec("x")), list(rec("b"), rec("y"))
	newA, newB := list(rec("a")), list(rec("b"))
	tests := []struct {
		point string
		skip  int
		wantA string
		wantB string
	}{
		{"atomicfile.create", 0, oldA, oldB},
		{"atomicfile.write", 0, oldA, oldB},
		{"atomicfile.write", 1, oldA, oldB},
		{"atomicfile.sync", 1, oldA, oldB},
		{"recordfile.token", 0, oldA, oldB},
		{"atomicfile.rename", 0, oldA, oldB},
		{"atomicfile.rename", 1, newA, oldB},
		{"atomicfile.syncdir", 0, newA, oldB},
		{"atomicfile.syncdir", 1, newA, newB},
	}
	for _, tt := range tests {
		t.Run(tt.point, func(t *testing.T) {
			x := newFixture(t, oldA, oldB)
			s := x.open()
			tx := begin(t, s)
			check(t, errors.Join(tx.Delete("x"), tx.Delete("y")))
			disable := faults.Enable(faults.Rule{Point: tt.point, Under: x.dir, Skip: tt.skip, Times: 1, Err: unix.ENOSPC})
			err := tx.Commit(t.Context())
			disable()
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("error = %v", err)
			}
			x.want(t, 0, tt.wantA)
			x.want(t, 1, tt.wantB)
			if left, _ := filepath.Glob(filepath.Join(x.dir, atomicfile.TempPrefix+"*")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			want := seen(t, x.open())
			again := view(t, s)
			if got := ids(again); got != want {
				t.Errorf("the store shows %s, the disk %s", got, want)
			}
			check(t, again.Close())
			check(t, begin(t, s).Commit(t.Context()))
		})
	}
}

// Running out of space can be tried again; half a save can not.
func TestAfterFailedSave(t *testing.T) {
	tests := []struct {
		point string
		again bool
	}{{"atomicfile.write", true}, {"recordfile.token", true}, {"atomicfile.rename", false}}
	for _, tt := range tests {
		x := newFixture(t, list(rec("a")))
		tx := begin(t, x.open())
		check(t, tx.Delete("a"))
		disable := faults.Enable(faults.Rule{Point: tt.point, Under: x.dir, Err: unix.EIO})
		if err := tx.Save(t.Context()); !errors.Is(err, unix.EIO) {
			t.Fatalf("%s: %v", tt.point, err)
		}
		disable()
		if err := tx.Save(t.Context()); (err == nil) != tt.again {
			t.Errorf("%s: second Save = %v", tt.point, err)
		}
		check(t, tx.Close())
	}
}

func TestBackup(t *testing.T) {
	x := newFixture(t, list(rec("a")))
	backup := filepath.Join(x.dir, "strata", "backup", "layers.json")
	x.files[0].Backup = backup
	s := x.open()
	for _, id := range []string{"b", "c"} {
		before, err := os.ReadFile(x.files[0].Path)
		check(t, err)
		tx := begin(t, s)
		check(t, tx.Insert(0, layerRecord{ID: id}))
		check(t, tx.Commit(t.Context()))
		after, err := os.ReadFile(x.files[0].Path)
		check(t, err)
		for path, want := range map[string][]byte{Earlier(backup): before, backup: after} {
			kept, err := os.ReadFile(path)
			if err != nil || string(kept) != string(want) {
				t.Errorf("%s after %s: %s, %v; want %s", path, id, kept, err, want)
			}
		}
	}
	entries, err := os.ReadDir(filepath.Dir(backup))
	if err != nil || len(entries) != 2 {
		t.Errorf("backups: %v, %v", entries, err)
	}
}

// TestLastGood: damage within the file is also in its other name, then the version before has to
// do; a file in its place is not.
func TestLastGood(t *testing.T) {
	damage := map[string]func(path string) error{
		"within": func(path string) error { return os.WriteFile(path, []byte("[{"), 0o600) },
		"replaced": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", nil, 0o600), os.Rename(path+".new", path))
		},
		"gone": os.Remove,
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, list(rec("a")))
			path, backup := x.files[0].Path, filepath.Join(x.dir, "copy.json")
			x.files[0].Backup = backup
			if got := LastGood(path, backup); got != "" {
				t.Errorf("before anything was saved: %s", got)
			}
			tx := begin(t, x.open())
			check(t, tx.Insert(0, layerRecord{ID: "b"}))
			check(t, tx.Commit(t.Context()))
			check(t, do(path))
			want := backup
			if name == "within" {
				want = Earlier(backup)
			}
			if got := LastGood(path, backup); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			check(t, os.WriteFile(want, []byte("[{"), 0o600))
			if got := LastGood(path, backup); got == want {
				t.Errorf("%s is damaged, too", got)
			}
		})
	}
}

// A crash behind the backup leaves it a second name of the file itself.
func TestBackupIsTheFile(t *testing.T) {
	x := newFixture(t, list(rec("a")))
	backup := filepath.Join(x.dir, "layers.backup")
	check(t, os.Link(x.files[0].Path, backup))
	check(t, keep(x.files[0].Path, backup))
	entries, err := os.ReadDir(x.dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("files %v, %v", entries, err)
	}
	check(t, keep(filepath.Join(x.dir, "none"), backup))
	check(t, copyFile(x.files[0].Path, filepath.Join(x.dir, "copy")))
}

// A backup that can not be written must not keep people from changing records.
func TestBackupFails(t *testing.T) {
	x := newFixture(t, list(rec("a")))
	x.files[0].Backup = filepath.Join(x.files[0].Path, "no", "directory")
	tx := begin(t, x.open())
	check(t, tx.Delete("a"))
	check(t, tx.Commit(t.Context()))
	x.want(t, 0, "[]")
}
