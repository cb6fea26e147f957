package harness

import (
	"sync"
	"time"

	"sealbench.org/harness/internal/mono"
)

// mark is a phase to be announced when its time has come.
type mark struct {
	name string
	ns   int64
}

// move is a t0 that was not known when the writer started.
type move struct {
	t0    int64
	marks []mark
}

// writer is the one goroutine that turns what was measured into record lines: about once a second, away from the
// request path, with its ticks at t0 + k seconds so that a snapshot of the Go runtime stands at every window boundary.
type writer struct {
	sink  *sink
	rec   *recorder
	stats *goStats
	spare *batch
	moves chan move
	stop  chan struct{}
	done  sync.WaitGroup
	once  sync.Once
}

func newWriter(s *sink, rec *recorder) *writer {
	spare := newBatch(cap(rec.fill.rows), cap(rec.fill.overheads)/cap(rec.fill.rows))
	return &writer{sink: s, rec: rec, stats: newGoStats(), spare: spare, moves: make(chan move, 1), stop: make(chan struct{})}
}

// start begins ticking at t0 + k s (k may be negative) and announces each mark when its time has come.
func (w *writer) start(t0 int64, marks ...mark) {
	w.done.Add(1)
	go w.run(t0, marks)
}

// align moves the ticks to t0 + k s, at once, and gives the marks to announce. It does not wait, and may be called once.
func (w *writer) align(t0 int64, marks ...mark) { w.moves <- move{t0, marks} }

// finish writes what is left and ends the goroutine. It may be called twice.
func (w *writer) finish() {
	w.once.Do(func() { close(w.stop) })
	w.done.Wait()
}

func (w *writer) run(t0 int64, marks []mark) {
	defer w.done.Done()
	const second = int64(time.Second)
	tick := after(t0, second, mono.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		due := tick
		if len(marks) > 0 {
			due = min(due, marks[0].ns)
		}
		timer.Reset(time.Duration(due - mono.Now()))
		ended := false
		select {
		case <-w.rec.crowded:
			w.flushRows()
			continue
		case next := <-w.moves:
			t0, marks = next.t0, next.marks
		case <-w.stop:
			ended = true
		case <-timer.C:
		}
		now := mono.Now()
		for len(marks) > 0 && marks[0].ns <= now {
			w.sink.phase(marks[0].name, marks[0].ns)
			marks = marks[1:]
		}
		w.flush()
		if ended {
			return
		}
		tick = after(t0, second, now)
	}
}

// after is the first t0 + k*step that lies after now.
func after(t0, step, now int64) int64 {
	if now < t0 {
		return t0 - (t0-now-1)/step*step
	}
	return t0 + ((now-t0)/step+1)*step
}

// flush writes a snapshot first, while its time is right, then the requests and the errors.
func (w *writer) flush() {
	line := w.stats.read(mono.Now())
	w.sink.mu.Lock()
	w.sink.put(line)
	w.sink.mu.Unlock()
	w.flushRows()
}

func (w *writer) flushRows() {
	full, failures := w.rec.swap(w.spare)
	w.sink.batch(full)
	w.spare = full
	for _, f := range failures {
		w.sink.object(f)
	}
}
