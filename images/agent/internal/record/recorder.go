// Package record numbers records and hands them to the journal first, to the stream second.
package record

import (
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"sealbench.org/agent/internal/clock"
	"sealbench.org/agent/internal/journal"
	"sealbench.org/agent/internal/pb"
	"sealbench.org/agent/internal/stream"
)

// maxChunkBytes is sent early even inside a window: gRPC servers take 4 MiB by default, and the agent's memory is small.
const maxChunkBytes = 1 << 20

// LinePrefix marks the agent's records on stdout among the program's own output.
const LinePrefix = "@repro "

// Recorder takes records. It is used by one goroutine.
type Recorder struct {
	journal  *journal.Writer // nil: none
	stream   *stream.Client  // nil: none, or lost
	stdout   io.Writer       // nil: not used
	sequence uint64
	scratch  []byte
	chunk    *stream.Chunk // what the stream has not got yet; nil: no stream is expected
}

// New makes a recorder; journal may be nil, stdout is used when it is not nil.
func New(file *journal.Writer, stdout io.Writer) *Recorder {
	return &Recorder{journal: file, stdout: stdout}
}

// Attach adds the stream. It gets the records that were made before, since none was sent.
func (r *Recorder) Attach(client *stream.Client) { r.stream = client }

// Detach gives the stream up.
func (r *Recorder) Detach() {
	r.stream = nil
	r.chunk = nil
}

// Expecting makes the recorder keep records for a stream that is yet to be attached.
func (r *Recorder) Expecting(expected bool) {
	if expected && r.chunk == nil {
		r.chunk = new(stream.Chunk)
	}
}

// Add numbers a record, stamps it and appends it. It reaches the file with Flush and the host with Send.
func (r *Recorder) Add(record *pb.Record) error {
	r.sequence++
	record.Sequence = r.sequence
	record.MonotonicNs = clock.Monotonic()
	if r.stdout != nil {
		return r.print(record)
	}
	var err error
	if r.scratch, err = (proto.MarshalOptions{}).MarshalAppend(r.scratch[:0], record); err != nil {
		return err
	}
	if r.journal != nil {
		r.journal.Append(r.scratch)
	}
	if r.chunk == nil {
		return nil
	}
	r.chunk.Append(r.scratch)
	if r.chunk.Size() < maxChunkBytes || r.stream == nil {
		return nil
	}
	if err := r.Flush(); err != nil {
		return err
	}
	r.Send()
	return nil
}

// print writes one line with one call, so that short lines do not mix with the program's own.
func (r *Recorder) print(record *pb.Record) error {
	text, err := protojson.Marshal(record)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(r.stdout, "%s%s\n", LinePrefix, text)
	return err
}

// Flush writes to the journal.
func (r *Recorder) Flush() error {
	if r.journal == nil {
		return nil
	}
	return r.journal.Flush()
}

// Send hands what was added since the last call to the stream; Flush comes first.
func (r *Recorder) Send() {
	if r.stream == nil || r.chunk.Size() == 0 {
		return
	}
	r.stream.Send(r.chunk)
	// gRPC may still hold the bytes.
	r.chunk = new(stream.Chunk)
	if r.stream.Lost() {
		r.Detach()
	}
}

// Close flushes and closes the journal.
func (r *Recorder) Close() error {
	if r.journal == nil {
		return nil
	}
	return r.journal.Close()
}
