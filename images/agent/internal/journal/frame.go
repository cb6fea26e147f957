// Package journal writes and reads the file that is the truth about a container's life.
//
// Layout: Magic, then frames of uint32 little-endian payload length, uint32 little-endian CRC-32C of the payload, payload.
package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// Magic opens every journal.
const Magic = "REPROJ01"

const frameHeaderBytes = 8

// maxPayloadBytes bounds what a reader believes: a corrupted length must not become an allocation.
const maxPayloadBytes = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendFrame appends one frame with this payload to dst.
func AppendFrame(dst, payload []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(payload, castagnoli))
	return append(dst, payload...)
}
