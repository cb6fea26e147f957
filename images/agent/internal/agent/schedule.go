package agent

import (
	"sealbench.org/agent/internal/clock"
)

type state int

const (
	before    state = iota // set-up and warm-up
	measuring              // from t0
	after                  // drain and end
)

// drainGraceNs forgives a program that stamps `drain` a moment before the last window's end.
const drainGraceNs = 5 * clock.SecondNs / 1000

// believableNs is how far from now a program's t0 may lie.
const believableNs = 60 * clock.SecondNs

// schedule decides when to wake up and which windows have ended. It reads no clock.
type schedule struct {
	state    state
	origin   int64 // ticks are at origin + n * periodNs; t0 once measuring
	periodNs int64
	windowNs int64
	window   int // the first that has not ended
}

func newSchedule(now, windowNs int64, sampleHz float64) schedule {
	period := clock.SecondNs
	if sampleHz > 1 {
		period = int64(float64(clock.SecondNs) / sampleHz)
	}
	return schedule{origin: now, periodNs: period, windowNs: windowNs}
}

// measure sets t0; false when it was set before or is beyond belief.
func (s *schedule) measure(t0, now int64) bool {
	if s.state != before || t0 < now-believableNs || t0 > now+believableNs {
		return false
	}
	s.state, s.origin = measuring, t0
	return true
}

// due are the windows that have ended by now and were not returned before.
func (s *schedule) due(now int64) []int {
	var ended []int
	for s.state == measuring && now >= s.end(s.window) {
		ended = append(ended, s.window)
		s.window++
	}
	return ended
}

// drain ends the measurement at a time and returns the windows that it completes.
func (s *schedule) drain(at int64) []int {
	ended := s.due(at + drainGraceNs)
	s.state = after
	return ended
}

func (s *schedule) end(window int) int64 { return s.origin + int64(window+1)*s.windowNs }

// next is the time of the next wake-up.
func (s *schedule) next(now int64) int64 {
	tick := s.origin
	if now >= s.origin {
		tick += ((now-s.origin)/s.periodNs + 1) * s.periodNs
	}
	if s.state == measuring {
		tick = min(tick, s.end(s.window))
	}
	return tick
}
