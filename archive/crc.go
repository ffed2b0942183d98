package archive

import (
	"encoding/binary"
	"hash/crc64"
)

// crcTable is the polynomial of tar-split's checksums: P = x^64 + x^4 + x^3 + x + 1.
var crcTable = crc64.MakeTable(crc64.ISO)

// crcBlock is how many bytes one round of updateCRC takes: a word for each of
// four lanes, which do not wait for each other.
const crcBlock = 32

// updateCRC is crc64.Update for crcTable, several times faster: P has so few
// terms that multiplying by a power of x and reducing is a handful of shifts,
// and needs no table. Bit 63-i of a word stands for x^i, as in package crc64.
func updateCRC(crc uint64, p []byte) uint64 {
	if len(p) >= 2*crcBlock {
		n := len(p) &^ (crcBlock - 1)
		crc = ^crcLanes(^crc, p[:n])
		p = p[n:]
	}
	return crc64.Update(crc, crcTable, p)
}

// crcLanes takes at least one block, and only whole ones.
func crcLanes(crc uint64, p []byte) uint64 {
	a := crc ^ binary.LittleEndian.Uint64(p)
	b := binary.LittleEndian.Uint64(p[8:])
	c := binary.LittleEndian.Uint64(p[16:])
	d := binary.LittleEndian.Uint64(p[24:])
	for p = p[crcBlock:]; len(p) >= crcBlock; p = p[crcBlock:] {
		a = timesX256(a) ^ binary.LittleEndian.Uint64(p)
		b = timesX256(b) ^ binary.LittleEndian.Uint64(p[8:])
		c = timesX256(c) ^ binary.LittleEndian.Uint64(p[16:])
		d = timesX256(d) ^ binary.LittleEndian.Uint64(p[24:])
	}
	return timesX64(timesX64(timesX64(timesX64(a)^b)^c) ^ d)
}

// timesX64 multiplies by x^64, which is x^4 + x^3 + x + 1 modulo P. What that
// pushes past x^63 counts once more.
func timesX64(v uint64) uint64 {
	return small(v ^ v<<63 ^ v<<61 ^ v<<60)
}

// timesX256 multiplies by x^256, which is (x^4 + x^3 + x + 1)^4, and that is
// x^16 + x^12 + x^4 + 1 where 1 + 1 is 0.
func timesX256(v uint64) uint64 {
	low := v ^ v>>4
	return low ^ low>>12 ^ small(v<<60^v<<52^v<<48)
}

// small multiplies by x^4 + x^3 + x + 1 = (x + 1)(x^3 + 1) and lets go of what
// does not fit.
func small(v uint64) uint64 {
	v ^= v >> 1
	return v ^ v>>3
}
