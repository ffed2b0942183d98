package archive

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"time"
)

// ClampTimes copies a plain tar from r to w with no entry newer than latest, so
// that what was built twice is the same twice (the convention of
// SOURCE_DATE_EPOCH, reproducible-builds.org: "clamping"). Older times stay.
// Entries keep their order, names, owners and extended attributes; the headers
// are written anew, which makes this a filter for computed diffs, not for tars
// whose digest is known. r is read to its end, w stays open.
func ClampTimes(ctx context.Context, w io.Writer, r io.Reader, latest time.Time) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("clamp times: %w", err)
		}
		if err := clampEntry(out, in, h, latest); err != nil {
			return fmt.Errorf("clamp times: %s: %w", h.Name, err)
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("clamp times: %w", err)
	}
	_, err := io.Copy(io.Discard, r)
	return err
}

func clampEntry(out *tar.Writer, content io.Reader, h *tar.Header, latest time.Time) error {
	for _, t := range []*time.Time{&h.ModTime, &h.AccessTime, &h.ChangeTime} {
		if t.After(latest) {
			*t = latest
		}
	}
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(out, content)
	return err
}
