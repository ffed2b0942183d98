//go:build linux && amd64

package faulttest_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// state is what a store says of its objects: a text for each of them, in which IDs
// that are drawn at random do not show.
type state map[string]string

// task is what an examiner is asked to do.
type task struct {
	Graph, Run, Driver string
	// Collect lets it collect garbage between two looks.
	Collect bool
}

// findings are what an examiner found.
type findings struct {
	// Before and After are the states before and after the collection of garbage.
	Before, After state
	// Problems are those of a check at the end, as "problem kind".
	Problems []string
	// Collected are the reasons of what was collected.
	Collected []string
	Error     string
}

// examine looks at a store with the eyes of a new process.
func examine(t testing.TB, what task) findings {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self, string(text))
	cmd.Env, cmd.Stderr = append(os.Environ(), helperEnv+"=examine"), &errs
	out, err := cmd.Output()
	var f findings
	if err := errors.Join(err, json.Unmarshal(out, &f)); err != nil {
		f.Error = fmt.Sprintf("%v: %s", err, errs.String())
	}
	return f
}

// examiner is the helper behind examine.
func examiner(arg string) error {
	var what task
	if err := json.Unmarshal([]byte(arg), &what); err != nil {
		return err
	}
	var f findings
	if err := f.fill(context.Background(), what); err != nil {
		f.Error = err.Error()
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

func (f *findings) fill(ctx context.Context, what task) error {
	s, err := strata.Open(ctx, strata.Options{GraphRoot: what.Graph, RunRoot: what.Run, Driver: what.Driver})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer s.Close(ctx)
	if f.Before, err = look(ctx, s); err != nil {
		return fmt.Errorf("first look: %w", err)
	}
	if !what.Collect {
		return nil
	}
	gc, err := s.GC(ctx, strata.GCOptions{})
	if err != nil {
		return fmt.Errorf("gc: %w", err)
	}
	for _, o := range gc.Removed {
		f.Collected = append(f.Collected, o.Reason)
	}
	for _, o := range gc.Failed {
		return fmt.Errorf("gc: %s: %w", o.Path, o.Err)
	}
	if f.After, err = look(ctx, s); err != nil {
		return fmt.Errorf("look after gc: %w", err)
	}
	report, err := s.Check(ctx, strata.CheckOptions{})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	for _, x := range report.Findings {
		f.Problems = append(f.Problems, fmt.Sprint(x.Problem, " ", x.Kind))
	}
	return nil
}

// looker makes a state.
type looker struct {
	store *strata.Store
	snap  *strata.Snapshot
	out   state
	keys  map[layer.ID]string
}

func look(ctx context.Context, s *strata.Store) (state, error) {
	snap, err := s.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	l := looker{store: s, snap: snap, out: state{}, keys: map[layer.ID]string{}}
	for _, x := range snap.Layers {
		l.keys[x.ID] = "layer " + string(x.ID)
	}
	for _, c := range snap.Containers {
		if l.keys[c.Layer] != "" {
			l.keys[c.Layer] = "layer of " + string(c.ID)
		}
	}
	mounts, err := mountapi.Table(mountinfo.PrefixFilter(s.GraphRoot()))
	if err != nil {
		return nil, err
	}
	for _, x := range snap.Layers {
		live := slices.ContainsFunc(mounts, func(m *mountinfo.Info) bool { return strings.HasSuffix(m.Mountpoint, "/"+string(x.ID)+"/merged") })
		l.layer(ctx, x, live)
	}
	l.images(ctx)
	l.containers(ctx)
	return l.out, nil
}

func (l *looker) layer(ctx context.Context, x layer.Layer, live bool) {
	parent := ""
	if x.Parent != "" {
		if parent = l.keys[x.Parent]; parent == "" {
			parent = "MISSING"
		}
	}
	l.out[l.keys[x.ID]] = fmt.Sprintf("parent %s names %q metadata %q digest %s flagged %t diff %s items %s", parent, x.Names, x.Metadata,
		x.DiffID, x.Incomplete(), l.diff(ctx, x), l.items(ctx, strata.KindLayer, string(x.ID), x.BigDataNames))
	if x.MountCount > 0 || live {
		l.out["mount of "+l.keys[x.ID]] = fmt.Sprintf("count %d live %t", x.MountCount, live)
	}
}

// diff is the digest of a layer's diff. Where nothing says which bytes it has to have, the
// times of directories, which are those of the last change in them, do not count; nor do
// those of whiteouts, which are the same.
func (l *looker) diff(ctx context.Context, x layer.Layer) string {
	r, err := l.store.Diff(ctx, string(x.ID), "", strata.DiffOptions{Compression: strata.CompressionNone})
	if err != nil {
		return "BROKEN " + err.Error()
	}
	sum := sha256.New()
	if x.DiffID != "" {
		_, err = io.Copy(sum, r)
	} else {
		err = describe(sum, r)
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return "BROKEN " + err.Error()
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// describe writes down what a tar has.
func describe(w io.Writer, r io.Reader) error {
	for entries := tar.NewReader(r); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return err
		}
		when := h.ModTime.UTC()
		if h.Typeflag == tar.TypeDir || strings.HasPrefix(path.Base(h.Name), ".wh.") {
			when = time.Time{}
		}
		fmt.Fprintln(w, h.Name, h.Typeflag, h.Linkname, h.Mode, h.Uid, h.Gid, h.Size, h.Devmajor, h.Devminor, when, xattrs(h))
		if _, err := io.Copy(w, entries); err != nil {
			return err
		}
	}
}

func xattrs(h *tar.Header) string {
	var out []string
	for key, value := range h.PAXRecords {
		if strings.HasPrefix(key, "SCHILY.xattr.") {
			out = append(out, key+"="+value)
		}
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

func (l *looker) items(ctx context.Context, kind strata.Kind, id string, keys []string) string {
	var out []string
	for _, key := range keys {
		data, err := l.store.BigData(ctx, kind, id, key)
		if err != nil {
			out = append(out, key+"=BROKEN "+err.Error())
			continue
		}
		out = append(out, key+"="+testutil.Digest(data).Encoded()[:8])
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

func (l *looker) images(ctx context.Context) {
	for _, i := range l.snap.Images {
		var tops []string
		for _, top := range i.TopLayers() {
			tops = append(tops, orMissing(l.keys[top]))
		}
		recorded := ""
		for _, key := range i.BigDataNames {
			recorded += fmt.Sprint(" ", key, ":", i.BigDataSizes[key])
		}
		l.out["image "+string(i.ID)] = fmt.Sprintf("names %q history %q metadata %q tops %q items %s recorded%s", i.Names, i.NamesHistory, i.Metadata, tops,
			l.items(ctx, strata.KindImage, string(i.ID), i.BigDataNames), recorded)
	}
}

func (l *looker) containers(ctx context.Context) {
	for _, c := range l.snap.Containers {
		l.out["container "+string(c.ID)] = fmt.Sprintf("names %q image %s layer %s metadata %q items %s", c.Names, c.Image,
			orMissing(l.keys[c.Layer]), c.Metadata, l.items(ctx, strata.KindContainer, string(c.ID), c.BigDataNames))
	}
}

func orMissing(key string) string {
	if key == "" {
		return "MISSING"
	}
	return key
}
