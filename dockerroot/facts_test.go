package dockerroot_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/dockerroot"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/storetest"
)

// TestFacts: parent and last change are kept; those that are damaged are left out.
func TestFacts(t *testing.T) {
	m := newMade(t, "overlay2")
	parent, _ := m.build("base:1", baseTar(t))
	child, _ := m.build("app:1", baseTar(t), topTar(t))
	odd, _ := m.build("odd:1", otherTar(t))
	fact := func(image, name, text string) {
		m.write(m.image(filepath.Join("imagedb/metadata/sha256", image, name)), []byte(text))
	}
	fact(child.Encoded(), "parent", string(parent))
	fact(child.Encoded(), "lastUpdated", "2024-05-06T07:08:09.5+02:00")
	fact(odd.Encoded(), "parent", "../../../etc/passwd")
	m.ok(os.Symlink("/etc/hostname", m.image(filepath.Join("imagedb/metadata/sha256", odd.Encoded(), "lastUpdated"))))
	r, s := m.open(dockerroot.Options{}), newStore(t, "overlay")
	for _, res := range importAll(t, r, s, r.Images(false)) {
		if res.Err != nil {
			t.Error(res.Err)
		}
	}
	if skipped := r.Skipped(); len(skipped) != 1 || !errors.Is(skipped[0], errdefs.ErrCorrupt) {
		t.Errorf("skipped %v", skipped)
	}
	for _, tt := range []struct{ image, key, want string }{
		{child.Encoded(), dockerroot.DataParent, string(parent)},
		{child.Encoded(), dockerroot.DataLastUpdated, "2024-05-06T05:08:09.5Z"},
		{parent.Encoded(), dockerroot.DataParent, ""},
		{odd.Encoded(), dockerroot.DataParent, ""},
		{odd.Encoded(), dockerroot.DataLastUpdated, ""},
	} {
		got, err := s.BigData(t.Context(), strata.KindImage, tt.image, tt.key)
		if string(got) != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s of %s: %q, %v; want %q", tt.key, tt.image, got, err, tt.want)
		}
	}
}

// inOneSave is a store that takes no data for an image once the image is recorded.
type inOneSave struct{ *storetest.Store }

func (inOneSave) SetBigData(context.Context, strata.Kind, string, string, []byte) error {
	return errors.New("a second save")
}

// TestFactsComeWithTheImage: a kill after the image's record leaves nothing to be added.
func TestFactsComeWithTheImage(t *testing.T) {
	m := newMade(t, "overlay2")
	id, _ := m.build("app:1", topTar(t))
	m.write(m.image(filepath.Join("imagedb/metadata/sha256", id.Encoded(), "lastUpdated")), []byte("2024-05-06T07:08:09Z"))
	r, s := m.open(dockerroot.Options{}), newStore(t, "overlay")
	results, err := r.Import(t.Context(), inOneSave{s}, r.Images(false), dockerroot.ImportOptions{})
	if err != nil || results[0].Err != nil {
		t.Fatal(results, err)
	}
	if got, err := s.BigData(t.Context(), strata.KindImage, id.Encoded(), dockerroot.DataLastUpdated); err != nil || string(got) != "2024-05-06T07:08:09Z" {
		t.Errorf("%q, %v", got, err)
	}
}
