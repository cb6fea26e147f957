package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"google.golang.org/protobuf/proto"

	"sealbench.org/agent/internal/pb"
)

// ErrNotJournal says that a file does not open with Magic.
var ErrNotJournal = errors.New("not a journal: it does not begin with " + Magic)

// Read returns the records of a journal's bytes up to the first frame that is short, has a wrong checksum
// or is no Record, and how many bytes it left unread from there.
func Read(data []byte) (records []*pb.Record, leftBytes int, err error) {
	if len(data) < len(Magic) || string(data[:len(Magic)]) != Magic {
		return nil, len(data), ErrNotJournal
	}
	rest := data[len(Magic):]
	for len(rest) >= frameHeaderBytes {
		length := binary.LittleEndian.Uint32(rest)
		if length > maxPayloadBytes || int(length) > len(rest)-frameHeaderBytes {
			break
		}
		payload := rest[frameHeaderBytes : frameHeaderBytes+int(length)]
		if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(rest[4:]) {
			break
		}
		record := new(pb.Record)
		if proto.Unmarshal(payload, record) != nil {
			break
		}
		records = append(records, record)
		rest = rest[frameHeaderBytes+int(length):]
	}
	return records, len(rest), nil
}
