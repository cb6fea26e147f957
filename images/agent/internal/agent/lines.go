package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"sealbench.org/agent/internal/rawio"
)

const (
	readBytes = 64 << 10
	// A record of lines stays well below what a frame or a message may hold.
	maxLinesBytes = 256 << 10
	// A line this long breaks the protocol (64 KiB); it is passed on in pieces instead of filling the memory.
	maxPartialBytes = 256 << 10
	// A phase line names its kind first; looking no further keeps request rows from being parsed.
	kindPrefixBytes = 24
)

// phaseMark is a parsed phase line.
type phaseMark struct {
	Kind string `json:"k"`
	Name string `json:"name"`
	Ns   int64  `json:"ns"`
}

var phaseWord = []byte(`"phase"`)

// parsePhase recognises a phase line.
func parsePhase(line []byte) (phaseMark, bool) {
	if !bytes.Contains(line[:min(len(line), kindPrefixBytes)], phaseWord) {
		return phaseMark{}, false
	}
	var mark phaseMark
	if json.Unmarshal(line, &mark) != nil || mark.Kind != "phase" {
		return phaseMark{}, false
	}
	switch mark.Name {
	case "warmup", "measure", "drain", "done":
		return mark, true
	}
	return phaseMark{}, false
}

// lineBuffer cuts what comes from the pipe into whole lines.
type lineBuffer struct {
	whole   []byte // lines with their newlines, not yet recorded
	partial []byte
}

// add takes bytes and calls phase after each phase line, which is then the last one in whole.
func (b *lineBuffer) add(data []byte, full func(), phase func(phaseMark)) {
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			b.partial = append(b.partial, data...)
			if len(b.partial) > maxPartialBytes {
				b.finish()
				full()
			}
			return
		}
		start := len(b.whole)
		b.whole = append(append(b.whole, b.partial...), data[:end+1]...)
		b.partial, data = b.partial[:0], data[end+1:]
		line := b.whole[start : len(b.whole)-1]
		if mark, ok := parsePhase(line); ok {
			phase(mark)
		} else if len(b.whole) > maxLinesBytes {
			full()
		}
	}
}

// take returns the whole lines joined by newlines, valid until the next add.
func (b *lineBuffer) take() []byte {
	text := bytes.TrimSuffix(b.whole, []byte{'\n'})
	b.whole = b.whole[:0]
	return text
}

// finish makes the last line whole, which the program may have left without a newline.
func (b *lineBuffer) finish() {
	if len(b.partial) > 0 {
		b.whole = append(append(b.whole, b.partial...), '\n')
		b.partial = b.partial[:0]
	}
}

// pump reads the pipe with blocking reads and hands each piece over; the buffer is used again after ack.
func pump(records *os.File, pieces chan<- []byte, ack <-chan struct{}) {
	defer close(pieces)
	buffer := make([]byte, readBytes)
	connection, err := records.SyscallConn()
	if err != nil {
		return
	}
	for {
		var n int
		var readErr error
		// The function says false to be called again when the poller sees data.
		err := connection.Read(func(fd uintptr) bool {
			n, readErr = rawio.Read(int(fd), buffer)
			return !errors.Is(readErr, unix.EAGAIN)
		})
		if err != nil || readErr != nil || n == 0 {
			return
		}
		pieces <- buffer[:n]
		<-ack
	}
}
