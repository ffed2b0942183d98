package archive

import "hash/crc64"

// isoTable is the polynomial of tar-split's checksums.
func updateCRC(crc uint64, p []byte) uint64 { return crc64.Update(crc, isoTable, p) }

var isoTable = crc64.MakeTable(crc64.ISO)
