package journal

import (
	"fmt"
	"os"

	"sealbench.org/agent/internal/rawio"
)

// Writer appends frames to a journal file.
type Writer struct {
	file    *os.File
	fd      int
	pending []byte
}

// Create opens path for appending and writes Magic. The host pre-creates the file, because the
// container's root is read-only and its user is nobody's. A file that is not empty belongs to another attempt.
func Create(path string) (*Writer, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() != 0 {
		err = fmt.Errorf("%s is not empty (%d bytes): a journal belongs to one attempt", path, info.Size())
	}
	if err == nil {
		_, err = file.WriteString(Magic)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &Writer{file: file, fd: int(file.Fd())}, nil
}

// Append adds a payload; it reaches the file with the next Flush.
func (w *Writer) Append(payload []byte) { w.pending = AppendFrame(w.pending, payload) }

// Flush writes all appended frames with one system call. The page cache keeps them when the agent is
// killed; against the loss of the whole machine the host syncs when it seals.
func (w *Writer) Flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	err := rawio.Write(w.fd, w.pending)
	w.pending = w.pending[:0]
	if cap(w.pending) > maxKeptBytes {
		w.pending = nil
	}
	return err
}

// maxKeptBytes is the buffer kept between flushes; one burst of lines must not raise the agent's RSS for good.
const maxKeptBytes = 256 << 10

// Close flushes and closes.
func (w *Writer) Close() error {
	err := w.Flush()
	if closeErr := w.file.Close(); err == nil {
		err = closeErr
	}
	return err
}
