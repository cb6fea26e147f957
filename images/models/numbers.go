package main

import (
	"encoding/binary"
	"math"
)

const (
	quantBlock = 32 // values that share one scale in q8_0
	quantMost  = 127
)

// half rounds to an IEEE 754 binary16, ties to even; what is too large becomes infinite, what is too small zero.
func half(value float32) uint16 {
	bits := math.Float32bits(value)
	sign := uint16(bits >> 16 & 0x8000)
	exponent := int(bits>>23&0xff) - 127 + 15
	mantissa := bits & 0x7fffff
	switch {
	case exponent >= 31:
		return sign | 0x7c00
	case exponent < -10:
		return sign
	case exponent <= 0: // subnormal: the hidden bit becomes visible and everything moves right
		return sign | uint16(roundedShift(mantissa|0x800000, uint(14-exponent)))
	}
	return sign + uint16(roundedShift(uint32(exponent)<<23|mantissa, 13)) // a carry may enter the exponent, as it should
}

func roundedShift(value uint32, by uint) uint32 {
	whole, rest, tie := value>>by, value&(1<<by-1), uint32(1)<<(by-1)
	if rest > tie || rest == tie && whole&1 == 1 {
		whole++
	}
	return whole
}

func floatBytes(values []float32) []byte {
	out := make([]byte, 0, 4*len(values))
	for _, value := range values {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(value))
	}
	return out
}

func halfBytes(values []float32) []byte {
	out := make([]byte, 0, 2*len(values))
	for _, value := range values {
		out = binary.LittleEndian.AppendUint16(out, half(value))
	}
	return out
}

// quantBytes is q8_0: per 32 values a binary16 scale and 32 signed bytes.
func quantBytes(values []float32) []byte {
	out := make([]byte, 0, len(values)/quantBlock*(quantBlock+2))
	for block := 0; block < len(values); block += quantBlock {
		row := values[block : block+quantBlock]
		var most float32
		for _, value := range row {
			most = max(most, float32(math.Abs(float64(value))))
		}
		scale := most / quantMost
		out = binary.LittleEndian.AppendUint16(out, half(scale))
		for _, value := range row {
			level := 0.0
			if scale != 0 {
				level = math.RoundToEven(float64(value / scale))
			}
			out = append(out, byte(int8(level)))
		}
	}
	return out
}
