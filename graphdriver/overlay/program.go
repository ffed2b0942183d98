package overlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/mountapi"
)

// programMark says in a home whether its layers were made for a mount program: "true" or
// "false" (on-disk format, 4.9).
const programMark = ".has-mount-program"

// programPaths are where fuse-overlayfs is looked for when a home wants a mount program and
// none is configured.
var programPaths = []string{"/usr/bin/fuse-overlayfs", "/usr/local/bin/fuse-overlayfs", "/bin/fuse-overlayfs"}

// errWantsProgram keeps layers that only a mount program understands from the kernel, which
// would show their whiteouts as files.
var errWantsProgram = errdefs.WithHint(
	errdefs.New(errdefs.ErrUnsupported, "layers were made for a mount program (fuse-overlayfs), and there is none"),
	"install fuse-overlayfs, or name it as mount_program in [storage.options.overlay]")

// chooseProgram settles how layers are mounted here. note is what has to be written into the
// home's mark, "" if it is right already.
func (d *driver) chooseProgram(ctx context.Context) (note string, err error) {
	mark := filepath.Join(d.homes[0].path, programMark)
	text, err := atomicfile.Read(mark)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errdefs.ErrCorrupt) && !errors.Is(err, errdefs.ErrLimit) {
		return "", fmt.Errorf("read %s: %w", mark, err)
	}
	old := strings.TrimSpace(string(text))
	wanted := old == "true"
	switch {
	case d.settings.program != "":
		wanted = true
	case old == "":
		if wanted, err = madeForProgram(ctx, d.homes[0]); err != nil {
			return "", err
		}
	}
	if d.program, err = d.programFor(wanted); err != nil {
		return "", err
	}
	d.wantsProgram = wanted
	if note = strconv.FormatBool(wanted); note == old {
		note = ""
	}
	return note, nil
}

// programFor is the configured program, else one that can be found if the home wants any.
func (d *driver) programFor(wanted bool) (string, error) {
	if d.settings.program == "" {
		if wanted {
			return findProgram(), nil
		}
		return "", nil
	}
	if _, err := os.Stat(d.settings.program); err != nil {
		return "", fmt.Errorf("mount_program: %w", err)
	}
	return d.settings.program, nil
}

// noteProgram writes the mark; where it can not be written it is found out again next time.
func (d *driver) noteProgram(ctx context.Context, note string) {
	if note == "" {
		return
	}
	mark := filepath.Join(d.homes[0].path, programMark)
	var err error
	if info, statErr := os.Lstat(mark); statErr == nil && !info.Mode().IsRegular() {
		err = os.Remove(mark) // a link would lead to somebody else's file
	}
	if err == nil {
		err = os.WriteFile(mark, []byte(note), 0o600)
	}
	if err != nil {
		d.log.DebugContext(ctx, "note about the mount program", "error", err)
	}
}

func findProgram() string {
	for _, path := range programPaths {
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// errFound ends a search.
var errFound = errors.New("found")

// madeForProgram looks for what only mount programs leave in layers: whiteouts that are
// files, and attributes of theirs on directories.
func madeForProgram(ctx context.Context, h home) (bool, error) {
	ids, err := h.Layers()
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		err := filepath.WalkDir(h.layer(id).diff(), func(path string, e fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				return nil //nolint:nilerr // half a layer is no sign of anything
			case strings.HasPrefix(e.Name(), ".wh.") || e.IsDir() && hasProgramAttr(path):
				return errFound
			}
			return nil
		})
		if errors.Is(err, errFound) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

func hasProgramAttr(dir string) bool {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(dir, buf)
	if err != nil {
		return false
	}
	names := "\x00" + string(buf[:n])
	return strings.Contains(names, "\x00user.fuseoverlayfs.") || strings.Contains(names, "\x00user.containers.")
}

// programDelay bounds the wait for a mount program's output after its end.
const programDelay = 5 * time.Second

// runProgram mounts by the mount program, which goes on in the background.
func (d *driver) runProgram(ctx context.Context, o *mountapi.Overlay, point string, opts graphdriver.MountOptions) error {
	if err := o.Validate(); err != nil {
		return err
	}
	text, err := d.programOptions(o, opts)
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, d.program, "-o", text, point) //nolint:gosec // the configured program
	cmd.Dir, cmd.Stderr, cmd.WaitDelay = d.homes[0].path, &stderr, programDelay
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", d.program, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}

// programOptions is the argument of "-o".
func (d *driver) programOptions(o *mountapi.Overlay, opts graphdriver.MountOptions) (string, error) {
	for _, dir := range append([]string{o.Upper, o.Work}, o.Lowers...) {
		if strings.ContainsAny(dir, ":,\\") {
			return "", fmt.Errorf("mount programs can not be given the path %q: %w", dir, errdefs.ErrUnsupported)
		}
	}
	words := append(o.Options.Words(), mappingOptions(opts.Mapping)...)
	if d.settings.forceMask != nil {
		words = append(words, "xattr_permissions=2")
	}
	all := mountapi.Overlay{
		Lowers: o.Lowers, Upper: o.Upper, Work: o.Work,
		Options: mountapi.Options{Data: words}, Context: o.Context,
	}
	return all.Data(), nil
}
