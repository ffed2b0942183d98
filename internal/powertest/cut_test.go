package powertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
)

// cut is a power cut: when, and how the disk took it.
type cut struct {
	at   int // events that there were
	mode cutMode
	seed uint64
}

// cutMode says what becomes of the writes since the last flush.
type cutMode int

const (
	loseAll  cutMode = iota // none arrived: a disk that only writes when asked to
	keepAll                 // all did: a copy of the backing file at that instant
	keepSome                // each on its own, in whatever order the disk chose
	tearSome                // likewise, by sectors
	cutModes
)

func (c cut) String() string {
	return fmt.Sprintf("event %d, %s, seed %d", c.at, [...]string{"lose all", "keep all", "keep some", "tear some"}[c.mode], c.seed)
}

// imager makes disk images of cuts, which have to come in the order of their
// events: what was flushed before one was so before the next.
type imager struct {
	rec     *recorder
	durable *recorder // everything before the last flush; its log is not used
	next    int
}

func newImager(rec *recorder) *imager { return &imager{rec: rec, durable: newRecorder(rec.size)} }

// make writes the disk after the cut to a new file.
func (m *imager) make(c cut, path string) error {
	log := m.rec.events(0, c.at)
	flushed := m.next
	for i := len(log) - 1; i >= m.next; i-- {
		if log[i].flush() {
			flushed = i + 1
			break
		}
	}
	for _, e := range log[m.next:flushed] {
		if !e.flush() {
			m.durable.write(e.data, e.off)
		}
	}
	m.durable.log, m.next = nil, flushed
	return m.store(path, c.survivors(log[flushed:]))
}

// store writes the durable pages, and the events over them.
func (m *imager) store(path string, more []event) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(m.rec.size); err != nil {
		return err
	}
	for n, data := range m.durable.pages {
		if _, err := f.WriteAt(data, n*page); err != nil {
			return err
		}
	}
	for _, e := range more {
		if _, err := f.WriteAt(e.data, e.off); err != nil {
			return err
		}
	}
	return nil
}

// survivors picks what of the unflushed writes reached the disk. Writing the picked
// ones in their old order is enough for every order that a disk may choose: a sector
// has the content of one of its writes, or its old one.
func (c cut) survivors(unflushed []event) []event {
	switch c.mode {
	case loseAll:
		return nil
	case keepAll:
		return unflushed
	}
	rng := rand.New(rand.NewPCG(c.seed, 1))
	keep := rng.Float64()
	var out []event
	for _, e := range unflushed {
		if c.mode == tearSome && len(e.data) > page && rng.IntN(2) == 0 {
			out = append(out, tear(rng, e, keep)...)
		} else if rng.Float64() < keep {
			out = append(out, e)
		}
	}
	return out
}

// tear keeps some sectors of a write. A single page, and what is at the start of
// the disk, arrives as a whole: file systems rely on that for their superblock.
func tear(rng *rand.Rand, e event, keep float64) []event {
	sector := []int{512, page}[rng.IntN(2)]
	if e.off < 16*page {
		sector = page
	}
	var out []event
	for i, data := range slices.Collect(slices.Chunk(e.data, sector)) {
		if rng.Float64() < keep {
			out = append(out, event{e.off + int64(i*sector), data})
		}
	}
	return out
}
