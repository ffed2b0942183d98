package recordfile

import "sync"

// snapshot is the records of all files of a Store as they were at one time. It
// never changes and is shared by transactions.
type snapshot struct {
	plan *plan
	// texts are the records of each file as they were read, those included that
	// do not count because their ID was there before.
	texts [][]raw
	// files are the records of each file that count, in listing order.
	files  [][]entry
	byID   map[string]*entry
	byName map[string]*entry
	// stripped are the records that lost a name to a later one.
	stripped map[string]bool
	indexes  []lazyIndex
}

// lazyIndex is made when it is first asked for: most openings need none.
type lazyIndex struct {
	once    sync.Once
	byValue map[string][]*entry
}

// newSnapshot takes the records of each file. Of records with equal IDs the first
// one counts; a name belongs to the last record that has it (on-disk format, 2.3).
// The error is a *fileError.
func newSnapshot(p *plan, texts [][]raw, checkID func(string) error) (*snapshot, error) {
	total := 0
	for _, t := range texts {
		total += len(t)
	}
	s := &snapshot{
		plan: p, texts: texts, files: make([][]entry, len(texts)), indexes: make([]lazyIndex, len(p.indexes)),
		byID: make(map[string]*entry, total), byName: map[string]*entry{}, stripped: map[string]bool{},
	}
	for file := range texts {
		if err := s.addFile(file, checkID); err != nil {
			return nil, &fileError{file, err}
		}
	}
	return s, nil
}

// fileError is an error in one of several files.
type fileError struct {
	file int
	err  error
}

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

func (s *snapshot) addFile(file int, checkID func(string) error) error {
	s.files[file] = make([]entry, 0, len(s.texts[file])) // never grows: entries are pointed at
	for i := range s.texts[file] {
		r := &s.texts[file][i]
		e, err := newEntry(r, s.plan.named, file, i)
		if err != nil {
			return err
		}
		if checkID != nil {
			if err := checkID(e.id); err != nil {
				return &syntaxError{r.offset, err.Error()}
			}
		}
		if _, ok := s.byID[e.id]; ok {
			continue
		}
		s.files[file] = append(s.files[file], e)
		stored := &s.files[file][len(s.files[file])-1]
		s.byID[e.id] = stored
		s.claimNames(stored)
	}
	return nil
}

// claimNames gives e its names, taking them from earlier records.
func (s *snapshot) claimNames(e *entry) {
	for _, name := range e.names {
		if other := s.byName[name]; other != nil && other != e {
			*other = *other.without(name) // not shared yet
			s.stripped[other.id] = true
		}
		s.byName[name] = e
	}
}

// lookup returns the records that have a value in an index, in listing order.
func (s *snapshot) lookup(index int, value string) []*entry {
	x := &s.indexes[index]
	x.once.Do(func() { x.byValue = s.buildIndex(&s.plan.indexes[index]) })
	return x.byValue[value]
}

func (s *snapshot) buildIndex(x *index) map[string][]*entry {
	out := map[string][]*entry{}
	for _, file := range s.files {
		for i := range file {
			for _, v := range x.values(file[i].raw) {
				out[v] = append(out[v], &file[i])
			}
		}
	}
	return out
}
