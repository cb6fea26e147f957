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
	end      atomic.Int64 // when sending ends; the first request at or after warmed moves it with t0
	sent     atomic.Int64

	mu sync.Mutex
	t0 atomic.Int64 // 0 until known
}

// closed runs the closed drive. It has no schedule, so a request's scheduled time is its sent time, and no self-test:
// it sends as fast as the SDK answers, and the generator's own time between two requests is in no latency.
func (s *session) closed() error {
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
	for {
		now := d.stamp()
		if now+longest >= d.end.Load() {
			return
		}
		d.session.request(c, ticket{seq: d.sent.Add(1) - 1, sched: now, sent: now})
		longest = max(longest, c.end-now)
	}
}

// stamp is the time of the next send. The first one at or after the end of warm-up is t0; no later call gives an
// earlier time, so that "at or after t0" and "measured" are the same set of requests.
func (d *loop) stamp() int64 {
	if d.t0.Load() != 0 {
		return mono.Now()
	}
	now := mono.Now()
	if now < d.warmed {
		return now
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now = mono.Now()
	if d.t0.Load() == 0 {
		drain := now + int64(nanoseconds(d.session.work.DurationSeconds))
		d.end.Store(now + int64(d.session.work.measured()))
		d.session.lines.align(now, mark{"measure", now}, mark{"drain", drain})
		d.t0.Store(now)
	}
	return now
}
