package testutil

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrs lists the attributes of path as name="value", sorted, or "-" for none.
func (d *dump) xattrs(path string) (string, error) {
	if d.has(IgnoreXattrs) {
		return "-", nil
	}
	names, err := listXattrs(path)
	if err != nil {
		return "", fmt.Errorf("list attributes of %s: %w", path, err)
	}
	var out []string
	for _, name := range names {
		value, err := readXattr(path, name)
		if err != nil {
			return "", fmt.Errorf("read attribute %s of %s: %w", name, path, err)
		}
		out = append(out, fmt.Sprintf("%s=%q", name, value))
	}
	if len(out) == 0 {
		return "-", nil
	}
	slices.Sort(out)
	return strings.Join(out, ","), nil
}

func listXattrs(path string) ([]string, error) {
	buf := make([]byte, 1<<16) // the kernel's limit
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 }), nil
}

func readXattr(path, name string) ([]byte, error) {
	buf := make([]byte, 1<<16) // the kernel's limit
	n, err := unix.Lgetxattr(path, name, buf)
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}
