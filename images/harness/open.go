package harness

import (
	"time"

	"sealbench.org/harness/internal/mono"
)

const (
	// Requests still in flight when arrivals end get this long; then they are cancelled, and get it once more.
	grace = 400 * time.Millisecond
	// Time from "now" to the first scheduled send, so that the schedule does not begin in the past.
	leadIn = 5 * time.Millisecond
)

// tally is the account of an open drive: scheduled = sent + dropped.
type tally struct {
	Kind        string `json:"k"`
	Scheduled   int64  `json:"scheduled"`
	Sent        int64  `json:"sent"`
	Dropped     int64  `json:"dropped"`
	MaxInFlight int64  `json:"max_in_flight"`
}

// open runs the open drive: sends go out when the schedule says so, whatever became of the ones before.
func (s *session) open() error {
	if err := s.selftest(); err != nil {
		return err
	}
	timer, err := mono.NewTimer()
	if err != nil {
		return err
	}
	defer timer.Close()
	requests := newPool(s.work.newCall, s.request)
	stop := make(chan struct{})
	defer close(stop)
	go requests.watch(s.work.timeout(), stop)

	cuts := s.work.cut(mono.Now() + int64(leadIn))
	s.sink.phase("warmup", cuts.start)
	s.lines.start(cuts.t0, mark{"measure", cuts.t0}, mark{"drain", cuts.drain})
	account, err := dispatch(timer, requests, s.work, cuts)
	if err != nil {
		return err
	}
	if !requests.idle(grace) {
		s.writeOff(requests)
	}
	s.lines.finish()
	s.sink.object(account)
	return nil
}

// dispatch waits for each send of the schedule and hands it to a request goroutine. A send that finds the cap reached
// is dropped: it would otherwise be late, and late sends measure this generator.
func dispatch(timer *mono.Timer, requests *pool, w *Workload, cuts phases) (tally, error) {
	account := tally{Kind: "open"}
	plan := newSchedule(w.Arrival, w.RateHz, w.Seed)
	for {
		at := cuts.start + plan.next()
		if at >= cuts.end {
			account.MaxInFlight = requests.peak
			return account, nil
		}
		if err := timer.WaitUntil(at); err != nil {
			return account, err
		}
		seq := account.Scheduled
		account.Scheduled++
		if requests.inFlight.Load() >= int64(w.MaxInFlight) {
			account.Dropped++
			continue
		}
		account.Sent++
		requests.send(ticket{seq: seq, sched: at})
	}
}

// writeOff cancels what is still in flight and records what does not even end then.
func (s *session) writeOff(requests *pool) {
	requests.each(func(c *call) { c.expire(1<<63 - 1) })
	if requests.idle(grace) {
		return
	}
	requests.each(func(c *call) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.deadline == 0 {
			return
		}
		c.left = true
		// The goroutine may still write into its answer; only fields that are guarded by c.mu are read here.
		s.rec.add(&call{seq: c.seq, sched: c.sched, sent: c.sent, end: mono.Now()}, Timeout)
		s.rec.fail(c.seq, Timeout, 0, "still in flight after the end of drain, and did not end when cancelled")
	})
}
