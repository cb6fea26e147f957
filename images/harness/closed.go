package harness

import (
	"sync"
	"sync/atomic"
	"time"

	"sealbench.org/harness/internal/mono"
)

// closedTally is the account of a closed drive.
type closedTally struct {
	Kind        string `json:"k"`
	Sent        int64  `json:"sent"`
	Concurrency int    `json:"concurrency"`
}

// loop is a closed drive: a fixed number of goroutines, each of which sends its next request when its last one ended.
type loop struct {
	session  *session
	requests *pool
	warmed   int64        // the earliest t0
	end      atomic.Int64 // when sending ends; the first request due at or after warmed moves it with t0
	sent     atomic.Int64

	mu sync.Mutex
	t0 atomic.Int64 // 0 until known
}

// closed runs the closed drive. A request is due, which is its scheduled time, at the moment its goroutine's last one
// ended. What lies between that and the send is the generator's own time: recorded, as in the open drive, and judged.
func (s *session) closed() error {
	if err := s.selftest(); err != nil {
		return err
	}
	start := mono.Now()
	d := &loop{session: s, requests: newPool(s.work.newCall, nil), warmed: start + int64(nanoseconds(s.work.WarmupSeconds))}
	d.end.Store(d.warmed + int64(s.work.measured()))
	stop := make(chan struct{})
	defer close(stop)
	go d.requests.watch(s.work.timeout(), stop)
	s.sink.phase("warmup", start)
	s.lines.start(d.warmed)
	d.requests.inFlight.Store(int64(s.work.Concurrency))
	for range s.work.Concurrency {
		go d.run(d.requests.adopt())
	}
	for left := d.end.Load() - mono.Now(); left > 0; left = d.end.Load() - mono.Now() {
		time.Sleep(time.Duration(left)) // t0 may move the end meanwhile
	}
	if !d.requests.idle(grace) {
		s.writeOff(d.requests)
	}
	s.lines.finish()
	s.sink.object(closedTally{"closed", d.sent.Load(), s.work.Concurrency})
	return nil
}

// run sends one request after the other. It starts none that would, going by its longest one so far, not have ended
// when the drive does: cutting it off would record a failure that the SDK has no part in.
func (d *loop) run(c *call) {
	defer d.requests.inFlight.Add(-1)
	var longest int64
	for due := mono.Now(); ; due = c.end {
		d.align(due)
		if due+longest >= d.end.Load() {
			return
		}
		d.session.request(c, ticket{seq: d.sent.Add(1) - 1, sched: due})
		longest = max(longest, c.end-due)
	}
}

// align makes the first due time at or after the end of warm-up t0. Goroutines that were due in between and come here
// later belong to warm-up: what is measured is what is due at or after t0, by everybody's reckoning.
func (d *loop) align(due int64) {
	if d.t0.Load() != 0 || due < d.warmed {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.t0.Load() != 0 {
		return
	}
	drain := due + int64(nanoseconds(d.session.work.DurationSeconds))
	d.end.Store(due + int64(d.session.work.measured()))
	d.session.lines.align(due, mark{"measure", due}, mark{"drain", drain})
	d.t0.Store(due)
}
