package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// GGUF version 3: key-value pairs, the list of tensors, their data; all little-endian.
const (
	ggufVersion   = 3
	ggufAlignment = 32

	typeUint32  = 4
	typeInt32   = 5
	typeFloat32 = 6
	typeBool    = 7
	typeString  = 8
	typeArray   = 9
)

// encoding is how a tensor's values are stored.
type encoding uint32

const (
	asFloat encoding = 0
	asHalf  encoding = 1
	asQuant encoding = 8
)

// What general.file_type says of most tensors of a file.
const (
	fileFloat = 0
	fileHalf  = 1
	fileQuant = 7
)

func (e encoding) bytes(values []float32) []byte {
	switch e {
	case asHalf:
		return halfBytes(values)
	case asQuant:
		return quantBytes(values)
	default:
		return floatBytes(values)
	}
}

type tensor struct {
	name  string
	shape []int // the fastest dimension first, as ggml counts
	as    encoding
	data  []byte
}

// gguf collects a file; pairs and tensors keep the order in which they were added.
type gguf struct {
	pairs   []byte
	count   uint64
	tensors []tensor
}

func appendString(out []byte, text string) []byte {
	return append(binary.LittleEndian.AppendUint64(out, uint64(len(text))), text...)
}

func (g *gguf) key(name string, kind uint32) {
	g.count++
	g.pairs = binary.LittleEndian.AppendUint32(appendString(g.pairs, name), kind)
}

func (g *gguf) text(name, value string) {
	g.key(name, typeString)
	g.pairs = appendString(g.pairs, value)
}

func (g *gguf) number(name string, value int) {
	g.key(name, typeUint32)
	g.pairs = binary.LittleEndian.AppendUint32(g.pairs, uint32(value))
}

func (g *gguf) real(name string, value float32) {
	g.key(name, typeFloat32)
	g.pairs = binary.LittleEndian.AppendUint32(g.pairs, math.Float32bits(value))
}

func (g *gguf) flag(name string, value bool) {
	g.key(name, typeBool)
	if value {
		g.pairs = append(g.pairs, 1)
	} else {
		g.pairs = append(g.pairs, 0)
	}
}

func (g *gguf) array(name string, kind uint32, n int) {
	g.key(name, typeArray)
	g.pairs = binary.LittleEndian.AppendUint32(g.pairs, kind)
	g.pairs = binary.LittleEndian.AppendUint64(g.pairs, uint64(n))
}

func (g *gguf) texts(name string, values []string) {
	g.array(name, typeString, len(values))
	for _, value := range values {
		g.pairs = appendString(g.pairs, value)
	}
}

func (g *gguf) reals(name string, values []float32) {
	g.array(name, typeFloat32, len(values))
	g.pairs = append(g.pairs, floatBytes(values)...)
}

func (g *gguf) integers(name string, values []int32) {
	g.array(name, typeInt32, len(values))
	for _, value := range values {
		g.pairs = binary.LittleEndian.AppendUint32(g.pairs, uint32(value))
	}
}

func (g *gguf) tensor(name string, as encoding, values []float32, shape ...int) {
	g.tensors = append(g.tensors, tensor{name, shape, as, as.bytes(values)})
}

func padding(n int) int {
	return (ggufAlignment - n%ggufAlignment) % ggufAlignment
}

// write writes the file.
func (g *gguf) write(out io.Writer) error {
	head := append([]byte("GGUF"), binary.LittleEndian.AppendUint32(nil, ggufVersion)...)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(g.tensors)))
	head = binary.LittleEndian.AppendUint64(head, g.count)
	head = append(head, g.pairs...)
	offset := 0
	for _, one := range g.tensors {
		head = binary.LittleEndian.AppendUint32(appendString(head, one.name), uint32(len(one.shape)))
		for _, size := range one.shape {
			head = binary.LittleEndian.AppendUint64(head, uint64(size))
		}
		head = binary.LittleEndian.AppendUint32(head, uint32(one.as))
		head = binary.LittleEndian.AppendUint64(head, uint64(offset))
		offset += len(one.data) + padding(len(one.data))
	}
	head = append(head, make([]byte, padding(len(head)))...)
	if _, err := out.Write(head); err != nil {
		return fmt.Errorf("gguf header: %w", err)
	}
	for _, one := range g.tensors {
		if _, err := out.Write(append(one.data, make([]byte, padding(len(one.data)))...)); err != nil {
			return fmt.Errorf("tensor %s: %w", one.name, err)
		}
	}
	return nil
}
