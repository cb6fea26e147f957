package main

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
)

const maxDimensions = 65536

// vectors holds the part of an embedding that does not change, as text, so that an answer costs little to write.
type vectors struct {
	values []float32
	text   []byte // ",v4,v5,..."
}

func newVectors(seed uint64, dimensions int) *vectors {
	v := &vectors{values: make([]float32, dimensions)}
	state := splitmix(seed)
	for i := stampPieces; i < dimensions; i++ {
		v.values[i] = float32(2*state.unit() - 1)
		v.text = append(v.text, ',')
		v.text = strconv.AppendFloat(v.text, float64(v.values[i]), 'g', -1, 32)
	}
	return v
}

// appendFloats appends the embedding as a JSON array.
func (v *vectors) appendFloats(to []byte, ns int64) []byte {
	to = append(to, '[')
	for i, piece := range stampVector(ns) {
		if i > 0 {
			to = append(to, ',')
		}
		// As many digits as a float64 needs: the shortest text of a float32 is another number to who reads float64.
		to = strconv.AppendFloat(to, float64(piece), 'g', -1, 64)
	}
	return append(append(to, v.text...), ']')
}

// appendBase64 appends it as a JSON string of base64 over little-endian float32.
func (v *vectors) appendBase64(to []byte, ns int64) []byte {
	raw := make([]byte, 4*len(v.values))
	for i, value := range v.values {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(value))
	}
	for i, piece := range stampVector(ns) {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(piece))
	}
	to = append(to, '"')
	to = base64.StdEncoding.AppendEncode(to, raw)
	return append(to, '"')
}

// stampVector is the write time in 16-bit pieces, most significant first, each divided by 65536: a float32 holds such
// a number exactly.
func stampVector(ns int64) [stampPieces]float32 {
	var pieces [stampPieces]float32
	for i := range pieces {
		pieces[i] = float32(uint16(ns>>(16*(stampPieces-1-i)))) / pieceScale
	}
	return pieces
}

// splitmix is SplitMix64, as in the harness.
type splitmix uint64

func (s *splitmix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// unit is in the open interval (0, 1).
func (s *splitmix) unit() float64 {
	return (float64(s.next()>>11) + 0.5) / (1 << 53)
}
