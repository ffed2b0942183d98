package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/mountapi"
)

// settings are the driver's options, parsed (on-disk format, 8.4).
type settings struct {
	// mountopt is the option "mountopt" as written; names in the probe cache contain it.
	mountopt string
	// mount is mountopt, sorted.
	mount mountapi.Options
	// program is "mount_program", a path; "" mounts by the kernel.
	program string
	// ignoreChownErrors is "ignore_chown_errors": keep going when an owner can not be set.
	ignoreChownErrors bool
	// forceMask is "force_mask": the mode of every file, its own going into an attribute.
	forceMask *fs.FileMode
	// skipMountHome is "skip_mount_home": no private bind mount of the home.
	skipMountHome bool
	// size (bytes) and inodes limit each writable layer; 0 is no limit.
	size, inodes uint64
	// sync is "sync", by default the store's.
	sync graphdriver.SyncMode
	// imageHomes are further read-only homes, from "imagestore".
	imageHomes []string
	// layerStores are additional layer stores, from "additionallayerstore".
	layerStores []layerStore
	// ignored are options that are known but do nothing here, as written.
	ignored []string
}

// parse reads the options. Unknown ones are a *graphdriver.UnknownOptionError.
func parse(cfg graphdriver.Config) (settings, error) {
	s := settings{sync: cfg.Sync}
	if err := graphdriver.SetOptions(Name, cfg.Options, s.setters()); err != nil {
		return settings{}, err
	}
	if s.forceMask != nil && s.program == "" {
		return settings{}, fmt.Errorf("force_mask needs a mount_program, the kernel can not show forced modes: %w", errdefs.ErrInvalid)
	}
	return s, nil
}

func (s *settings) setters() graphdriver.Setters {
	stores := func(v string) error { return s.addImageStores(v) }
	ignore := func(key string) func(string) error {
		return func(v string) error { s.ignored = append(s.ignored, key+"="+v); return nil }
	}
	return graphdriver.Setters{
		"mountopt":              s.setMountopt,
		"mount_program":         s.setProgram,
		"ignore_chown_errors":   setBool(&s.ignoreChownErrors),
		"force_mask":            s.setForceMask,
		"skip_mount_home":       setBool(&s.skipMountHome),
		"use_composefs":         s.setComposefs,
		"size":                  set(&s.size, parseSize),
		"inodes":                set(&s.inodes, parseCount),
		"sync":                  set(&s.sync, graphdriver.ParseSync),
		"imagestore":            stores,
		"additionalimagestore":  stores,
		"additionallayerstore":  func(v string) error { return s.addLayerStores(v) },
		"override_kernel_check": ignore("override_kernel_check"),
	}
}

// set returns a setter that parses and stores.
func set[T any](to *T, parse func(string) (T, error)) func(string) error {
	return func(v string) (err error) {
		*to, err = parse(v)
		return err
	}
}

func setBool(to *bool) func(string) error { return set(to, graphdriver.ParseBool) }

func (s *settings) setMountopt(v string) (err error) {
	s.mountopt = v
	s.mount, err = mountapi.ParseOptions(strings.Split(v, ","))
	return err
}

func (s *settings) setProgram(v string) error {
	if v != "" && !filepath.IsAbs(v) {
		return fmt.Errorf("mount_program %q is not an absolute path: %w", v, errdefs.ErrInvalid)
	}
	s.program = v
	return nil
}

// setComposefs accepts the wish for composefs: layers are made as plain directories then,
// which the other engines serve from the same store.
func (s *settings) setComposefs(v string) error {
	on, err := graphdriver.ParseBool(v)
	if on {
		s.ignored = append(s.ignored, "use_composefs="+v)
	}
	return err
}

func (s *settings) setForceMask(v string) error {
	mask, err := parseMask(v)
	if err != nil {
		return err
	}
	s.forceMask = &mask
	return nil
}

// parseMask reads "shared", "private" or octal permission bits.
func parseMask(v string) (fs.FileMode, error) {
	switch v {
	case "shared":
		return 0o755, nil
	case "private":
		return 0o700, nil
	}
	n, err := strconv.ParseUint(v, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("mode %q is neither shared, private nor octal permission bits: %w", v, errdefs.ErrInvalid)
	}
	return fs.FileMode(n), nil
}

func (s *settings) addImageStores(v string) error {
	for root := range strings.SplitSeq(v, ",") {
		if root == "" {
			continue
		}
		if !filepath.IsAbs(root) {
			return fmt.Errorf("image store %q is not an absolute path: %w", root, errdefs.ErrInvalid)
		}
		s.imageHomes = append(s.imageHomes, filepath.Join(root, Name))
	}
	return nil
}

// sizeUnits are powers of 1024, as the other engines read them.
var sizeUnits = []struct {
	suffix string
	shift  uint
}{{"k", 10}, {"m", 20}, {"g", 30}, {"t", 40}, {"p", 50}}

// parseSize reads a number of bytes with an optional unit: "10G", "10GiB", "512mb", "4096".
func parseSize(v string) (uint64, error) {
	number := strings.ToLower(strings.TrimSpace(v))
	number = strings.TrimSuffix(strings.TrimSuffix(number, "b"), "i")
	var shift uint
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, shift = rest, u.shift
			break
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n >= 0) || n*float64(uint64(1)<<shift) >= 1<<63 {
		return 0, fmt.Errorf("size %q: %w", v, errdefs.ErrInvalid)
	}
	return uint64(n * float64(uint64(1)<<shift)), nil
}

func parseCount(v string) (uint64, error) {
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("count %q: %w", v, errors.Join(errdefs.ErrInvalid, err))
	}
	return n, nil
}
