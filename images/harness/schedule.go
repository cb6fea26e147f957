package harness

import "math"

const (
	arrivalPoisson  = "poisson"
	arrivalConstant = "constant"

	maxRateHz   = 1e6
	nsPerSecond = 1e9
)

// splitmix is SplitMix64 (Steele, Lea, Flood 2014): one addition and three shifts a number, and every seed is good.
type splitmix uint64

func (s *splitmix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// unit is in the open interval (0, 1): the top 53 bits, in the middle of their step, so its logarithm is finite.
func (s *splitmix) unit() float64 {
	return (float64(s.next()>>11) + 0.5) / (1 << 53)
}

// schedule gives the moments of an arrival process as nanoseconds after its start. It is a pure function of arrival,
// rate, seed and index: nothing that happens during a launch moves a later send.
type schedule struct {
	poisson bool
	rateHz  float64
	state   splitmix
	index   int64
	at      int64
}

func newSchedule(arrival string, rateHz float64, seed uint64) *schedule {
	return &schedule{poisson: arrival == arrivalPoisson, rateHz: rateHz, state: splitmix(seed)}
}

// next is the offset of the next send, never before the one of the send before it.
func (s *schedule) next() int64 {
	if !s.poisson {
		// From the index, not by adding gaps: no rounding error piles up.
		at := int64(math.Round(float64(s.index) * (nsPerSecond / s.rateHz)))
		s.index++
		return at
	}
	// The conversion to float64 forbids a fused multiply-add, which would round differently on other processors.
	gap := float64(-math.Log(s.state.unit()) * (nsPerSecond / s.rateHz))
	s.at += int64(gap + 0.5)
	s.index++
	return s.at
}

// phases cuts the schedule: t0 is the first send at or after the end of warm-up.
type phases struct {
	start, t0, drain, end int64 // CLOCK_MONOTONIC ns
}

// cut finds t0 of a schedule that starts at start.
func (w *Workload) cut(start int64) phases {
	s := newSchedule(w.Arrival, w.RateHz, w.Seed)
	warmup := int64(nanoseconds(w.WarmupSeconds))
	at := s.next()
	for at < warmup {
		at = s.next()
	}
	p := phases{start: start, t0: start + at}
	p.drain = p.t0 + int64(nanoseconds(w.DurationSeconds))
	p.end = p.drain + int64(nanoseconds(w.DrainSeconds))
	return p
}
