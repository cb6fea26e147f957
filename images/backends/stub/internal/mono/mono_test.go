package mono

import (
	"testing"
	"time"
)

func TestNowAgreesWithTheKernel(t *testing.T) {
	for range 100 {
		before := Now()
		raw := kernelNS()
		after := Now()
		// A microsecond of slack: the anchor itself is known to a fraction of one system call.
		if raw < before-1000 || raw > after+1000 {
			t.Fatalf("kernel says %d, we said %d before and %d after", raw, before, after)
		}
	}
}

func TestTimerNeverWakesEarly(t *testing.T) {
	timer, err := NewTimer()
	if err != nil {
		t.Fatal(err)
	}
	defer timer.Close()
	for range 20 {
		due := Now() + int64(300*time.Microsecond)
		if err := timer.WaitUntil(due); err != nil {
			t.Fatal(err)
		}
		if now := Now(); now < due {
			t.Fatalf("woke %d ns early", due-now)
		}
	}
}

func TestTimerReturnsAtOnceForThePast(t *testing.T) {
	timer, err := NewTimer()
	if err != nil {
		t.Fatal(err)
	}
	defer timer.Close()
	if err := timer.WaitUntil(Now() - 1); err != nil {
		t.Fatal(err)
	}
}

func TestNothingHereAllocates(t *testing.T) {
	timer, err := NewTimer()
	if err != nil {
		t.Fatal(err)
	}
	defer timer.Close()
	if n := testing.AllocsPerRun(100, func() { _ = timer.WaitUntil(Now() + 20_000) }); n != 0 {
		t.Errorf("a wait allocates %v times", n)
	}
}
