package harness

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"testing"
)

func offsets(arrival string, rateHz float64, seed uint64, n int) []int64 {
	s := newSchedule(arrival, rateHz, seed)
	all := make([]int64, n)
	for i := range all {
		all[i] = s.next()
	}
	return all
}

// The numbers in docs/harness.md. They may never change: a re-run sends at the same moments.
func TestPoissonScheduleIsPinned(t *testing.T) {
	want := []int64{14204238, 21537295, 22272944, 42550994, 62834362, 69600254, 72871523, 89072657}
	if got := offsets(arrivalPoisson, 40, 1, len(want)); !slices.Equal(got, want) {
		t.Errorf("first sends of (poisson, 40/s, seed 1): %v, pinned %v", got, want)
	}
}

// The plan's schedule_sha256 is made by the host (toolkit/model/schedule.py, tests/unit/test_schedule.py has this text).
func TestTheScheduleHasTheDigestThatAPlanNames(t *testing.T) {
	const pinned = "f9a54598388d48983522bd9dff233c26bbd7f4f8756e249250a286251ab8fae5"
	sum := sha256.New()
	for _, at := range offsets(arrivalPoisson, 40, 1, 1000) {
		sum.Write(binary.LittleEndian.AppendUint64(nil, uint64(at)))
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != pinned {
		t.Errorf("digest of (poisson, 40/s, seed 1) is %s, pinned %s", got, pinned)
	}
}

func TestConstantScheduleDoesNotDrift(t *testing.T) {
	if got, want := offsets(arrivalConstant, 3, 1, 4), []int64{0, 333333333, 666666667, 1000000000}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := offsets(arrivalConstant, 3, 1, 300001)[300000]; got != 100000*nsPerSecond {
		t.Errorf("send 300000 at %d ns, want 100000 s", got)
	}
}

func TestPoissonGapsHaveMeanAndVarianceOfTheExponential(t *testing.T) {
	const n, rate = 200000, 100.0
	all := offsets(arrivalPoisson, rate, 7, n)
	if !slices.IsSorted(all) {
		t.Fatal("sends run backwards")
	}
	var sum, squares float64
	for i := 1; i < n; i++ {
		gap := float64(all[i]-all[i-1]) / nsPerSecond
		sum += gap
		squares += gap * gap
	}
	mean := sum / (n - 1)
	deviation := math.Sqrt(squares/(n-1) - mean*mean)
	if math.Abs(mean*rate-1) > 0.01 || math.Abs(deviation*rate-1) > 0.02 {
		t.Errorf("mean %.5f s, deviation %.5f s, want both 0.01", mean, deviation)
	}
}

func TestAnotherSeedIsAnotherSchedule(t *testing.T) {
	if slices.Equal(offsets(arrivalPoisson, 40, 1, 5), offsets(arrivalPoisson, 40, 2, 5)) {
		t.Error("seeds 1 and 2 give one schedule")
	}
}

func TestT0IsTheFirstScheduledSendAfterWarmup(t *testing.T) {
	w := chatWorkload("http://127.0.0.1:1/v1")
	w.WarmupSeconds, w.DurationSeconds, w.DrainSeconds = 2, 10, 3
	const start = int64(1_000_000_000_000)
	cuts := w.cut(start)
	for _, at := range offsets(w.Arrival, w.RateHz, w.Seed, 1000) {
		if at < 2*nsPerSecond {
			continue
		}
		if cuts.t0 != start+at {
			t.Errorf("t0 is %d, the first send after warm-up %d", cuts.t0, start+at)
		}
		break
	}
	if cuts.drain != cuts.t0+10*nsPerSecond || cuts.end != cuts.drain+3*nsPerSecond {
		t.Errorf("cuts %+v", cuts)
	}
}
