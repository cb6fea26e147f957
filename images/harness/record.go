package harness

import (
	"sync"
	"syscall"
	"unicode/utf8"
	"unsafe"
)

const (
	errorsPerOutcome = 20
	errorTextChars   = 300
)

// row is one request in a batch; its overheads are batch.overheads[from:to].
type row struct {
	seq, sched, sent, first, end int64
	tokens, bytes                int
	from, to                     int
	outcome                      Outcome
}

type batch struct {
	rows      []row
	overheads []int64
}

func newBatch(rows, frames int) *batch {
	return &batch{rows: offHeap[row](rows), overheads: offHeap[int64](rows * frames)}
}

// offHeap is an empty slice with room for n values without pointers, outside the garbage collector's heap: what the
// harness keeps would else raise the heap goal, and the SDK's garbage would be collected more rarely than its users'.
// Pages are touched, and count as resident, only as they are filled.
func offHeap[T row | int64](n int) []T {
	var one T
	size := n * int(unsafe.Sizeof(one))
	if size == 0 {
		return nil
	}
	memory, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]T, 0, n)
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&memory[0])), n)[:0]
}

// failure is one of the few errors whose text is kept.
type failure struct {
	Kind    string  `json:"k"`
	Seq     int64   `json:"seq"`
	Outcome Outcome `json:"outcome"`
	Status  int     `json:"status"`
	Text    string  `json:"text"`
}

// recorder takes finished requests. Adding one copies numbers into memory that is there already: no allocation, no
// formatting, no system call in the request path. The writer swaps the full batch for an empty one.
type recorder struct {
	mu       sync.Mutex
	fill     *batch
	failures []failure
	failed   [outcomes]int
	crowded  chan struct{} // says that the batch should be swapped before the next tick
}

// newRecorder makes room for rows requests of frames overheads each between two swaps. When three quarters are full it
// asks for a swap. More than rows is allowed, and costs an allocation.
func newRecorder(rows, frames int) *recorder {
	return &recorder{fill: newBatch(rows, frames), crowded: make(chan struct{}, 1)}
}

// roomFor is how many rows a recorder should hold: two seconds of the planned rate; without a plan as many as fit into
// 2 MiB, of which a swap takes place at three quarters: the rest is 50 ms of 100,000 requests a second.
func (w *Workload) roomFor() int {
	const budget, least = 2 << 20, 64
	if w.Drive != driveOpen {
		return max(budget/(int(unsafe.Sizeof(row{}))+8*w.frames()), least)
	}
	return int(w.RateHz*2) + least
}

func (r *recorder) add(c *call, outcome Outcome) {
	r.mu.Lock()
	b := r.fill
	from := len(b.overheads)
	b.overheads = append(b.overheads, c.answer.overheads...)
	b.rows = append(b.rows, row{
		seq: c.seq, sched: c.sched, sent: c.sent, first: c.answer.first, end: c.end,
		tokens: c.answer.tokens(), bytes: c.answer.bytes,
		from: from, to: len(b.overheads), outcome: outcome,
	})
	crowded := 4*len(b.rows) >= 3*cap(b.rows)
	r.mu.Unlock()
	if !crowded {
		return
	}
	select {
	case r.crowded <- struct{}{}:
	default:
	}
}

// fail keeps the text of the first few failures of each outcome.
func (r *recorder) fail(seq int64, outcome Outcome, status int, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed[outcome]++
	if r.failed[outcome] <= errorsPerOutcome {
		r.failures = append(r.failures, failure{"error", seq, outcome, status, cut(text, errorTextChars)})
	}
}

// swap gives what was recorded and takes an empty batch to fill next.
func (r *recorder) swap(empty *batch) (*batch, []failure) {
	empty.rows, empty.overheads = empty.rows[:0], empty.overheads[:0]
	r.mu.Lock()
	defer r.mu.Unlock()
	full, failures := r.fill, r.failures
	r.fill, r.failures = empty, nil
	return full, failures
}

// cut keeps the first characters of a text.
func cut(text string, characters int) string {
	if utf8.RuneCountInString(text) <= characters {
		return text
	}
	return string([]rune(text)[:characters])
}
