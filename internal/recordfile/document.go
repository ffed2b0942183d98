package recordfile

import "slices"

// The keys that every record file shares.
const (
	idKey    = "id"
	namesKey = "names"
)

// recordDepth is how deep in a file the values of a record's members are.
const recordDepth = 2

// raw is one record as it stands in a file. It is never written to.
type raw struct {
	text []byte
	// offset is where text begins in its file.
	offset int
	// values are the parts of text that hold the wanted members' values, in the
	// order of the wanted keys; the zero part is no value.
	values []part
}

// part is a span of a record's text, which is shorter than 2 GiB because files are.
type part struct{ start, end int32 }

// value returns the text of the i-th wanted member's value, nil if there is none.
func (r *raw) value(i int) []byte {
	if v := r.values[i]; v.end > 0 {
		return r.text[v.start:v.end]
	}
	return nil
}

// parse checks the text of a record file, one JSON array of objects, and finds
// the wanted members of each. The error is a *syntaxError. The records keep data.
func parse(data []byte, w *wanted) ([]raw, error) {
	if records, ok := parseParallel(data, w); ok {
		return records, nil
	}
	p := newParser(data, w)
	i, err := p.file(p.space(0))
	if err != nil {
		return nil, err
	}
	if i = p.space(i); i < len(data) {
		return nil, p.unexpected(i, "the end of the file")
	}
	return p.cut(), nil
}

// parseRecord does for the text of one record what parse does for a file.
func parseRecord(text []byte, w *wanted) (raw, error) {
	p := newParser(text, w)
	if _, err := p.record(0); err != nil {
		return raw{}, err
	}
	return p.cut()[0], nil
}

// parser collects records. All their spans lie in one slice that is cut up at
// the end: a slice for each record would cost more than the reading.
type parser struct {
	scanner
	wanted  *wanted
	records []raw
	values  []part
	// after holds, for each usual key, the usual key that followed it last time, and
	// in its last place the one that came first: engines write the members of all
	// records in one order, so comparing with that one saves looking for the key.
	after []int
}

func newParser(data []byte, w *wanted) *parser {
	return &parser{scanner: scanner{data}, wanted: w, after: make([]int, len(w.usual)+1)}
}

func (p *parser) file(i int) (int, error) {
	switch p.at(i) {
	case '[':
		return p.list(i)
	case 'n': // what Go programs write for a list that was never made
		return p.literal(i, "null")
	default:
		return i, p.unexpected(i, "the beginning of a list of records")
	}
}

func (p *parser) list(i int) (int, error) {
	i, more := p.firstElement(i)
	for more {
		var err error
		if i, err = p.record(i); err != nil {
			return i, err
		}
		if i, more, err = p.nextElement(i); err != nil {
			return i, err
		}
	}
	return i, nil
}

// record reads the record at i and appends it.
func (p *parser) record(i int) (int, error) {
	if p.at(i) != '{' {
		return i, p.unexpected(i, "the beginning of a record")
	}
	p.values = append(p.values, p.wanted.blank...)
	end, err := p.members(i)
	if err != nil {
		return end, err
	}
	if len(p.records) == 0 {
		p.reserve(end - i)
	}
	p.records = append(p.records, raw{text: p.data[i:end:end], offset: i})
	return end, nil
}

// members skips the members of the record at start and notes the wanted ones; of
// equal keys the last one counts.
func (p *parser) members(start int) (int, error) {
	values := p.values[len(p.values)-len(p.wanted.blank):]
	previous := len(p.wanted.usual)
	i, more := p.firstMember(start)
	for more {
		key, value, err := p.recordMember(i, previous)
		if err != nil {
			return i, err
		}
		if key >= 0 {
			p.after[previous] = key
			previous = key
		}
		if place := p.wanted.place(key); place >= 0 {
			values[place] = part{int32(value.start - start), int32(value.end - start)}
		}
		if i, more, err = p.nextMember(value.end); err != nil {
			return i, err
		}
	}
	return i, nil
}

// recordMember skips the member at i and returns which usual key it has, -1 for
// another one, and where its value is.
func (p *parser) recordMember(i, previous int) (key int, value span, err error) {
	key = p.after[previous]
	if head := p.wanted.heads[key]; i+len(head) <= len(p.data) && string(p.data[i:i+len(head)]) == head {
		value.start = p.space(i + len(head))
		value.end, err = p.value(value.start, recordDepth)
		return key, value, err
	}
	text, value, err := p.member(i, recordDepth)
	if err != nil {
		return -1, value, err
	}
	return p.wanted.find(p.data[text.start:text.end]), value, nil
}

// reserve makes room for the other records, guessing that they are as long as the
// first one, but never more than a few times the length of the text.
func (p *parser) reserve(first int) {
	const shortest = 128
	n := len(p.data) / max(first, shortest)
	p.records = slices.Grow(p.records, n)
	p.values = slices.Grow(p.values, n*len(p.wanted.blank))
}

func (p *parser) cut() []raw {
	n := len(p.wanted.blank)
	for i := range p.records {
		p.records[i].values = p.values[i*n : (i+1)*n : (i+1)*n]
	}
	return p.records
}

// emit returns the text of a file of these records: compact, without a newline.
func emit(records [][]byte) []byte {
	size := len("[]") + len(records)
	for _, r := range records {
		size += len(r)
	}
	out := append(make([]byte, 0, size), '[')
	for i, r := range records {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, r...)
	}
	return append(out, ']')
}
