package main

import (
	"crypto/sha256"
	"encoding/binary"
)

// The standard deviation of a sum of four uniform 16-bit numbers, sqrt(4 * (65536^2 - 1) / 12), and its mean.
const (
	sumDeviation = 37837.22739892962
	sumMean      = 2 * 65535
)

// stream is a SplitMix64 generator: small, fast, and the same everywhere.
type stream uint64

// streamOf gives each tensor a stream of its own, so that a tensor's values do not depend on its neighbours.
func streamOf(name string) *stream {
	sum := sha256.Sum256([]byte(name))
	s := stream(binary.LittleEndian.Uint64(sum[:]))
	return &s
}

func (s *stream) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// bell is nearly normal with the given standard deviation. A sum of integers, then one multiplication: no logarithm or
// cosine, whose last bit may differ between processors and versions of a library.
func (s *stream) bell(deviation float64) float32 {
	z := s.next()
	sum := int(z&0xffff) + int(z>>16&0xffff) + int(z>>32&0xffff) + int(z>>48)
	return float32(float64(sum-sumMean) * (deviation / sumDeviation))
}

// bells fills a tensor of n values.
func bells(name string, n int, deviation float64) []float32 {
	s := streamOf(name)
	found := make([]float32, n)
	for i := range found {
		found[i] = s.bell(deviation)
	}
	return found
}

// filled is a tensor of one value.
func filled(n int, value float32) []float32 {
	found := make([]float32, n)
	for i := range found {
		found[i] = value
	}
	return found
}
