package oci_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/oci"
)

// builtOn makes a container with one new file on a new base image, in a store of its own.
func builtOn(t *testing.T) *storetest.Store {
	t.Helper()
	s := storetest.New(t, "overlay")
	base, _ := twoLayers(t)
	if _, err := load(t, s, pack(t, dockerFiles(t, []string{"localhost/base:1"}, base), nil), oci.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateContainer(t.Context(), strata.ContainerOptions{Image: "localhost/base:1", Names: []string{"c"}}); err != nil {
		t.Fatal(err)
	}
	dir, err := s.Mount(t.Context(), "c", strata.MountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc/new"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Unmount(t.Context(), "c", strata.UnmountOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCommitWithAnEpochIsReproducible(t *testing.T) {
	epoch := time.Unix(1_700_000_000, 0)
	var ids []string
	for range 2 {
		s := builtOn(t)
		out, err := oci.Commit(t.Context(), s, "c", oci.CommitOptions{Epoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, string(out.ID))
		if img, err := s.Image(t.Context(), string(out.ID)); err != nil || !img.Created.Equal(epoch) {
			t.Errorf("created %v, %v; want %v", img.Created, err, epoch)
		}
		dir, err := s.MountImage(t.Context(), string(out.ID), strata.MountOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, "etc/new")); err != nil || !info.ModTime().Equal(epoch) {
			t.Errorf("etc/new: %v, %v; want %v", info.ModTime(), err, epoch)
		}
		if _, err := s.Unmount(t.Context(), string(out.ID), strata.UnmountOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond) // diffs have whole seconds
	}
	if ids[0] != ids[1] {
		t.Errorf("two builds, two images: %v", ids)
	}
}

func TestCommitEditsTheConfiguration(t *testing.T) {
	s := builtOn(t)
	out, err := oci.Commit(t.Context(), s, "c", oci.CommitOptions{CreatedBy: "RUN touch", Edit: func(c *v1.ImageConfig) error {
		c.Cmd, c.Env = nil, append(c.Env, "B=2")
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.BigData(t.Context(), strata.KindImage, string(out.ID), "sha256:"+string(out.ID))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Config  map[string]any
		History []v1.History
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"Env": []any{"B=2"}}
	if d := cmp.Diff(want, got.Config); d != "" {
		t.Error(d)
	}
	if n := len(got.History); n == 0 || got.History[n-1].CreatedBy != "RUN touch" {
		t.Errorf("history %+v", got.History)
	}
}

// What an edit refuses is not half committed.
func TestCommitWithAFailingEdit(t *testing.T) {
	s := builtOn(t)
	before, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("no such user")
	if _, err := oci.Commit(t.Context(), s, "c", oci.CommitOptions{Edit: func(*v1.ImageConfig) error { return why }}); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
	after, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(after.Images) != len(before.Images) || len(after.Layers) != len(before.Layers) {
		t.Errorf("%d images and %d layers became %d and %d", len(before.Images), len(before.Layers), len(after.Images), len(after.Layers))
	}
}
