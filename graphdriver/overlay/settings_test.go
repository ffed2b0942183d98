package overlay

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/mountapi"
)

func TestParse(t *testing.T) {
	mask := func(m fs.FileMode) *fs.FileMode { return &m }
	tests := []struct {
		name, key, value string
		want             settings
		bad              bool
	}{
		{name: "mount options", key: "mountopt", value: "nodev,metacopy=on", want: settings{
			mountopt: "nodev,metacopy=on",
			mount:    mountapi.Options{Flags: unix.MS_NODEV, Data: []string{"metacopy=on"}},
		}},
		{name: "mount options with a directory", key: "mountopt", value: "upperdir=/", bad: true},
		{name: "program", key: "mount_program", value: "/usr/bin/fuse-overlayfs", want: settings{program: "/usr/bin/fuse-overlayfs"}},
		{name: "no program", key: "mount_program", value: ""},
		{name: "relative program", key: "mount_program", value: "fuse-overlayfs", bad: true},
		{name: "owners", key: "ignore_chown_errors", value: "true", want: settings{ignoreChownErrors: true}},
		{name: "owners, no boolean", key: "ignore_chown_errors", value: "maybe", bad: true},
		{name: "home", key: "skip_mount_home", value: "1", want: settings{skipMountHome: true}},
		{name: "composefs off", key: "use_composefs", value: "false"},
		{name: "composefs", key: "use_composefs", value: "true", want: settings{ignored: []string{"use_composefs=true"}}},
		{name: "size", key: "size", value: "10G", want: settings{size: 10 << 30}},
		{name: "size in bytes", key: "size", value: "4096", want: settings{size: 4096}},
		{name: "size with long unit", key: "size", value: "1.5MiB", want: settings{size: 3 << 19}},
		{name: "size, negative", key: "size", value: "-1", bad: true},
		{name: "size, too large", key: "size", value: "99999999P", bad: true},
		{name: "size, not a number", key: "size", value: "NaN", bad: true},
		{name: "size, unknown unit", key: "size", value: "1x", bad: true},
		{name: "inodes", key: "inodes", value: "1000", want: settings{inodes: 1000}},
		{name: "inodes, negative", key: "inodes", value: "-1", bad: true},
		{name: "sync", key: "sync", value: "none", want: settings{sync: graphdriver.SyncNone}},
		{name: "sync, unknown", key: "sync", value: "all", bad: true},
		{name: "image stores", key: "imagestore", value: "/a,/b", want: settings{imageHomes: []string{"/a/overlay", "/b/overlay"}}},
		{name: "relative image store", key: "imagestore", value: "a", bad: true},
		{name: "layer store", key: "additionallayerstore", value: "/usr:ref,/etc", want: settings{layerStores: []layerStore{{"/usr", true}, {"/etc", false}}}},
		{name: "layer store, relative", key: "additionallayerstore", value: "usr", bad: true},
		{name: "layer store, unknown word", key: "additionallayerstore", value: "/usr:reference", bad: true},
		{name: "layer store, word twice", key: "additionallayerstore", value: "/usr:ref:ref", bad: true},
		{name: "layer store, a file", key: "additionallayerstore", value: "/etc/passwd", bad: true},
		{name: "unknown", key: "compression", value: "zstd", bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(config("/r", graphdriver.Option{Key: tt.key, Value: tt.value}))
			if tt.bad {
				if !errors.Is(err, errdefs.ErrInvalid) {
					t.Errorf("error %v, want ErrInvalid", err)
				}
				return
			}
			must(t, err)
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(settings{}, layerStore{})); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
	for value, want := range map[string]*fs.FileMode{
		"shared": mask(0o755), "private": mask(0o700), "0750": mask(0o750), "1777": nil, "rwx": nil, "-1": nil,
	} {
		got, err := parse(config("/r", graphdriver.Option{Key: "mount_program", Value: "/p"}, graphdriver.Option{Key: "force_mask", Value: value}))
		if (err == nil) != (want != nil) || err == nil && *got.forceMask != *want {
			t.Errorf("force_mask %q: %v, %v", value, got.forceMask, err)
		}
	}
	if _, err := parse(config("/r", graphdriver.Option{Key: "force_mask", Value: "shared"})); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("force_mask without a program: %v", err)
	}
}

func TestUnknownOptionListsKnownOnes(t *testing.T) {
	_, err := parse(config("/r", graphdriver.Option{Key: "mount_opt", Value: "nodev", Text: "overlay.mount_opt=nodev"}))
	var unknown *graphdriver.UnknownOptionError
	if !errors.As(err, &unknown) {
		t.Fatalf("error %v", err)
	}
	for _, key := range []string{"mountopt", "mount_program", "ignore_chown_errors", "force_mask", "skip_mount_home", "size", "inodes", "sync"} {
		found := false
		for _, k := range unknown.Known {
			found = found || k == key
		}
		if !found {
			t.Errorf("%s is not among the known options %q", key, unknown.Known)
		}
	}
}
