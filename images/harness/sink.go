package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// maxLine is the record format's limit; lines are closed some way below it.
const (
	maxLine  = 64 << 10
	softLine = 48 << 10
	// One row: 4,096 overheads of at most 11 digits and a comma would break the limit, so rows are cut by bytes, too.
	maxRow = maxLine - 1024
)

// sink writes record lines to the descriptor named by REPRO_FD. Without one it takes everything and writes nothing.
type sink struct {
	mu   sync.Mutex
	file *os.File
	base int64
	buf  []byte
	err  error
}

// openSink opens the descriptor whose number is given; empty means that nobody reads records.
func openSink(number string, base int64) (*sink, error) {
	s := &sink{base: base, buf: make([]byte, 0, 2*maxLine)}
	if number == "" {
		return s, nil
	}
	fd, err := strconv.Atoi(number)
	if err != nil || fd < 1 {
		return nil, fmt.Errorf("%s is %q, not the number of a descriptor", EnvFD, number)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); errno != 0 {
		return nil, fmt.Errorf("%s names descriptor %d: %w", EnvFD, fd, errno)
	}
	if fd > 2 {
		syscall.CloseOnExec(fd)
		// A pipe then goes through the network poller: a slow reader parks one goroutine. A blocking write would hold
		// the only P of a GOMAXPROCS=1 program until the scheduler takes it back, up to 10 ms later.
		_ = syscall.SetNonblock(fd, true)
	}
	s.file = os.NewFile(uintptr(fd), "records")
	return s, nil
}

// put writes whole lines; after the first error it stays silent and keeps that error.
func (s *sink) put(lines []byte) {
	if s.file == nil || s.err != nil {
		return
	}
	if _, err := s.file.Write(lines); err != nil {
		s.err = fmt.Errorf("records: %w", err)
	}
}

// object writes one record that is rare enough for encoding/json.
func (s *sink) object(record any) {
	line, err := json.Marshal(record)
	if err != nil {
		panic(err) // our own types; a test marshals each
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(append(line, '\n'))
}

func (s *sink) phase(name string, ns int64) {
	s.object(struct {
		Kind string `json:"k"`
		Name string `json:"name"`
		NS   int64  `json:"ns"`
	}{"phase", name, ns})
}

// failure is the first error of writing, nil if all went well.
func (s *sink) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// batch writes the rows of a batch in lines of at most maxLine bytes, without allocating.
func (s *sink) batch(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rows := b.rows; len(rows) > 0; {
		var n int
		s.buf, n = appendRows(s.buf[:0], rows, b.overheads, s.base)
		rows = rows[n:]
		s.put(s.buf)
	}
}

const rowsHead = `{"k":"req","rows":[`

// appendRows formats as many rows as fit into one line and says how many that were.
func appendRows(line []byte, rows []row, overheads []int64, base int64) ([]byte, int) {
	line = append(line, rowsHead...)
	n := 0
	for n < len(rows) && (n == 0 || len(line) < softLine && len(line)+24*(rows[n].to-rows[n].from) < maxRow) {
		if n > 0 {
			line = append(line, ',')
		}
		line = appendRow(line, &rows[n], overheads[rows[n].from:rows[n].to], base)
		n++
	}
	return append(line, "]}\n"...), n
}

func appendRow(line []byte, r *row, overheads []int64, base int64) []byte {
	first := int64(0)
	if r.first != 0 {
		first = r.first - base
	}
	line = append(line, '[')
	for _, n := range [...]int64{r.seq, r.sched - base, r.sent - base, first, r.end - base, int64(r.outcome), int64(r.tokens), int64(r.bytes)} {
		line = strconv.AppendInt(line, n, 10)
		line = append(line, ',')
	}
	line = append(line, '[')
	for i, n := range overheads {
		if len(line) > maxRow {
			break
		}
		if i > 0 {
			line = append(line, ',')
		}
		line = strconv.AppendInt(line, n, 10)
	}
	return append(line, ']', ']')
}
