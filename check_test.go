package strata_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
)

// fingerprint is everything below the roots: names, content, times. Lock files are
// left out, which reading may create.
func fingerprint(t *testing.T, roots ...string) string {
	t.Helper()
	hash := sha256.New()
	for _, root := range roots {
		must(t, filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
			if err != nil || strings.HasSuffix(p, ".lock") {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			fmt.Fprintln(hash, p, info.Mode(), info.Size())
			if info.Mode().IsRegular() {
				data, err := os.ReadFile(p)
				fmt.Fprintln(hash, info.ModTime(), string(data), err)
			}
			return nil
		}))
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// checkOnly opens a store, checks it and makes sure that nothing changed.
func checkOnly(t *testing.T, opts strata.Options, how strata.CheckOptions) *strata.CheckReport {
	t.Helper()
	s, err := strata.Open(t.Context(), opts)
	must(t, err)
	t.Cleanup(func() { must(t, s.Driver().Cleanup(context.WithoutCancel(t.Context()))) })
	before := fingerprint(t, opts.GraphRoot, opts.RunRoot)
	report, err := s.Check(t.Context(), how)
	must(t, err)
	if fingerprint(t, opts.GraphRoot, opts.RunRoot) != before {
		t.Error("checking changed the store")
	}
	return report
}

// found shortens findings to "problem kind ID…".
func found(findings []strata.Finding) (out []string) {
	for _, f := range findings {
		out = append(out, fmt.Sprintf("%s %s %.4s", f.Problem, f.Kind, f.ID))
	}
	return out
}

func TestCheckFindsNothingInSoundStores(t *testing.T) {
	for _, name := range []string{"plain-overlay", "plain-vfs", "split-overlay", "transient-overlay"} {
		t.Run(name, func(t *testing.T) {
			report := checkOnly(t, unpackFixture(t, name), strata.CheckOptions{})
			for _, f := range report.Findings {
				t.Errorf("%v", f)
			}
			if report.Layers == 0 || report.Bytes == 0 {
				t.Errorf("examined %d layers, %d bytes", report.Layers, report.Bytes)
			}
		})
	}
}

func TestCheckFindsDamage(t *testing.T) {
	tests := []struct {
		name string
		want []string
	}{
		{"damaged-container-without-layer", []string{"layer-missing container 69a7", "leftover layer ed6c"}},
		{"damaged-empty-files", []string{
			"content-digest layer 46f2", "content-digest layer 46f2", "content-digest layer 46f2", "content-digest layer 46f2",
		}},
		{"damaged-empty-link", []string{"links layer 46f2"}},
		{"damaged-empty-lower", []string{"links layer b357"}},
		{"damaged-flagged", []string{"interrupted layer b64d"}},
		{"damaged-image-without-manifest", []string{"manifest-missing image b2ac"}},
		{"damaged-no-links", []string{
			"links layer 46f2", "links layer b357", "links layer b9a5", "links layer ed6c", "links layer f48a",
			"links layer 85bf", "links layer d214", "links layer b64d", "links layer 6e0e",
		}},
		{"damaged-orphans", []string{"no-record layer 0000", "leftover layer 0000", "leftover layer ", "leftover layer 0000"}},
		{"damaged-short-tar-split", []string{"tar-split-damaged layer b357"}},
		{"damaged-stale-count", []string{"mount-count layer ed6c"}},
		{"damaged-torn-images", []string{"records-damaged image "}},
		{"damaged-zero-layers", []string{"records-damaged layer "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			report := checkOnly(t, unpackFixture(t, tt.name), strata.CheckOptions{})
			wantEqual(t, "findings", tt.want, found(report.Findings))
			for _, f := range report.Findings {
				if f.Reason == "" || f.Repair == strata.RepairNone && f.Problem != strata.ProblemRecordsDamaged {
					t.Errorf("no reason or no repair: %+v", f)
				}
			}
		})
	}
}

// tamper opens the directory of a layer's own files.
func tamper(t *testing.T, s *storetest.Store, id string) string {
	t.Helper()
	if s.DriverName() == "vfs" {
		return filepath.Join(s.GraphRoot(), "vfs", "dir", id)
	}
	return filepath.Join(s.GraphRoot(), "overlay", id, "diff")
}

// TestCheckTrees changes one thing at a time in the tree of a layer that came as a tar.
func TestCheckTrees(t *testing.T) {
	tests := []struct {
		name   string
		change func(dir string) error
		want   []string // with overlay: "marks" are its own, which other drivers do not have
	}{
		{"nothing", func(string) error { return nil }, nil},
		{"times only", func(d string) error { return os.Chtimes(d+"/etc/conf", time.Unix(1, 0), time.Unix(1, 0)) }, nil},
		{"extra file", func(d string) error { return os.WriteFile(d+"/etc/new", nil, 0o600) }, []string{"content-modified +etc/new"}},
		{"extra tree", func(d string) error { return os.MkdirAll(d+"/a/b/c", 0o700) }, []string{"content-modified +a"}},
		{"missing empty file", func(d string) error { return os.Remove(d + "/etc/empty") }, []string{"content-modified -etc/empty"}},
		{"missing file", func(d string) error { return os.Remove(d + "/etc/conf") }, []string{"content-digest etc/conf"}},
		{"mode", func(d string) error { return os.Chmod(d+"/etc/conf", 0o777) }, []string{"content-modified ~etc/conf"}},
		{"owner", func(d string) error { return os.Lchown(d+"/link", 5, 5) }, []string{"content-modified ~link"}},
		{"target", func(d string) error { _ = os.Remove(d + "/link"); return os.Symlink("other", d+"/link") }, []string{"content-modified ~link"}},
		{"kind", func(d string) error { _ = os.Remove(d + "/etc/empty"); return os.Mkdir(d+"/etc/empty", 0o755) }, []string{"content-modified ~etc/empty"}},
		{"hard link apart", func(d string) error {
			return errors.Join(os.Remove(d+"/hard"), os.WriteFile(d+"/hard", []byte("x"), 0o644))
		}, []string{"content-modified ~hard"}},
		{"capabilities gained", func(d string) error {
			return unix.Setxattr(d+"/etc/conf", "security.capability", []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0)
		}, []string{"content-modified ~etc/conf"}},
		{"mark of a deletion lost", func(d string) error { return overlayOnly(d, os.Remove(d+"/etc/gone")) }, []string{"marks", "content-modified -etc/gone"}},
		{"opaque mark lost", func(d string) error { return overlayOnly(d, unix.Removexattr(d+"/opq", "trusted.overlay.opaque")) }, []string{"marks", "content-modified ~opq"}},
		{"opaque mark gained", func(d string) error { return unix.Setxattr(d+"/etc", "trusted.overlay.opaque", []byte("y"), 0) }, []string{"marks", "content-modified ~etc"}},
		{"redirect gained", func(d string) error { return unix.Setxattr(d+"/etc", "trusted.overlay.redirect", []byte("/x"), 0) }, []string{"marks", "content-modified ~etc"}},
		{"content", func(d string) error { return os.WriteFile(d+"/etc/conf", []byte("other"), 0) }, []string{"content-digest etc/conf"}},
		{"directory replaced by a link out", func(d string) error { _ = os.RemoveAll(d + "/etc"); return os.Symlink("/etc", d+"/etc") }, []string{"content-digest etc/conf"}},
	}
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		importLayer(t, s, "base", "", testutil.Entry{Name: "below", Body: "x"}, testutil.Entry{Name: "etc/", Mode: 0o755}, testutil.Entry{Name: "etc/gone", Body: "x"},
			testutil.Entry{Name: "opq/old", Body: "x"})
		for i, tt := range tests {
			id := fmt.Sprintf("lay%d", i)
			importLayer(t, s, id, "base",
				testutil.Entry{Name: "etc/", Mode: 0o755}, testutil.Entry{Name: "etc/conf", Body: "value"}, testutil.Entry{Name: "etc/empty"},
				testutil.Entry{Name: "etc/.wh.gone"}, testutil.Entry{Name: "deep/er/file", Body: "x"},
				testutil.Entry{Name: "link", Type: '2', Link: "etc/conf", Mode: 0o777}, testutil.Entry{Name: "hard", Type: '1', Link: "deep/er/file"},
				testutil.Entry{Name: "opq/", Mode: 0o755}, testutil.Entry{Name: "opq/.wh..wh..opq"},
			)
			must(t, tt.change(tamper(t, s, id)))
		}
		report, err := s.Store.Check(t.Context(), strata.CheckOptions{})
		must(t, err)
		got := map[string][]string{}
		for _, f := range report.Findings {
			got[f.ID] = append(got[f.ID], fmt.Sprintf("%v %s%s", f.Problem, f.Change, f.Path))
		}
		for i, tt := range tests {
			if len(tt.want) > 0 && tt.want[0] == "marks" {
				if tt.want = tt.want[1:]; s.DriverName() != "overlay" {
					tt.want = nil
				}
			}
			wantEqual(t, tt.name, tt.want, got[fmt.Sprintf("lay%d", i)])
		}
	})
}

