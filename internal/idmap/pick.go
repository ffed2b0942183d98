package idmap

import (
	"slices"
)

// span holds the IDs from start up to end, without end.
type span struct{ start, end int }

// Pick maps the container IDs from 0 up to size on to free IDs of the host: the lowest
// of available that neither used nor fixed has. IDs that fixed, which comes at the end of
// the result, maps already are left out. enough is false when there are too few.
// Only the host's side of available and used counts.
func Pick(size int, available, used, fixed []Range) (picked []Range, enough bool) {
	free := subtract(hostSpans(available), append(hostSpans(used), hostSpans(fixed)...))
	wanted := subtract([]span{{0, size}}, containerSpans(fixed))
	for len(wanted) > 0 {
		if len(free) == 0 {
			return nil, false
		}
		n := min(wanted[0].end-wanted[0].start, free[0].end-free[0].start)
		picked = append(picked, Range{ContainerID: wanted[0].start, HostID: free[0].start, Size: n})
		wanted, free = after(wanted, n), after(free, n)
	}
	return append(picked, fixed...), true
}

// after leaves out the first n IDs of the first span.
func after(list []span, n int) []span {
	if list[0].start += n; list[0].start == list[0].end {
		return list[1:]
	}
	return list
}

func hostSpans(ranges []Range) []span {
	return spans(ranges, func(r Range) int { return r.HostID })
}

func containerSpans(ranges []Range) []span {
	return spans(ranges, func(r Range) int { return r.ContainerID })
}

func spans(ranges []Range, start func(Range) int) []span {
	var list []span
	for _, r := range ranges {
		if r.Size > 0 {
			list = append(list, span{start(r), start(r) + r.Size})
		}
	}
	return list
}

// subtract returns what is in from and not in taken, in the order of from.
func subtract(from, taken []span) []span {
	for _, t := range taken {
		var left []span
		for _, f := range from {
			if before := (span{f.start, min(f.end, t.start)}); before.start < before.end {
				left = append(left, before)
			}
			if behind := (span{max(f.start, t.end), f.end}); behind.start < behind.end {
				left = append(left, behind)
			}
		}
		from = left
	}
	return slices.Clone(from)
}
