package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/testutil"
)

func TestClampTimes(t *testing.T) {
	old, epoch, late := time.Unix(1000, 0), time.Unix(2000, 0), time.Unix(3000, 500)
	in := testutil.Tar(t,
		testutil.Entry{Name: "old", Body: "kept", Mtime: old},
		testutil.Entry{Name: "late", Body: "moved", Mtime: late, Xattrs: map[string]string{"user.a": "b\x00c"}, UID: 70000},
		testutil.Entry{Name: "dir/", Mtime: late},
		testutil.Entry{Name: ".wh.gone", Mtime: late})
	var out bytes.Buffer
	if err := archive.ClampTimes(t.Context(), &out, bytes.NewReader(in), epoch); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name, body string
		at         time.Time
	}{{"old", "kept", old}, {"late", "moved", epoch}, {"dir/", "", epoch}, {".wh.gone", "", epoch}}
	r := tar.NewReader(&out)
	for _, w := range want {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != w.name || string(body) != w.body || !h.ModTime.Equal(w.at) {
			t.Errorf("%s %q %v, want %v", h.Name, body, h.ModTime, w)
		}
		if h.Name == "late" && (h.PAXRecords["SCHILY.xattr.user.a"] != "b\x00c" || h.Uid != 70000) {
			t.Errorf("late lost its attributes: %+v", h)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last entry: %v", err)
	}
}

// A second pass has nothing to move, so it changes no byte.
func TestClampTimesTwiceIsTheSame(t *testing.T) {
	in := testutil.Tar(t, testutil.Entry{Name: "a", Body: "x", Mtime: time.Unix(5000, 0)}, testutil.Entry{Name: "b", Type: tar.TypeSymlink, Link: "a"})
	var once, twice bytes.Buffer
	for _, step := range []struct {
		from io.Reader
		to   *bytes.Buffer
	}{{bytes.NewReader(in), &once}, {&once, &twice}} {
		var kept bytes.Buffer
		from := io.TeeReader(step.from, &kept)
		if err := archive.ClampTimes(t.Context(), step.to, from, time.Unix(2000, 0)); err != nil {
			t.Fatal(err)
		}
		if step.to == &twice && !bytes.Equal(kept.Bytes(), twice.Bytes()) {
			t.Error("the second pass changed the tar")
		}
	}
}

func TestClampTimesOfACutTar(t *testing.T) {
	in := testutil.Tar(t, testutil.Entry{Name: "a", Body: string(make([]byte, 4000))})
	err := archive.ClampTimes(t.Context(), io.Discard, bytes.NewReader(in[:1000]), time.Unix(0, 0))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want %v", err, io.ErrUnexpectedEOF)
	}
}
