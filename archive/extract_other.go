//go:build !linux

package archive

import (
	"context"
	"fmt"
	"io"

	"github.com/stratastore/strata/errdefs"
)

// Extract needs Linux's descriptors and owners.
func Extract(context.Context, string, io.Reader, ExtractOptions) (int64, error) {
	return 0, fmt.Errorf("unpacking a layer: %w on this system", errdefs.ErrUnsupported)
}
