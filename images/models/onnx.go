package main

import (
	"encoding/binary"
	"math"
)

// ONNX is protocol buffers; the few messages that a graph needs are written by hand. The numbers are the fields of
// onnx.proto.
const (
	irVersion = 8
	opset     = 17

	onnxFloat = 1
	onnxInt64 = 7

	attributeFloat = 1
	attributeInt   = 2
	attributeInts  = 7

	wireVarint = 0
	wireBytes  = 2
	wireFixed4 = 5
)

// message is the encoded form of a protocol buffer.
type message []byte

func (m *message) varint(field int, value int64) {
	*m = binary.AppendUvarint(*m, uint64(field<<3|wireVarint))
	*m = binary.AppendUvarint(*m, uint64(value))
}

func (m *message) bytes(field int, value []byte) {
	*m = binary.AppendUvarint(*m, uint64(field<<3|wireBytes))
	*m = append(binary.AppendUvarint(*m, uint64(len(value))), value...)
}

func (m *message) text(field int, value string) {
	m.bytes(field, []byte(value))
}

func (m *message) real(field int, value float32) {
	*m = binary.AppendUvarint(*m, uint64(field<<3|wireFixed4))
	*m = binary.LittleEndian.AppendUint32(*m, math.Float32bits(value))
}

// attribute is one named setting of a node: exactly one of the values is used.
type attribute struct {
	name string
	kind int
	i    int64
	f    float32
	ints []int64
}

func integer(name string, value int64) attribute {
	return attribute{name: name, kind: attributeInt, i: value}
}

func real32(name string, value float32) attribute {
	return attribute{name: name, kind: attributeFloat, f: value}
}

func integers(name string, values ...int64) attribute {
	return attribute{name: name, kind: attributeInts, ints: values}
}

func (a attribute) message() message {
	var m message
	m.text(1, a.name)
	switch a.kind {
	case attributeFloat:
		m.real(2, a.f)
	case attributeInt:
		m.varint(3, a.i)
	case attributeInts:
		for _, value := range a.ints {
			m.varint(8, value)
		}
	}
	m.varint(20, int64(a.kind))
	return m
}

// graph collects nodes and constants in the order in which they are added. A constant is known by its name.
type graph struct {
	nodes, constants message
}

// op adds a node with one output, which is named like the node, and returns that name.
func (g *graph) op(kind string, inputs []string, output string, attributes ...attribute) string {
	var node message
	for _, input := range inputs {
		node.text(1, input)
	}
	node.text(2, output)
	node.text(3, output)
	node.text(4, kind)
	for _, one := range attributes {
		node.bytes(5, one.message())
	}
	g.nodes.bytes(1, node)
	return output
}

func (g *graph) constant(name string, kind int, data []byte, shape []int64) string {
	var tensor message
	for _, size := range shape {
		tensor.varint(1, size)
	}
	tensor.varint(2, int64(kind))
	tensor.text(8, name)
	tensor.bytes(9, data)
	g.constants.bytes(5, tensor)
	return name
}

func (g *graph) reals(name string, values []float32, shape ...int64) string {
	return g.constant(name, onnxFloat, floatBytes(values), shape)
}

func (g *graph) integers(name string, values ...int64) string {
	data := make([]byte, 0, 8*len(values))
	for _, value := range values {
		data = binary.LittleEndian.AppendUint64(data, uint64(value))
	}
	return g.constant(name, onnxInt64, data, []int64{int64(len(values))})
}

// valueInfo describes an input or output; a dimension of 0 is a free one, named in turn batch and sequence.
func valueInfo(name string, kind int, dimensions ...int64) message {
	free := []string{"batch", "sequence"}
	var shape message
	for i, size := range dimensions {
		var dimension message
		if size == 0 {
			dimension.text(2, free[i])
		} else {
			dimension.varint(1, size)
		}
		shape.bytes(1, dimension)
	}
	var tensor, kinds, info message
	tensor.varint(1, int64(kind))
	tensor.bytes(2, shape)
	kinds.bytes(1, tensor)
	info.text(1, name)
	info.bytes(2, kinds)
	return info
}

// model wraps the graph into a file.
func (g *graph) model(name string, inputs, outputs []message) message {
	body := append(message(nil), g.nodes...)
	body.text(2, name)
	body = append(body, g.constants...)
	for _, input := range inputs {
		body.bytes(11, input)
	}
	for _, output := range outputs {
		body.bytes(12, output)
	}
	var set, file message
	set.text(1, "")
	set.varint(2, opset)
	file.varint(1, irVersion)
	file.text(2, name)
	file.bytes(7, body)
	file.bytes(8, set)
	return file
}
