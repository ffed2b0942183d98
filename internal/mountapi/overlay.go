package mountapi

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// MaxLowers is the most lower directories that the kernel merges in one overlay.
const MaxLowers = 500

// Overlay describes an overlay mount. Paths are absolute.
type Overlay struct {
	// Lowers are the read-only directories, topmost first. There is at least one, and at
	// least two when there is no Upper: the kernel asks for that.
	Lowers []string
	// Upper takes the changes and Work is overlayfs' own, on the same file system. Both are
	// empty for a read-only mount.
	Upper, Work string
	// Options are the mount options.
	Options Options
	// Context is the SELinux label of everything in the mount; "" for none.
	Context string
}

// Validate refuses what the kernel would refuse with less to say. Its errors are
// errdefs.ErrInvalid, and errdefs.ErrLimit for more than MaxLowers lower directories.
func (o *Overlay) Validate() error {
	switch n := len(o.Lowers); {
	case (o.Upper == "") != (o.Work == ""):
		return fmt.Errorf("overlay with one of upper and work directory: %w", errdefs.ErrInvalid)
	case n == 0 || n == 1 && o.Upper == "":
		return fmt.Errorf("overlay of %d lower directories without an upper one: %w", n, errdefs.ErrInvalid)
	case n > MaxLowers:
		return fmt.Errorf("overlay of %d lower directories, the kernel takes %d: %w", n, MaxLowers, errdefs.ErrLimit)
	case strings.ContainsAny(o.Context, "\"\n\x00"):
		return fmt.Errorf("SELinux label %q: %w", o.Context, errdefs.ErrInvalid)
	}
	for _, dir := range o.dirs() {
		if !filepath.IsAbs(dir) || strings.ContainsRune(dir, 0) {
			return fmt.Errorf("overlay directory %q: %w", dir, errdefs.ErrInvalid)
		}
	}
	return nil
}

// dirs are all directories.
func (o *Overlay) dirs() []string {
	dirs := append([]string(nil), o.Lowers...)
	if o.Upper != "" {
		dirs = append(dirs, o.Upper, o.Work)
	}
	return dirs
}

// special are the characters that mean something in the option text of an overlay.
const special = `:,\`

// plain reports whether no path needs escaping there.
func (o *Overlay) plain() bool {
	for _, dir := range o.dirs() {
		if strings.ContainsAny(dir, special) {
			return false
		}
	}
	return true
}

// Data returns the option text of mount(2): directories, options, label. It can be used
// as such if no directory has a colon, comma or backslash in its path.
func (o *Overlay) Data() string {
	var b strings.Builder
	b.WriteString("lowerdir=")
	b.WriteString(strings.Join(o.Lowers, ":"))
	if o.Upper != "" {
		b.WriteString(",upperdir=" + o.Upper + ",workdir=" + o.Work)
	}
	for _, word := range o.Options.Data {
		b.WriteString("," + word)
	}
	if o.Context != "" {
		b.WriteString(`,context="` + o.Context + `"`)
	}
	return b.String()
}
