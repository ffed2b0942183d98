package strata_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
)

// du asks du(1) -x.
func du(t *testing.T, path string) int64 {
	t.Helper()
	testutil.RequireProgram(t, "du")
	out, err := exec.Command("du", "-x", "-s", "-B1", path).Output()
	must(t, err)
	n, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	must(t, err)
	return n
}

// wantLikeDu compares the totals with du, within a hundredth.
func wantLikeDu(t *testing.T, s *storetest.Store, r *strata.UsageReport) {
	t.Helper()
	want := du(t, s.GraphRoot())
	if s.ImageStore() != "" {
		want += du(t, s.ImageStore())
	}
	if diff := r.Totals.Total - want; diff > want/100 || diff < -want/100 {
		t.Errorf("total is %d, du says %d: %+v", r.Totals.Total, want, r.Totals)
	}
	if sum := r.Totals.Layers + r.Totals.Images + r.Totals.Containers + r.Totals.Records + r.Totals.Engines + r.Totals.Unaccounted; sum != r.Totals.Total {
		t.Errorf("parts add up to %d: %+v", sum, r.Totals)
	}
}

func use(t *testing.T, s *storetest.Store) *strata.UsageReport {
	t.Helper()
	r, err := s.Usage(t.Context())
	must(t, err)
	return r
}

func object(t *testing.T, in []strata.ObjectUsage, id string) strata.ObjectUsage {
	t.Helper()
	for _, o := range in {
		if o.ID == id {
			return o
		}
	}
	t.Fatalf("no usage of %s", id)
	return strata.ObjectUsage{}
}

func TestUsage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		s.Tolerate()
		ctx := t.Context()
		body := func(n int) string { return strings.Repeat("x", n) }
		base := importLayer(t, s, "base", "", testutil.Entry{Name: "f", Body: body(1 << 20)}, testutil.Entry{Name: "h", Type: '1', Link: "f"})
		importLayer(t, s, "one", "base", testutil.Entry{Name: "g", Body: body(200 << 10)})
		importLayer(t, s, "two", "base", testutil.Entry{Name: "g", Body: body(300 << 10)})
		createImage(t, s, "img1", "one")
		createImage(t, s, "img2", "two")
		must(t, s.SetBigData(ctx, strata.KindImage, "img1", "manifest", []byte(body(50000))))
		c := createContainer(t, s, "con1", "img2")
		first := use(t, s)
		wantLikeDu(t, s, first)
		wantEqual(t, "walked at first", 4, first.Walked)
		b := object(t, first.Layers, string(base.ID))
		if b.Shared != b.Own || b.Unique != 0 || b.Freed != 0 || b.Own < 1<<20 || b.Own > 1<<20+64<<10 {
			t.Errorf("base: %+v", b)
		}
		i := object(t, first.Images, "img1")
		if i.Shared != b.Own || i.Unique != i.Freed || i.Freed != i.Own+object(t, first.Layers, "one").Own {
			t.Errorf("image 1: %+v", i)
		}
		if used := object(t, first.Images, "img2"); used.Freed != 0 {
			t.Errorf("an image with a container gives back %d bytes", used.Freed)
		}
		con := object(t, first.Containers, "con1")
		if con.Freed != con.Own+object(t, first.Layers, string(c.Layer)).Own || con.Shared < b.Own {
			t.Errorf("container: %+v", con)
		}

		other := s.Again(t)
		other.Tolerate()
		again := use(t, other)
		if want := map[string]int{"overlay": 0, "vfs": 1}[s.DriverName()]; again.Walked != want {
			t.Errorf("walked %d layers again, want %d", again.Walked, want)
		}
		first.Walked, again.Walked = 0, 0
		first.Totals, again.Totals = strata.UsageTotals{}, strata.UsageTotals{} // the cache itself has come
		wantEqual(t, "second time", first, again)

		write(t, s, "con1", "new", body(400<<10))
		changed := use(t, s)
		wantLikeDu(t, s, changed)
		if grown := object(t, changed.Containers, "con1").Freed - con.Freed; grown < 400<<10 {
			t.Errorf("the container grew by %d bytes", grown)
		}
		root, err := s.Mount(ctx, "con1", strata.MountOptions{})
		must(t, err)
		wantLikeDu(t, s, use(t, s))
		must(t, os.WriteFile(filepath.Join(root, "while mounted"), []byte(body(500<<10)), 0o600))
		wantLikeDu(t, s, use(t, s))
		must(t, errOf(s.Unmount(ctx, "con1", strata.UnmountOptions{})))

		_, others := litter(t, s)
		dirty := use(t, s)
		wantLikeDu(t, s, dirty)
		if dirty.Totals.Unaccounted < 8*5000 || dirty.Totals.Engines < 5000 {
			t.Errorf("with garbage: %+v", dirty.Totals)
		}
		for _, path := range others {
			must(t, os.RemoveAll(path))
		}
		before := use(t, s).Totals.Total
		freed := object(t, dirty.Containers, "con1").Freed
		must(t, s.DeleteContainer(ctx, "con1"))
		if got := before - use(t, s).Totals.Total; got < freed-64<<10 || got > freed+64<<10 {
			t.Errorf("removing the container gave back %d bytes, said were %d", got, freed)
		}
	})
}

func TestUsageOfFixtures(t *testing.T) {
	for _, name := range []string{"plain-overlay", "plain-vfs", "split-overlay", "transient-overlay"} {
		t.Run(name, func(t *testing.T) {
			s := fixture(t, name)
			wantLikeDu(t, s, use(t, s))
			wantLikeDu(t, s, use(t, s))
		})
	}
}

// TestUsageOfForeignChanges: other engines' changes show at once.
func TestUsageOfForeignChanges(t *testing.T) {
	s := storetest.New(t, "overlay")
	e := engines(t, s, "containers-storage")
	importLayer(t, s, "base", "", testutil.Entry{Name: "f", Body: "x"})
	createImage(t, s, "img1", "base")
	e.storage("create-container", "--id", "con1", "img1")
	before := object(t, use(t, s).Containers, "con1").Freed
	use(t, s)
	root := e.storage("mount", "con1")
	must(t, os.WriteFile(filepath.Join(root, "new"), make([]byte, 300<<10), 0o600))
	e.storage("unmount", "con1")
	after := use(t, s)
	if grown := object(t, after.Containers, "con1").Freed - before; grown < 300<<10 {
		t.Errorf("grew by %d bytes (walked %d)", grown, after.Walked)
	}
	wantLikeDu(t, s, after)
}
