package layer

import (
	"hash"
	"io"
)

// hashTee passes what is written to it on, while a goroutine of its own hashes
// the same bytes. The caller ends it with stop.
type hashTee struct {
	w      io.Writer
	blocks chan []byte
	hashed chan struct{} // one for each block
}

func newHashTee(w io.Writer, h hash.Hash) *hashTee {
	t := &hashTee{w: w, blocks: make(chan []byte), hashed: make(chan struct{})}
	go func() {
		defer close(t.hashed)
		for block := range t.blocks {
			_, _ = h.Write(block) // a hash never fails
			t.hashed <- struct{}{}
		}
	}()
	return t
}

// Write returns when the block is both hashed and passed on, so the caller may
// use it again.
func (t *hashTee) Write(p []byte) (int, error) {
	t.blocks <- p
	n, err := t.w.Write(p)
	<-t.hashed
	return n, err
}

// stop ends the goroutine; the hash is complete when it returns.
func (t *hashTee) stop() {
	close(t.blocks)
	<-t.hashed
}
