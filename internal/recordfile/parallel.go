package recordfile

import (
	"bytes"
	"runtime"
	"sync"
)

// minPart is what is worth a goroutine, in bytes.
const minPart = 512 << 10

// seam is what stands between two records of a file that an engine wrote.
const seam = `},{"id":"`

// parseParallel is parse for large texts: it cuts the text where two records seem
// to meet, and checks the parts side by side. A seam that is none, because the two
// are elements of an inner list, leaves the part before it unfinished; so when all
// parts are sound, their concatenation is. ok is false if the text is not large,
// has no seams where they are looked for, or is not sound: then parse goes through
// it from the beginning and finds out what is wrong.
func parseParallel(data []byte, w *wanted) (records []raw, ok bool) {
	cuts := findCuts(data, min(runtime.GOMAXPROCS(0), len(data)/minPart))
	if len(cuts) == 0 {
		return nil, false
	}
	parts := make([][]raw, len(cuts)+1)
	ends := append(cuts, len(data))
	start := 0
	var group sync.WaitGroup
	for i, end := range ends {
		p, from := newParser(data[:end], w), start
		group.Go(func() { parts[i] = p.part(from, end == len(data)) })
		start = end
	}
	group.Wait()
	return join(parts)
}

// findCuts returns up to n-1 places of commas between records, evenly spread.
func findCuts(data []byte, n int) []int {
	var cuts []int
	for i := 1; i < n; i++ {
		from := len(data) / n * i
		at := bytes.Index(data[from:], []byte(seam))
		if at < 0 {
			break
		}
		if cut := from + at + len("}"); len(cuts) == 0 || cut > cuts[len(cuts)-1] {
			cuts = append(cuts, cut)
		}
	}
	return cuts
}

// part reads the records behind the bracket or comma at i; nil if the text is not
// sound. The last part ends like a file, any other with a record.
func (p *parser) part(i int, last bool) []raw {
	if c := p.at(i); c != '[' && c != ',' {
		return nil
	}
	for {
		var err error
		if i, err = p.record(p.space(i + 1)); err != nil {
			return nil
		}
		if i == len(p.data) && !last {
			return p.cut()
		}
		if i = p.space(i); p.at(i) != ',' {
			break
		}
	}
	if p.at(i) != ']' || !last || p.space(i+1) != len(p.data) {
		return nil
	}
	return p.cut()
}

// join concatenates the parts; ok is false if one is nil.
func join(parts [][]raw) (records []raw, ok bool) {
	n := 0
	for _, p := range parts {
		if p == nil {
			return nil, false
		}
		n += len(p)
	}
	records = make([]raw, 0, n)
	for _, p := range parts {
		records = append(records, p...)
	}
	return records, true
}
