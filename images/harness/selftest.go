package harness

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"sealbench.org/harness/internal/mono"
)

const (
	selftestTime = 150 * time.Millisecond
	rowsPerSwap  = 128 // of a self-test
)

// selftest finds the rate that this generator could sustain on these CPUs, were the SDK free: it schedules and waits
// (drive open) or takes what is due (drive closed), hands over, stamps every frame, records and formats, only the
// request itself is nothing.
func (s *session) selftest() error {
	find := openHeadroom
	if s.work.Drive == driveClosed {
		find = closedHeadroom
	}
	rate, err := find(s.work, selftestTime)
	if err != nil {
		return err
	}
	s.sink.object(struct {
		Kind   string  `json:"k"`
		RateHz float64 `json:"rate_hz"`
	}{"selftest", rate})
	return nil
}

// openHeadroom goes through the timer for each send: what one scheduling goroutine can do.
func openHeadroom(w *Workload, limit time.Duration) (float64, error) {
	const inFlight = 4
	timer, err := mono.NewTimer()
	if err != nil {
		return 0, err
	}
	defer timer.Close()
	kept := newScratch(w, 1)
	requests := newPool(w.newCall, kept.serve)
	defer close(requests.work)
	plan := newSchedule(arrivalPoisson, maxRateHz, w.Seed)
	for n := int64(1); ; n++ {
		// A moment ahead, so that each send arms the timer and goes through the poller.
		plan.next()
		if err := timer.WaitUntil(mono.Now() + 1000); err != nil {
			return 0, err
		}
		for requests.inFlight.Load() >= inFlight {
			runtime.Gosched()
		}
		requests.send(ticket{seq: n, sched: kept.start})
		if n%rowsPerSwap != 0 {
			continue
		}
		for requests.inFlight.Load() > 0 {
			runtime.Gosched()
		}
		kept.drain()
		if elapsed := mono.Now() - kept.start; elapsed >= int64(limit) {
			return perSecond(n, elapsed), nil
		}
	}
}

// closedHeadroom runs as many slots as the drive has and the CPUs can run at once.
func closedHeadroom(w *Workload, limit time.Duration) (float64, error) {
	slots := min(w.Concurrency, runtime.GOMAXPROCS(0))
	kept := newScratch(w, slots)
	end := kept.start + int64(limit)
	var sent atomic.Int64
	var running sync.WaitGroup
	for range slots {
		running.Go(func() {
			c := w.newCall()
			for due := mono.Now(); due < end; due = c.end {
				n := sent.Add(1)
				kept.serve(c, ticket{seq: n - 1, sched: due})
				if n%rowsPerSwap == 0 {
					kept.drain()
				}
			}
		})
	}
	running.Wait()
	return perSecond(sent.Load(), mono.Now()-kept.start), nil
}

func perSecond(n, elapsedNS int64) float64 { return float64(n) / (float64(elapsedNS) / nsPerSecond) }

// scratch is what a self-test records into: a recorder of its own, and lines that nobody reads.
type scratch struct {
	work  *Workload
	rec   *recorder
	start int64
	found []float32 // the embedding of every request

	mu    sync.Mutex
	spare *batch
	line  []byte
}

// newScratch has room for slots that add rows while another one drains.
func newScratch(w *Workload, slots int) *scratch {
	rows := rowsPerSwap * (slots + 1)
	return &scratch{
		work: w, rec: newRecorder(rows, w.frames()), spare: newBatch(rows, w.frames()),
		line: make([]byte, 0, 2*maxLine), found: make([]float32, w.Dimensions), start: mono.Now(),
	}
}

// serve is a request that takes no time.
func (s *scratch) serve(c *call, t ticket) {
	c.begin(t, s.work.timeout())
	s.pretend(&c.answer)
	c.close()
	s.rec.add(c, OK)
}

// drain formats what was recorded, as the writer does.
func (s *scratch) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	full, _ := s.rec.swap(s.spare)
	for rows := full.rows; len(rows) > 0; {
		var fit int
		s.line, fit = appendRows(s.line[:0], rows, full.overheads, s.start)
		rows = rows[fit:]
	}
	s.spare = full
}

// pretend hands over what a request would.
func (s *scratch) pretend(a *Answer) {
	switch s.work.kind() {
	case kindEmbed:
		a.Vector32(s.found)
		return
	case kindSimilarity:
		for id := range s.work.Top {
			a.Hit(id, 0)
		}
		return
	}
	for range s.work.Tokens {
		a.Text("w000000000000000000 ")
	}
	a.Finish("length")
}
