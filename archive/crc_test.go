package archive

import (
	"hash/crc64"
	"math/rand/v2"
	"testing"
)

func TestCRCIsTheLibrarys(t *testing.T) {
	data := make([]byte, 1000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	for n := range data {
		start := rng.Uint64()
		if got, want := updateCRC(start, data[n/3:n]), crc64.Update(start, crcTable, data[n/3:n]); got != want {
			t.Fatalf("%d bytes from %x: %x, want %x", n-n/3, start, got, want)
		}
	}
}

func BenchmarkCRC(b *testing.B) {
	data := make([]byte, 64<<10)
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			updateCRC(1, data)
		}
	})
	b.Run("library", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			crc64.Update(1, crcTable, data)
		}
	})
}
