package ontop

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/volume"
)

// ErrOption is the kind of every refused option of Create.
var ErrOption = errdefs.New(errdefs.ErrInvalid, "invalid option of a volume on top")

// refusal has a text that users of docker-on-top know, and a kind.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return ErrOption }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// The rules for IDs of requests.
const maxID = 255

// ErrInvalidID is a request ID that can not be one.
var ErrInvalidID = errdefs.New(errdefs.ErrInvalid, "invalid mount ID: it should comply to \"[A-Za-z0-9_-][A-Za-z0-9_.-]*\" with 255 bytes at most")

// checkName is the store's rule in the words of docker-on-top.
func checkName(name string) error {
	if strings.Contains(name, "/") {
		return fmt.Errorf("volume name cannot contain slashes; to use a host path, give it with `-o base=`: %w", volume.ErrInvalidName)
	}
	if volume.CheckName(name) != nil {
		return fmt.Errorf(`volume name contains illegal characters: it should comply to "[a-zA-Z0-9][a-zA-Z0-9_.-]*": %w`, volume.ErrInvalidName)
	}
	return nil
}

func checkID(id string) error {
	if id == "" || len(id) > maxID || id[0] == '.' || strings.IndexFunc(id, notIDRune) >= 0 {
		return ErrInvalidID
	}
	return nil
}

func notIDRune(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.', r == '-':
		return false
	}
	return true
}

// parseOptions reads what Create was given. The base is looked at, not resolved: a link that
// is changed later is honoured at the next mount.
func (d *Driver) parseOptions(options map[string]string) (metadata, error) {
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if key != "base" && key != "volatile" && key != "lower" {
			return metadata{}, refuse("Invalid option %s: known are base, lower, volatile", key)
		}
	}
	var m metadata
	base, hasBase := options["base"]
	m.Image = options["lower"]
	switch {
	case hasBase && m.Image != "":
		return metadata{}, refuse("`base` and `lower` can not be given together")
	case m.Image != "" && d.opts.Images == nil:
		return metadata{}, refuse("`lower` needs an image store, and there is none here")
	case m.Image == "" && !hasBase:
		return metadata{}, refuse("`base` must be given (`-o base=`): it must be an absolute path")
	case m.Image == "":
		if err := d.checkBase(base); err != nil {
			return metadata{}, err
		}
		m.Base = filepath.Clean(base)
	}
	volatile, err := parseVolatile(options)
	m.Volatile = volatile
	return m, err
}

func parseVolatile(options map[string]string) (bool, error) {
	text, given := options["volatile"]
	if !given {
		return false, nil
	}
	switch strings.ToLower(text) {
	case "true", "yes":
		return true, nil
	case "false", "no":
		return false, nil
	}
	return false, refuse("option `volatile` must be either 'true', 'false', 'yes', or 'no'")
}

// checkBase refuses what can not be mounted on. Commas, colons and backslashes are fine:
// the directory is handed to the kernel by descriptor.
func (d *Driver) checkBase(base string) error {
	if !filepath.IsAbs(base) {
		return refuse("`base` must be an absolute path")
	}
	if strings.ContainsRune(base, 0) {
		return refuse("`base` has a zero byte in it")
	}
	if !utf8.ValidString(base) {
		return refuse("`base` is not UTF-8, so it can not be recorded: give a symbolic link to it")
	}
	dir, err := os.Open(base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse("the base directory does not exist")
	case err != nil:
		return inaccessible(err)
	}
	defer dir.Close()
	if info, err := dir.Stat(); err != nil || !info.IsDir() {
		return refuse("`base` must be a directory")
	}
	real, err := filepath.EvalSymlinks(base)
	if err != nil {
		return inaccessible(err)
	}
	if inside(real, d.opts.Root) {
		return refuse("`base` is inside the state folder %s", d.opts.Root)
	}
	if inside(d.opts.Root, real) {
		d.log.Warn("the volume shows the driver's own state through its base", "base", base)
	}
	return nil
}

// inaccessible tells a base that can not be one from a system that can not look at it now.
func inaccessible(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENAMETOOLONG) {
		return refuse("the specified base directory is inaccessible: %v", err)
	}
	return fmt.Errorf("the specified base directory is inaccessible: %w", err)
}

// inside reports whether path is dir or below it, by components.
func inside(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
