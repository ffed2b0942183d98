package strata_test

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
)

// look is what a store looks like: everything that its users can tell from another.
type look struct {
	// records are all records, contents and mounts, as text.
	records string
	// files are the names on the disk after garbage collection, findings what a check
	// finds then.
	files, findings string
}

// lookAt looks at a store and collects its garbage.
func lookAt(t *testing.T, s *storetest.Store) look {
	t.Helper()
	l := look{records: textOf(t, s)}
	after := tidied(t, s)
	l.files, l.findings = after.files, after.findings
	return l
}

// tidied collects garbage; then nothing is left to find, but what the store has.
func tidied(t *testing.T, s *storetest.Store) look {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	report, err := s.GC(ctx, strata.GCOptions{})
	must(t, err)
	for _, f := range report.Failed {
		t.Errorf("garbage stays: %s: %v", f.Path, f.Err)
	}
	checked, err := s.Store.Check(ctx, strata.CheckOptions{Quick: true}) // textOf reads everything
	must(t, err)
	return look{files: filesOf(t, s), findings: strings.Join(found(checked.Findings), "\n")}
}

// wantLook compares a store with what it should be.
func wantLook(t *testing.T, what string, want, got look) {
	t.Helper()
	if want.records != got.records {
		t.Errorf("%s: records (-want +got):\n%s", what, difference(want.records, got.records))
	}
	if want.files != got.files {
		t.Errorf("%s: files (-want +got):\n%s", what, difference(want.files, got.files))
	}
	if want.findings != got.findings {
		t.Errorf("%s: findings (-want +got):\n%s", what, difference(want.findings, got.findings))
	}
}

// difference shows the lines that differ.
func difference(want, got string) string {
	return cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n"))
}

// textOf describes all records with what they stand for.
func textOf(t *testing.T, s *storetest.Store) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	snap, err := s.Snapshot(ctx)
	must(t, err)
	var b strings.Builder
	line := func(kind string, record any) {
		text, err := json.Marshal(record)
		must(t, err)
		fmt.Fprintf(&b, "%s %s\n", kind, text)
	}
	items := func(kind strata.Kind, id string, keys []string) {
		for _, key := range keys {
			data, err := s.BigData(ctx, kind, id, key)
			fmt.Fprintf(&b, "\t%s: %q %v\n", key, data, err)
		}
	}
	for _, l := range snap.Layers {
		line("layer", l.Record)
		items(strata.KindLayer, string(l.ID), l.BigDataNames)
		live, err := s.Substores().Layers.Mounted(ctx, l.ID)
		fmt.Fprintf(&b, "\tmounted %d %v\n", live, err)
		describeDiff(ctx, &b, s, string(l.ID))
	}
	for _, i := range snap.Images {
		line("image", i.Record)
		items(strata.KindImage, string(i.ID), i.BigDataNames)
	}
	for _, c := range snap.Containers {
		line("container", c.Record)
		items(strata.KindContainer, string(c.ID), c.BigDataNames)
		data, err := s.ContainerFile(ctx, string(c.ID), "hosts")
		fmt.Fprintf(&b, "\tfile %q %t\n", data, err == nil)
	}
	return anonymous(b.String())
}

// describeDiff lists the changes of a layer, or says that they can not be had.
func describeDiff(ctx context.Context, b *strings.Builder, s *storetest.Store, id string) {
	r, err := s.Diff(ctx, id, "", strata.DiffOptions{Compression: strata.CompressionNone})
	if err != nil {
		fmt.Fprintf(b, "\tno diff: %v\n", err)
		return
	}
	defer r.Close()
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			b.WriteString("\tdamaged diff\n")
			return
		}
		fmt.Fprintf(b, "\t%c %s %d %o %d:%d\n", h.Typeflag, h.Name, h.Size, h.Mode, h.Uid, h.Gid)
	}
}

// What is another each time: random IDs, link names, times.
var (
	randomID    = regexp.MustCompile(`(sha256:)?[0-9a-f]{64}`)
	randomLink  = regexp.MustCompile(`\b[A-Z2-7]{26}\b`)
	recordTimes = regexp.MustCompile(`"created":"[^"]*"`)
)

// anonymous leaves out what is another each time.
func anonymous(text string) string {
	text = randomID.ReplaceAllStringFunc(text, func(id string) string {
		if strings.HasPrefix(id, "sha256:") {
			return id
		}
		if name, known := walkNames[id]; known {
			return name
		}
		return "ID"
	})
	text = randomLink.ReplaceAllString(text, "LINK")
	return recordTimes.ReplaceAllString(text, `"created":""`)
}

// filesOf lists what is below both roots, but for what may come and go: locks and
// leases, the reserve and backups, what is known of the kernel, the places of temporary
// directories.
func filesOf(t *testing.T, s *storetest.Store) string {
	t.Helper()
	var out []string
	for _, root := range []string{s.GraphRoot(), s.RunRoot()} {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(filepath.Dir(root), path)
			if err != nil {
				return err
			}
			if slices.Contains([]string{"graph/strata/reserve", "graph/strata/backup", "graph/strata/leases", "run/overlay"}, rel) {
				return fs.SkipDir
			}
			if !comesAndGoes(rel) {
				out = append(out, fmt.Sprintf("%s %s", e.Type(), anonymous(rel)))
			}
			return nil
		})
		must(t, err)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func comesAndGoes(rel string) bool {
	base := filepath.Base(rel)
	if slices.Contains([]string{"tmp", "tempdirs", "strata", "unfinished"}, base) {
		return true
	}
	return strings.HasSuffix(rel, "/work/work") || filepath.Ext(base) == ".lock" || filepath.Ext(base) == ".json" || strings.HasPrefix(base, ".has-")
}

// entry is a file for a layer.
func entry(name, body string) testutil.Entry { return testutil.Entry{Name: name, Body: body} }
