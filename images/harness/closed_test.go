package harness

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func closedWorkload(concurrency int) *Workload {
	w := chatWorkload("x")
	w.Drive, w.Concurrency, w.RateHz = driveClosed, concurrency, 0
	w.WarmupSeconds, w.DurationSeconds, w.DrainSeconds = 0.2, 0.5, 0.2
	return w
}

func phasesOf(records []map[string]any) map[string]float64 {
	phase := map[string]float64{}
	for _, r := range ofKind(records, "phase") {
		phase[r["name"].(string)] = r["ns"].(float64)
	}
	return phase
}

func TestClosedDriveSendsWhenTheLastRequestEnded(t *testing.T) {
	w := closedWorkload(3)
	var inFlight, most atomic.Int64
	records := launch(t, w, fake{func(ctx context.Context, a *Answer) error {
		most.Store(max(most.Load(), inFlight.Add(1)))
		defer inFlight.Add(-1)
		time.Sleep(2 * time.Millisecond)
		return good(ctx, a)
	}})
	account, rows := ofKind(records, "closed")[0], rowsOf(records)
	if account["sent"] != float64(len(rows)) || account["concurrency"] != 3.0 || len(rows) < 2*3 {
		t.Errorf("%d rows, account %v", len(rows), account)
	}
	if most.Load() != 3 {
		t.Errorf("%d requests in flight together, not 3", most.Load())
	}
	if len(ofKind(records, "selftest")) != 1 || len(ofKind(records, "open")) != 0 {
		t.Error("a closed drive has a self-test and no schedule")
	}
	seen := map[any]bool{}
	for _, r := range rows {
		if r[5] != 0.0 || seen[r[0]] {
			t.Fatalf("row %v", r)
		}
		seen[r[0]] = true
	}
}

// The generator's own time is in the records: from the end of a request, when the next one is due, to its send.
func TestARequestOfAClosedDriveIsDueWhenTheOneBeforeItEnded(t *testing.T) {
	records := launch(t, closedWorkload(1), fake{func(ctx context.Context, a *Answer) error {
		time.Sleep(time.Millisecond)
		return good(ctx, a)
	}})
	rows := rowsOf(records)
	if len(rows) < 5 {
		t.Fatalf("%d rows", len(rows))
	}
	for i, r := range rows[1:] {
		if r[1] != rows[i][4] {
			t.Fatalf("request %v was due at %v, the one before it ended at %v", r[0], r[1], rows[i][4])
		}
		if r[2].(float64) < r[1].(float64) {
			t.Fatalf("request %v was sent before it was due", r[0])
		}
	}
}

func TestAGeneratorThatStallsBetweenTwoRequestsShowsInItsRows(t *testing.T) {
	const stall = 3 * time.Millisecond
	s, read := testSession(t, closedWorkload(1), fake{good})
	free := s.target
	s.target = func(ctx context.Context, seq int64, a *Answer) error {
		// Held here, the recorder keeps the goroutine back after its request has ended.
		s.rec.mu.Lock()
		time.AfterFunc(stall, s.rec.mu.Unlock)
		return free(ctx, seq, a)
	}
	if err := s.drive(nil); err != nil {
		t.Fatal(err)
	}
	rows := rowsOf(read())
	if len(rows) < 5 {
		t.Fatalf("%d rows", len(rows))
	}
	late := 0
	for _, r := range rows[1:] {
		if r[2].(float64)-r[1].(float64) > float64(stall)/3 {
			late++
		}
	}
	// Where the machine itself stalls for longer, some of it falls into the request.
	if late < len(rows)/2 {
		t.Errorf("only %d of %d sends show the stall", late, len(rows))
	}
}

func TestTheSelfTestOfAClosedDriveUsesAllSlotsThatCanRun(t *testing.T) {
	w := closedWorkload(4)
	rate, err := closedHeadroom(w, 30*time.Millisecond)
	if err != nil || rate < leastRateHz {
		t.Errorf("%v/s, %v", rate, err)
	}
	w.Kind, w.Dimensions = kindEmbed, 768
	if vectors, err := closedHeadroom(w, 30*time.Millisecond); err != nil || vectors < leastRateHz {
		t.Errorf("%v/s, %v", vectors, err)
	}
}

