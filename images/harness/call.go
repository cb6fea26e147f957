package harness

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"sealbench.org/harness/internal/mono"
)

// call is the state of one request, reused for the next one of the same goroutine.
//
// A context with a deadline costs a timer and five allocations a request, which would be counted as the SDK's. So the
// context of a call lives on until it is cancelled, which only a timeout does, and one watchdog looks at all of them.
type call struct {
	mu       sync.Mutex
	deadline int64 // 0: idle
	expired  bool
	left     bool // written off at the end of the launch: its row is out already
	ctx      context.Context
	cancel   context.CancelCauseFunc

	seq, sched, sent, end int64
	answer                Answer
}

// newCall has room for what one answer can hold.
func (w *Workload) newCall() *call {
	c := &call{answer: Answer{overheads: make([]int64, 0, w.frames()), hits: make([]hit, 0, w.Top), byWords: w.ours()}}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

func (c *call) begin(t ticket, timeout time.Duration) {
	c.answer.reset()
	c.mu.Lock()
	c.seq, c.sched, c.end = t.seq, t.sched, 0
	c.sent = mono.Now()
	c.deadline = c.sent + int64(timeout)
	c.mu.Unlock()
}

// close ends the request and says whether the watchdog had cancelled it, and whether its row is out already.
func (c *call) close() (expired, left bool) {
	c.end = mono.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	expired, left = c.expired, c.left
	c.deadline, c.expired = 0, false
	if expired {
		c.ctx, c.cancel = context.WithCancelCause(context.Background())
	}
	return expired, left
}

// expire cancels the request if its time is up.
func (c *call) expire(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline != 0 && now >= c.deadline && !c.expired {
		c.expired = true
		c.cancel(errTimeout)
	}
}

// ticket is one send and the moment it is due.
type ticket struct {
	seq, sched int64
}

// pool runs requests on goroutines that stay: a stack grown once is not grown again inside a measured request. There
// are only as many as were ever in flight together, so that the program's goroutine count stays the SDK's.
type pool struct {
	serve    func(*call, ticket)
	work     chan ticket
	fresh    func() *call
	inFlight atomic.Int64
	peak     int64 // of the sending goroutine alone

	mu    sync.Mutex
	calls []*call
}

func newPool(fresh func() *call, serve func(*call, ticket)) *pool {
	return &pool{serve: serve, work: make(chan ticket), fresh: fresh}
}

// adopt makes a call that the watchdog looks after.
func (p *pool) adopt() *call {
	c := p.fresh()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, c)
	return c
}

// send starts a request and does not wait for it.
func (p *pool) send(t ticket) {
	p.peak = max(p.peak, p.inFlight.Add(1))
	select {
	case p.work <- t:
	default:
		p.spawn(t)
	}
}

func (p *pool) spawn(t ticket) {
	c := p.adopt()
	go func() {
		p.serve(c, t)
		p.inFlight.Add(-1)
		for t := range p.work {
			p.serve(c, t)
			p.inFlight.Add(-1)
		}
	}()
}

// each visits all calls, busy or not.
func (p *pool) each(visit func(*call)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		visit(c)
	}
}

// watch cancels requests whose time is up, until stop is closed.
func (p *pool) watch(timeout time.Duration, stop <-chan struct{}) {
	const shortest, longest = 10 * time.Millisecond, 500 * time.Millisecond
	ticker := time.NewTicker(min(max(timeout/20, shortest), longest))
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			now := mono.Now()
			p.each(func(c *call) { c.expire(now) })
		}
	}
}

// idle waits until nothing is in flight; false when the time ran out first.
func (p *pool) idle(limit time.Duration) bool {
	for end := mono.Now() + int64(limit); p.inFlight.Load() > 0; time.Sleep(2 * time.Millisecond) {
		if mono.Now() >= end {
			return false
		}
	}
	return true
}
