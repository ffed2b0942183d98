package strata_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
)

func TestVerify(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		s.Damaged()
		ctx := t.Context()
		for i := range 5 {
			parent := ""
			if i > 0 {
				parent = fmt.Sprintf("lay%d", i-1)
			}
			importLayer(t, s, fmt.Sprintf("lay%d", i), parent,
				testutil.Entry{Name: fmt.Sprintf("a%d", i), Body: strings.Repeat("a", 1000)}, testutil.Entry{Name: fmt.Sprintf("b%d", i), Body: "bb"})
		}
		createImage(t, s, "img1", "lay4", "app:1")
		must(t, s.SetBigData(ctx, strata.KindImage, "img1", "manifest", []byte("manifest")))
		must(t, s.SetBigData(ctx, strata.KindImage, "img1", "other", []byte("other")))
		c := createContainer(t, s, "con1", "img1")
		must(t, s.SetBigData(ctx, strata.KindContainer, "con1", "item", []byte("item")))

		var last strata.VerifyProgress
		report, err := s.Verify(ctx, strata.VerifyOptions{Workers: 2, Progress: func(p strata.VerifyProgress) { last = p }})
		must(t, err)
		wantEqual(t, "findings", []string(nil), found(report.Findings))
		wantEqual(t, "counts", []int{5, 3, 1}, []int{report.Layers, report.Items, len(report.Unverified)})
		wantEqual(t, "without a tar", c.Layer, report.Unverified[0])
		if last.Done != 8 || last.Objects != 8 || last.Bytes != last.Total || report.Bytes != last.Total {
			t.Errorf("progress ended at %+v, %d bytes read", last, report.Bytes)
		}

		must(t, os.WriteFile(tamper(t, s, "lay1")+"/a1", []byte(strings.Repeat("A", 1000)), 0))
		must(t, os.Remove(tamper(t, s, "lay1")+"/b1"))
		must(t, os.WriteFile(tamper(t, s, "lay3")+"/b3", []byte("bbb"), 0))
		dir := filepath.Join(s.GraphRoot(), s.DriverName()+"-images", "img1")
		must(t, os.WriteFile(dir+"/manifest", []byte("MANIFEST"), 0))
		must(t, os.Remove(dir+"/other"))
		report, err = s.Verify(ctx, strata.VerifyOptions{})
		must(t, err)
		var got []string
		for _, f := range report.Findings {
			got = append(got, fmt.Sprintf("%s %v %s%s", f.ID, f.Problem, f.Path, f.Item))
			if f.Problem != strata.ProblemDataMissing && (!strings.HasPrefix(f.Want, "sha256:") || !strings.HasPrefix(f.Got, "sha256:") || f.Want == f.Got) {
				t.Errorf("digests of %v: %s, %s", f, f.Want, f.Got)
			}
		}
		wantEqual(t, "findings", []string{
			"lay1 content-digest a1", "lay1 content-digest b1", "lay3 content-digest b3", "img1 data-digest manifest", "img1 data-missing other",
		}, got)
		report, err = s.Verify(ctx, strata.VerifyOptions{Objects: []string{"lay3", "con1"}})
		must(t, err)
		wantEqual(t, "layers of a container", 5, report.Layers)
		report, err = s.Verify(ctx, strata.VerifyOptions{Objects: []string{"lay3"}})
		must(t, err)
		wantEqual(t, "one layer", []int{1, 1}, []int{report.Layers, len(report.Findings)})
		if _, err := s.Verify(ctx, strata.VerifyOptions{Objects: []string{"nothing"}}); !errors.Is(err, strata.ErrNotAnID) {
			t.Errorf("unknown object: %v", err)
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := s.Verify(cancelled, strata.VerifyOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		must(t, os.WriteFile(dir+"/other", []byte("other"), 0o600))
		must(t, os.WriteFile(dir+"/manifest", []byte("manifest"), 0o600))
	})
}

// TestVerifyBesideDeletion: what goes while it is read is no finding.
func TestVerifyBesideDeletion(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		for i := range 20 {
			importLayer(t, s, fmt.Sprintf("lay%d", i), "", testutil.Entry{Name: "f", Body: strings.Repeat("x", 20000+i)})
		}
		done := make(chan error, 1)
		go func() {
			var err error
			for i := range 20 {
				err = errors.Join(err, s.DeleteLayer(ctx, fmt.Sprintf("lay%d", i)))
			}
			done <- err
		}()
		for range 5 {
			report, err := s.Verify(ctx, strata.VerifyOptions{Workers: 4})
			must(t, err)
			wantEqual(t, "findings", []string(nil), found(report.Findings))
			checked, err := s.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			wantEqual(t, "check", []string(nil), found(checked.Findings))
		}
		must(t, <-done)
	})
}

// TestVerifyHidesNothing: when the record can not be looked at once more, what was found
// is not taken for what somebody has changed meanwhile.
func TestVerifyHidesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		s.Damaged()
		ctx := t.Context()
		importLayer(t, s, "lay", "", testutil.Entry{Name: "f", Body: "data"})
		createImage(t, s, "img", "lay")
		createContainer(t, s, "con", "img")
		must(t, s.SetBigData(ctx, strata.KindContainer, "con", "item", []byte("data")))
		item := filepath.Join(s.GraphRoot(), s.DriverName()+"-containers", "con", "item")
		file := filepath.Join(tamper(t, s, "lay"), "f")
		must(t, os.WriteFile(item, []byte("DATA"), 0o600))
		must(t, os.WriteFile(file, []byte("DATA"), 0o644))
		for skip, hit := 0, true; hit; skip++ {
			hit = false
			disable := faults.Enable(faults.Rule{
				Point: "recordfile.lock", Under: s.GraphRoot(), Skip: skip, Times: 1, Err: unix.EMFILE, Do: func() { hit = true },
			})
			report, err := s.Verify(ctx, strata.VerifyOptions{Workers: 1})
			disable()
			if err == nil && len(report.Findings) != 2 {
				t.Errorf("without lock %d: %v", skip, found(report.Findings))
			}
			if err != nil && !errors.Is(err, unix.EMFILE) {
				t.Errorf("without lock %d: %v", skip, err)
			}
		}
		must(t, os.WriteFile(item, []byte("data"), 0o600))
	})
}