// overlayOnly passes on an error about a mark that only overlay has.
func overlayOnly(dir string, err error) error {
	if filepath.Base(dir) != "diff" {
		return nil
	}
	return err
}

func TestEngineGroups(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		s.Damaged()
		s.Tolerate()
		importLayer(t, s, "lay1", "", testutil.Entry{Name: "f", Body: "one"})
		importLayer(t, s, "lay2", "lay1", testutil.Entry{Name: "g", Body: "two"})
		createImage(t, s, "img1", "lay2")
		c := createContainer(t, s, "con1", "img1")
		must(t, s.SetBigData(t.Context(), strata.KindContainer, "con1", "item", []byte("data")))
		createLayer(t, s, "lone", "")
		_, err := s.CreateDriverLayer(t.Context(), strata.LayerOptions{ID: "stray"})
		must(t, err)
		must(t, os.WriteFile(tamper(t, s, "lay1")+"/extra", nil, 0o600))
		item := filepath.Join(s.GraphRoot(), s.DriverName()+"-containers", "con1", "item")
		must(t, os.WriteFile(item, []byte("longer data"), 0o600))
		report, err := s.Store.Check(t.Context(), strata.CheckOptions{UnreferencedAfter: 1})
		must(t, err)
		var got []string
		for _, g := range report.EngineGroups() {
			got = append(got, g.Heading())
			for _, p := range g.Problems {
				got = append(got, " "+p)
			}
		}
		wantEqual(t, "report", []string{
			"layer lay1:", " layer lay1: +/extra, layer content modified",
			"layer lone:", " layer lone: layer not referenced by any images or containers",
			"layer stray:", " layer stray: layer in lower level storage driver not accounted for",
			"image img1:", " layer lay1: +/extra, layer content modified",
			"container con1:",
			" container con1: data item \"item\": container data item has incorrect size",
			" layer lay1: +/extra, layer content modified",
		}, got)
		_ = c
		must(t, os.WriteFile(item, []byte("data"), 0o600))
		must(t, os.Remove(tamper(t, s, "lay1")+"/extra"))
	})
}

