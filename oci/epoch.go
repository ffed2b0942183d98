package oci

import (
	"context"
	"io"
	"time"

	"github.com/stratastore/strata/archive"
)

// createdAt is the time of a new image: the one that was asked for, the epoch's, or now.
func createdAt(created, epoch time.Time) time.Time {
	switch {
	case !created.IsZero():
		return created
	case !epoch.IsZero():
		return epoch
	}
	return time.Now()
}

// clamped is a plain tar with no time after epoch; without an epoch, the tar
// itself. Closing it ends the filter, the tar stays open.
func clamped(ctx context.Context, tar io.Reader, epoch time.Time) io.ReadCloser {
	if epoch.IsZero() {
		return io.NopCloser(tar)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(archive.ClampTimes(ctx, w, tar, epoch)) }()
	return r
}
