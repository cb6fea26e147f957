package agent

import (
	"slices"
	"testing"
)

const second = int64(1e9)

func TestWindowsAreCountedFromMeasureAndNotFromTheAgentsStart(t *testing.T) {
	s := newSchedule(3_300_000_000, 10*second, 1)
	t0 := 100*second + 123_456_789
	if !s.measure(t0, t0+2_000_000) {
		t.Fatal("t0 refused")
	}
	if ended := s.due(t0 + 10*second - 1); ended != nil {
		t.Errorf("ended %v a nanosecond early", ended)
	}
	if ended := s.due(t0 + 10*second); !slices.Equal(ended, []int{0}) {
		t.Errorf("ended %v, want 0", ended)
	}
	if ended := s.due(t0 + 10*second + 5); ended != nil {
		t.Errorf("window 0 ended twice: %v", ended)
	}
	// An agent that slept through two ends names both.
	if ended := s.due(t0 + 31*second); !slices.Equal(ended, []int{1, 2}) {
		t.Errorf("ended %v, want 1 and 2", ended)
	}
}

func TestDrainGivesExactlyTheWholeWindows(t *testing.T) {
	t0 := 50 * second
	for at, want := range map[int64]int{t0 + 30*second: 3, t0 + 30*second - 1_000_000: 3, t0 + 29*second: 2, t0 + 39*second: 3, t0 + 9*second: 0} {
		s := newSchedule(0, 10*second, 1)
		s.measure(t0, t0)
		if ended := s.drain(at); len(ended) != want {
			t.Errorf("drain at %d: windows %v, want %d", at, ended, want)
		}
		if ended := s.due(at + 100*second); ended != nil {
			t.Errorf("windows %v after drain", ended)
		}
	}
}

func TestTicksAlignToT0AndEndWithWindows(t *testing.T) {
	s := newSchedule(700_000_000, 10*second, 1)
	if next := s.next(1_900_000_000); next != 2_700_000_000 {
		t.Errorf("before measure the next tick is %d", next)
	}
	t0 := 5*second + 250_000_000
	s.measure(t0, t0)
	for now, want := range map[int64]int64{t0: t0 + second, t0 + 9*second + 1: t0 + 10*second, t0 - 5: t0} {
		if next := s.next(now); next != want {
			t.Errorf("after %d comes %d, want %d", now, next, want)
		}
	}
	odd := newSchedule(0, 1_500_000_000, 1)
	odd.measure(second, second)
	if next := odd.next(2*second + 1); next != 2_500_000_000 {
		t.Errorf("a window's end between two ticks is missed: %d", next)
	}
}

func TestAnUnbelievableOrSecondT0IsNotTaken(t *testing.T) {
	now := 1000 * second
	s := newSchedule(0, 10*second, 1)
	if s.measure(0, now) || s.measure(now+61*second, now) {
		t.Error("a t0 far from now was taken")
	}
	if !s.measure(now+second, now) || s.measure(now+2*second, now) {
		t.Error("the first believable t0 counts, and only the first")
	}
}

func TestLinesAreCutAndPhasesAreFound(t *testing.T) {
	var buffer lineBuffer
	var phases []phaseMark
	var texts []string
	phase := func(mark phaseMark) {
		phases = append(phases, mark)
		texts = append(texts, string(buffer.take()))
	}
	text := "{\"k\":\"hello\"}\n{\"k\":\"phase\",\"name\":\"measure\",\"ns\":42}\n{\"k\":\"req\",\"rows\":[]}\n" +
		"{\"k\": \"phase\", \"name\": \"drain\", \"ns\": 43}\n{\"k\":\"phase\",\"name\":\"unknown\",\"ns\":1}\nrest"
	for i := range len(text) { // the worst cut: one byte at a time
		buffer.add([]byte(text[i:i+1]), func() { t.Error("full") }, phase)
	}
	buffer.finish()
	texts = append(texts, string(buffer.take()))
	if len(phases) != 2 || phases[0].Name != "measure" || phases[0].Ns != 42 || phases[1].Ns != 43 {
		t.Errorf("phases %v", phases)
	}
	joined := texts[0] + "\n" + texts[1] + "\n" + texts[2]
	if joined != text {
		t.Errorf("lines changed on the way:\n%q\n%q", joined, text)
	}
}

func TestALineWithoutEndDoesNotFillTheMemory(t *testing.T) {
	var buffer lineBuffer
	full := 0
	for range 40 {
		buffer.add(make([]byte, readBytes), func() { full += len(buffer.take()) }, func(phaseMark) {})
	}
	if full < 30*readBytes || len(buffer.partial) > maxPartialBytes {
		t.Errorf("%d passed on, %d kept", full, len(buffer.partial))
	}
}
