package stream

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"sealbench.org/agent/internal/pb"
)

// recordsField is the number of Chunk.records.
const recordsField = 1

// blockBytes is how much of a chunk is allocated at once; one slice that grows would leave twice its size as garbage.
const blockBytes = 32 << 10

// headerBytes holds a field's tag and length.
const headerBytes = 8

// Chunk is a Chunk message in its wire form, in blocks. It is nothing but its records one after the other, so what the
// journal holds is streamed without being encoded again.
type Chunk struct {
	blocks [][]byte
	size   int
}

// Append adds an encoded Record.
func (c *Chunk) Append(record []byte) {
	last := len(c.blocks) - 1
	if last < 0 || cap(c.blocks[last])-len(c.blocks[last]) < len(record)+headerBytes {
		c.blocks = append(c.blocks, make([]byte, 0, c.nextBlock(len(record)+headerBytes)))
		last++
	}
	before := len(c.blocks[last])
	c.blocks[last] = protowire.AppendTag(c.blocks[last], recordsField, protowire.BytesType)
	c.blocks[last] = protowire.AppendBytes(c.blocks[last], record)
	c.size += len(c.blocks[last]) - before
}

// nextBlock starts small: chunks outside a measurement hold a sample and a few lines.
func (c *Chunk) nextBlock(need int) int {
	return max(need, min(blockBytes, max(1024, c.size)))
}

// Size is the length of the message.
func (c *Chunk) Size() int { return c.size }

type codec struct{}

var _ encoding.CodecV2 = codec{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(value any) (mem.BufferSlice, error) {
	chunk, ok := value.(*Chunk)
	if !ok {
		return nil, fmt.Errorf("this stream sends chunks, not %T", value)
	}
	buffers := make(mem.BufferSlice, len(chunk.blocks))
	for i, block := range chunk.blocks {
		buffers[i] = mem.SliceBuffer(block)
	}
	return buffers, nil
}

func (codec) Unmarshal(data mem.BufferSlice, value any) error {
	directive, ok := value.(*pb.Directive)
	if !ok {
		return fmt.Errorf("this stream receives directives, not %T", value)
	}
	return proto.Unmarshal(data.Materialize(), directive)
}
