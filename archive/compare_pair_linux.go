package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/idmap"
)

// pairRule decides whether two files of one path are the same in two trees
// (on-disk format, 6.4, "Comparison of two trees"; docker layers, B.8).
type pairRule struct {
	newOwner, oldOwner   ownerView
	newXattrs, oldXattrs xattrReader
	trustWholeSeconds    bool
}

// newPairRule returns the rule for trees of which the newer marks deletions by format.
func newPairRule(opts CompareOptions, format WhiteoutFormat) *pairRule {
	return &pairRule{
		newOwner: ownerView(opts.Mapping), oldOwner: ownerView(opts.BaseMapping),
		newXattrs:         xattrReader{mapping: opts.Mapping, format: format},
		oldXattrs:         xattrReader{mapping: opts.BaseMapping, format: format},
		trustWholeSeconds: opts.TrustWholeSeconds,
	}
}

// differ reports whether the file was changed. What costs least is asked first.
func (r *pairRule) differ(ctx context.Context, now, old *node) (bool, error) {
	if now.inode() == old.inode() {
		return false, nil
	}
	if r.attributesDiffer(now, old) {
		return true, nil
	}
	if now.kind() == unix.S_IFLNK {
		return linksDiffer(now, old)
	}
	if !now.hasXattrs() {
		return false, nil
	}
	if differ, err := r.xattrsDiffer(now, old); differ || err != nil {
		return differ, err
	}
	if !now.isRegular() || now.st.Size == 0 || r.trustWholeSeconds || timesDecide(now, old) {
		return false, nil
	}
	return contentsDiffer(ctx, now, old)
}

func (r *pairRule) attributesDiffer(now, old *node) bool {
	switch {
	case now.st.Mode != old.st.Mode, r.newOwner.of(&now.st) != r.oldOwner.of(&old.st):
		return true
	case now.isDevice() && now.st.Rdev != old.st.Rdev:
		return true
	case !now.isDir() && now.st.Size != old.st.Size:
		return true
	}
	a, b := now.st.Mtim, old.st.Mtim
	return a.Sec != b.Sec || a.Nsec != b.Nsec && a.Nsec != 0 && b.Nsec != 0
}

// timesDecide reports whether equal times prove that neither file was written
// after the other: a time of whole seconds proves nothing.
func timesDecide(now, old *node) bool { return now.st.Mtim.Nsec != 0 && old.st.Mtim.Nsec != 0 }

func linksDiffer(now, old *node) (bool, error) {
	a, err := readLink(now)
	if err != nil {
		return false, err
	}
	b, err := readLink(old)
	return a != b, err
}

// xattrsDiffer compares user.* and security.capability. security.ima is left
// out: vfs does not copy it from the parent, so every file would differ.
func (r *pairRule) xattrsDiffer(now, old *node) (bool, error) {
	a, err := r.newXattrs.content(now)
	if err != nil {
		return false, err
	}
	b, err := r.oldXattrs.content(old)
	if err != nil {
		return false, err
	}
	isIMA := func(x xattr) bool { return x.name == xattrIMA }
	return !slices.Equal(slices.DeleteFunc(a, isIMA), slices.DeleteFunc(b, isIMA)), nil
}

// owner is a pair of IDs as the container sees them.
type owner struct{ uid, gid int64 }

// ownerView shows owners through a mapping.
type ownerView idmap.Mapping

// of returns the owner inside of the container. An ID without a range becomes a
// negative number of its own, so that it equals nothing but itself.
func (v ownerView) of(st *unix.Stat_t) owner {
	view := func(ranges []idmap.Range, id uint32) int64 {
		if ctr, ok := containerID(ranges, id); ok {
			return ctr
		}
		return -1 - int64(id)
	}
	return owner{view(v.UIDs, st.Uid), view(v.GIDs, st.Gid)}
}

// contentsDiffer reads two regular files of equal size.
func contentsDiffer(ctx context.Context, now, old *node) (differ bool, err error) {
	a, err := openRegular(now)
	if err != nil {
		return false, err
	}
	defer a.release()
	b, err := openRegular(old)
	if err != nil {
		return false, err
	}
	defer b.release()
	bufA, bufB := contentBuffers.get(), contentBuffers.get()
	defer contentBuffers.put(bufA)
	defer contentBuffers.put(bufB)
	return streamsDiffer(ctx, a, b, *bufA, *bufB)
}

func streamsDiffer(ctx context.Context, a, b io.Reader, bufA, bufB []byte) (bool, error) {
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if n != m || !bytes.Equal(bufA[:n], bufB[:m]) {
			return true, nil
		}
		if errA != nil || errB != nil {
			return false, firstFailure(errA, errB)
		}
	}
}

// firstFailure returns the first error that is not the end of a file.
func firstFailure(errs ...error) error {
	for _, err := range errs {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
	}
	return nil
}

// containerID translates one ID of the host's; ok is false if no range has it.
func containerID(ranges []idmap.Range, id uint32) (ctr int64, ok bool) {
	uid, _, err := idmap.Mapping{UIDs: ranges}.ToContainer(int(id), 0)
	return int64(uid), err == nil
}
