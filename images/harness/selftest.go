package harness

import (
	"runtime"
	"time"

	"sealbench.org/harness/internal/mono"
)

const selftestTime = 150 * time.Millisecond

// selftest finds the rate that this generator could sustain on this CPU, were the SDK free: it schedules, waits,
// hands over, stamps every frame, records and formats, only the request itself is nothing.
func (s *session) selftest() error {
	rate, err := headroom(s.work, selftestTime)
	if err != nil {
		return err
	}
	s.sink.object(struct {
		Kind   string  `json:"k"`
		RateHz float64 `json:"rate_hz"`
	}{"selftest", rate})
	return nil
}

func headroom(w *Workload, limit time.Duration) (float64, error) {
	const inFlight, rowsPerSwap = 4, 128
	timer, err := mono.NewTimer()
	if err != nil {
		return 0, err
	}
	defer timer.Close()
	rec, spare := newRecorder(rowsPerSwap, w.frames()), newBatch(rowsPerSwap, w.frames())
	requests := newPool(w.newCall, func(c *call, t ticket) {
		c.begin(t, w.timeout())
		w.pretend(&c.answer)
		c.close()
		rec.add(c, OK)
	})
	defer close(requests.work)
	plan := newSchedule(arrivalPoisson, maxRateHz, w.Seed)
	line := make([]byte, 0, 2*maxLine)
	start := mono.Now()
	for n := int64(1); ; n++ {
		// A moment ahead, so that each send arms the timer and goes through the poller.
		plan.next()
		if err := timer.WaitUntil(mono.Now() + 1000); err != nil {
			return 0, err
		}
		for requests.inFlight.Load() >= inFlight {
			runtime.Gosched()
		}
		requests.send(ticket{seq: n, sched: start})
		if n%rowsPerSwap != 0 {
			continue
		}
		for requests.inFlight.Load() > 0 {
			runtime.Gosched()
		}
		full, _ := rec.swap(spare)
		for rows := full.rows; len(rows) > 0; {
			var fit int
			line, fit = appendRows(line[:0], rows, full.overheads, start)
			rows = rows[fit:]
		}
		spare = full
		if elapsed := mono.Now() - start; elapsed >= int64(limit) {
			return float64(n) / (float64(elapsed) / nsPerSecond), nil
		}
	}
}

// pretend hands over what a request would.
func (w *Workload) pretend(a *Answer) {
	switch w.kind() {
	case kindEmbed:
		a.Vector32(make([]float32, w.Dimensions))
		return
	case kindSimilarity:
		for id := range w.Top {
			a.Hit(id, 0)
		}
		return
	}
	for range w.Tokens {
		a.Text("w000000000000000000 ")
	}
	a.Finish("length")
}
