package archive

import "sync"

// copySize is how much is moved at once.
const copySize = 256 << 10

// buffer is a piece of memory that is used again. data has the length asked for.
type buffer struct {
	data  []byte
	class int
}

// bufferPool hands out buffers of a few sizes, so that many small files in
// flight do not hold large ones.
type bufferPool struct{ classes [4]sync.Pool }

// bufferSizes are the lengths of the classes.
var bufferSizes = [4]int{4 << 10, 16 << 10, 64 << 10, copySize}

// buffers is shared by all streams: memory without content has no state to
// keep apart.
var buffers bufferPool

// get returns a buffer with n bytes of data, at most copySize.
func (p *bufferPool) get(n int) *buffer {
	class := 0
	for bufferSizes[class] < n {
		class++
	}
	b, ok := p.classes[class].Get().(*buffer)
	if !ok {
		b = &buffer{data: make([]byte, bufferSizes[class]), class: class}
	}
	b.data = b.data[:n]
	return b
}

// put takes a buffer back; nil is none.
func (p *bufferPool) put(b *buffer) {
	if b == nil {
		return
	}
	b.data = b.data[:cap(b.data)]
	p.classes[b.class].Put(b)
}