// TestCheckDailyUse: whatever podman, buildah and skopeo do all day is no finding.
func TestCheckDailyUse(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		e := engines(t, s, "podman", "buildah", "skopeo", "containers-storage")
		dir := t.TempDir()
		rootfs := filepath.Join(dir, "rootfs.tar")
		must(t, os.WriteFile(rootfs, testutil.Tar(t, testutil.Entry{Name: "bin/", Mode: 0o755}, testutil.Entry{Name: "etc/conf", Body: "x"}, testutil.Entry{Name: "etc/old", Body: "y"}), 0o600))
		e.podman("import", rootfs, "localhost/base:1")
		file := filepath.Join(dir, "Containerfile")
		must(t, os.WriteFile(file, []byte("FROM localhost/base:1\nCOPY rootfs.tar /data/rootfs.tar\nLABEL a=b\nADD rootfs.tar /unpacked/\n"), 0o600))
		e.buildah("build", "-t", "localhost/app:1", "-f", file, dir)
		working := e.buildah("from", "localhost/app:1")
		root := e.buildah("mount", working)
		must(t, os.WriteFile(root+"/etc/new", []byte("new"), 0o600))
		must(t, os.RemoveAll(root+"/etc/old"))
		check := func(when string) {
			t.Helper()
			report, err := s.Store.Check(t.Context(), strata.CheckOptions{})
			must(t, err)
			for _, f := range report.Findings {
				t.Errorf("%s: %v", when, f)
			}
		}
		check("while mounted")
		e.buildah("umount", working)
		e.buildah("commit", working, "localhost/app:2")
		e.podman("create", "--name", "web", "localhost/app:2", "/bin/true")
		e.podman("mount", "web")
		check("with containers")
		e.podman("umount", "web")
		e.skopeo("copy", e.specifier("localhost/app:2"), "oci:"+dir+"/oci:app")
		e.skopeo("copy", "oci:"+dir+"/oci:app", e.specifier("localhost/copied:1"))
		e.podman("tag", "localhost/app:2", "localhost/other:1")
		check("after copies")
		report, err := s.GC(t.Context(), strata.GCOptions{DryRun: true})
		must(t, err)
		if len(report.Removed) > 0 {
			t.Errorf("garbage: %v", report.Removed)
		}
		e.podman("rm", "web")
		e.buildah("rm", working)
		e.podman("rmi", "localhost/other:1", "localhost/app:2")
		check("after deletions")
		e.podman("images")
	})
}
