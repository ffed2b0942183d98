package archive

import "io"

// asyncWriter lets the tar-split lines be packed and written on a goroutine of
// their own. At most asyncDepth pieces wait. It is for one writing goroutine.
type asyncWriter struct {
	in   chan []byte
	back chan []byte   // used pieces
	done chan struct{} // closed when the writing goroutine has ended
	err  error         // set before failed is closed
	fail chan struct{}
}

const asyncDepth = 4

func newAsyncWriter(w io.Writer) *asyncWriter {
	a := &asyncWriter{
		in:   make(chan []byte, asyncDepth),
		back: make(chan []byte, asyncDepth),
		done: make(chan struct{}),
		fail: make(chan struct{}),
	}
	go a.run(w)
	return a
}

func (a *asyncWriter) run(w io.Writer) {
	defer close(a.done)
	for p := range a.in {
		if a.err != nil {
			continue
		}
		if _, a.err = w.Write(p); a.err != nil {
			close(a.fail)
			continue
		}
		select {
		case a.back <- p:
		default:
		}
	}
}

// Write hands a copy of p over; the error may be an earlier piece's.
func (a *asyncWriter) Write(p []byte) (int, error) {
	var buf []byte
	select {
	case buf = <-a.back:
	default:
	}
	select {
	case a.in <- append(buf[:0], p...):
		return len(p), nil
	case <-a.fail:
		return 0, a.err
	}
}

// Close waits until all is written.
func (a *asyncWriter) Close() error {
	close(a.in)
	<-a.done
	return a.err
}
