//go:build !linux

package archive

import (
	"context"
	"fmt"
	"io"

	"github.com/stratastore/strata/errdefs"
)

// errNoTrees is what everything that reads a layer's tree answers on other systems than Linux.
var errNoTrees = fmt.Errorf("reading a layer's tree: %w on this system", errdefs.ErrUnsupported)

// Pack needs Linux.
func Pack(context.Context, io.Writer, string, PackOptions) error { return errNoTrees }

// PackChanges needs Linux.
func PackChanges(context.Context, io.Writer, string, []Change, PackOptions) error { return errNoTrees }

// Compare needs Linux.
func Compare(context.Context, string, string, CompareOptions) ([]Change, error) {
	return nil, errNoTrees
}

// OverlayChanges needs Linux.
func OverlayChanges(context.Context, string, []string, WhiteoutFormat, CompareOptions) ([]Change, error) {
	return nil, errNoTrees
}

// ChangesSize needs Linux.
func ChangesSize(context.Context, string, []Change) (int64, error) { return 0, errNoTrees }

// TreeSize needs Linux.
func TreeSize(context.Context, string) (int64, error) { return 0, errNoTrees }

// OpenFiles needs Linux.
func OpenFiles(...string) (FileGetCloser, error) { return nil, errNoTrees }
