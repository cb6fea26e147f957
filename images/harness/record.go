package harness

import (
	"sync"
	"unicode/utf8"
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
	return &batch{rows: make([]row, 0, rows), overheads: make([]int64, 0, rows*frames)}
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
}

// newRecorder makes room for rows requests of frames overheads each between two swaps. More is allowed, and costs an
// allocation the first time.
func newRecorder(rows, frames int) *recorder {
	return &recorder{fill: newBatch(rows, frames)}
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
	r.mu.Unlock()
}

// fail keeps the text of the first few failures of each outcome.
func (r *recorder) fail(seq int64, outcome Outcome, status int, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed[outcome]++
	if r.failed[outcome] <= errorsPerOutcome {
		r.failures = append(r.failures, failure{"error", seq, outcome, status, cut(text)})
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

// cut keeps the first errorTextChars characters.
func cut(text string) string {
	if utf8.RuneCountInString(text) <= errorTextChars {
		return text
	}
	runes := []rune(text)
	return string(runes[:errorTextChars])
}