func TestT0OfAClosedDriveIsItsFirstDueTimeAfterWarmup(t *testing.T) {
	w := closedWorkload(4)
	w.WarmupSeconds, w.DurationSeconds, w.DrainSeconds = 0.5, 2, 1 // longer than a machine stalls
	records := launch(t, w, fake{func(ctx context.Context, a *Answer) error {
		time.Sleep(time.Millisecond)
		return good(ctx, a)
	}})
	phase, base := phasesOf(records), records[1]["ns"].(float64)
	if len(phase) != 3 {
		t.Fatalf("phases %v", phase)
	}
	warmed := phase["warmup"] + w.WarmupSeconds*nsPerSecond
	if phase["measure"] < warmed {
		t.Errorf("t0 is %v ns before the end of warm-up", warmed-phase["measure"])
	}
	if measured := (phase["drain"] - phase["measure"]) / nsPerSecond; measured < 1.9999 || measured > 2.0001 {
		t.Errorf("measured for %v s", measured)
	}
	first := 1e18
	for _, r := range rowsOf(records) {
		if due := base + r[1].(float64); due >= phase["measure"]-1000 { // float64 holds ns of days only roughly
			first = min(first, due)
		}
	}
	if late := first - phase["measure"]; late > 1000 {
		t.Errorf("the first request after warm-up was due %v ns after t0", late)
	}
	if !hasSnapshot(records, phase["measure"]) {
		t.Error("no snapshot at t0")
	}
}

func TestAClosedDriveStartsNothingThatCouldNotEnd(t *testing.T) {
	w := closedWorkload(1)
	w.WarmupSeconds, w.DurationSeconds, w.DrainSeconds = 0, 1.4, 1.4
	begun := time.Now()
	records := launch(t, w, fake{func(ctx context.Context, a *Answer) error {
		time.Sleep(time.Second)
		return good(ctx, a)
	}})
	// A third one would be cut off. The second one ends 0.8 s before the drive, so that a machine that stalls cuts none.
	if n := len(rowsOf(records)); n == 0 || n > 2 {
		t.Errorf("%d requests of a second in 2.8 s", n)
	}
	for _, r := range rowsOf(records) {
		if r[5] != 0.0 {
			t.Errorf("row %v", r)
		}
	}
	if took := time.Since(begun); took < 2700*time.Millisecond {
		t.Errorf("took %v: the phases must be full, whatever the requests do", took)
	}
}

func TestAClosedDriveThatHangsIsWrittenOff(t *testing.T) {
	w := closedWorkload(2)
	release := make(chan struct{})
	defer close(release)
	records := launch(t, w, fake{func(context.Context, *Answer) error { <-release; return nil }})
	rows := rowsOf(records)
	if len(rows) != 2 || rows[0][5] != float64(Timeout) || rows[1][5] != float64(Timeout) {
		t.Errorf("rows %v", rows)
	}
}

// At the highest rate there can be, with the writer at work, nothing of ours allocates, and no row is lost.
func TestAClosedDriveAtFullSpeedAllocatesNothing(t *testing.T) {
	w := closedWorkload(1)
	w.Name, w.Kind, w.Vectors, w.Top, w.Dimensions = "similarity-8x4", kindSimilarity, 8, 2, 4
	w.WarmupSeconds, w.DurationSeconds, w.DrainSeconds = 0.05, 0.15, 0
	// The runtime counts objects when a span of them is given back: those of the tests before this one now, not later.
	runtime.GC()
	records := launch(t, w, &memory{})
	snapshots := ofKind(records, "go")
	var from, to map[string]any
	phase := phasesOf(records)
	for _, one := range snapshots {
		if from == nil && one["ns"].(float64) >= phase["measure"] {
			from = one
		}
		to = one
	}
	objects := to["alloc_objects"].(float64) - from["alloc_objects"].(float64)
	rows := rowsOf(records)
	t.Logf("%d requests, %v objects", len(rows), objects)
	// So many that one object a request would stand out, on a machine that does a hundredth of what others do.
	if len(rows) < 1000 {
		t.Errorf("only %d requests", len(rows))
	}
	// What is left is the runtime's own, the writer's timers, and a few hundred of before: nothing that grows with the
	// requests.
	if objects > 500+float64(len(rows))/100 {
		t.Errorf("%v objects for %d requests", objects, len(rows))
	}
	if ofKind(records, "closed")[0]["sent"] != float64(len(rows)) {
		t.Errorf("%d rows, %v", len(rows), ofKind(records, "closed")[0])
	}
}

// memory is an SDK that keeps vectors and finds the nearest ones without allocating.
type memory struct {
	mu      sync.Mutex
	vectors [][]float32
	spoil   func(hits []hit) []hit
	scores  []hit
}

func (m *memory) Describe() Description         { return Description{} }
func (m *memory) Open(Settings) (Client, error) { return m, nil }
func (m *memory) Close() error                  { return nil }
func (m *memory) Load(_ context.Context, vectors [][]float32) error {
	m.vectors = vectors
	m.scores = make([]hit, 0, len(vectors)+1)
	return nil
}

func (m *memory) Search(_ context.Context, query []float32, top int, answer *Answer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	best := m.scores[:0]
	for id, vector := range m.vectors {
		best = append(best, hit{id, float32(dot(vector, query))})
		for i := len(best) - 1; i > 0 && best[i].score > best[i-1].score; i-- {
			best[i], best[i-1] = best[i-1], best[i]
		}
		best = best[:min(len(best), top)]
	}
	if m.spoil != nil {
		best = m.spoil(best)
	}
	for _, one := range best {
		answer.Hit(one.id, one.score)
	}
	return nil
}
