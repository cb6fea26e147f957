package harness

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sealbench.org/harness/internal/mono"
)

// leastRateHz is what any machine does of requests that never leave memory: 10 ms for one would mean that it waits.
const leastRateHz = 100

// launch runs the whole program, but for the process end.
func launch(t *testing.T, w *Workload, f Adapter) []map[string]any {
	t.Helper()
	s, read := testSession(t, w, f)
	if err := s.drive(nil); err != nil {
		t.Fatal(err)
	}
	return read()
}

func TestOpenDriveRecordsEveryRequestAndItsPhases(t *testing.T) {
	w := chatWorkload("x")
	w.RateHz, w.WarmupSeconds, w.DurationSeconds, w.DrainSeconds = 200, 0.3, 1.2, 0.2
	records := launch(t, w, fake{good})
	if records[0]["k"] != "hello" || records[0]["sdk"] != "fake" || records[1]["k"] != "base" {
		t.Errorf("starts with %v, %v", records[0], records[1])
	}
	base := records[1]["ns"].(float64)
	phase := map[string]float64{}
	for _, r := range ofKind(records, "phase") {
		phase[r["name"].(string)] = r["ns"].(float64)
	}
	if got := (phase["drain"] - phase["measure"]) / nsPerSecond; got < 1.1999 || got > 1.2001 {
		t.Errorf("measured for %v s", got)
	}
	if warm := (phase["measure"] - phase["warmup"]) / nsPerSecond; warm < 0.3 || warm > 0.4 {
		t.Errorf("warm-up of %v s", warm)
	}
	account := ofKind(records, "open")[0]
	rows := rowsOf(records)
	want := offsets(w.Arrival, w.RateHz, w.Seed, len(rows))
	if int(account["scheduled"].(float64)) != len(rows) || account["sent"] != account["scheduled"] || account["dropped"] != 0.0 {
		t.Errorf("%d rows, %v", len(rows), account)
	}
	seen := false
	for _, r := range rows {
		sched := int64(base + r[1].(float64) - phase["warmup"])
		if at := want[int(r[0].(float64))]; sched-at > 1000 || at-sched > 1000 { // float64 holds ns of days only roughly
			t.Fatalf("request %v was scheduled %d ns after the start, not %d", r[0], sched, at)
		}
		if r[5] != 0.0 || r[6] != 128.0 || r[7] != 2560.0 || len(r[8].([]any)) != 128 {
			t.Fatalf("row %v", r)
		}
		seen = seen || base+r[1].(float64) == phase["measure"]
	}
	if !seen {
		t.Error("no request was scheduled at t0")
	}
	for _, second := range []float64{0, 1} {
		if !hasSnapshot(records, phase["measure"]+second*nsPerSecond) {
			t.Errorf("no snapshot at t0 + %v s", second)
		}
	}
	if rate := ofKind(records, "selftest")[0]["rate_hz"].(float64); rate < leastRateHz {
		t.Errorf("self-test %v/s", rate)
	}
}

func hasSnapshot(records []map[string]any, at float64) bool {
	for _, r := range ofKind(records, "go") {
		if late := r["ns"].(float64) - at; late >= 0 && late < nsPerSecond { // then the next one is due
			return true
		}
	}
	return false
}

func TestAStalledClientMakesDropsNotLateSends(t *testing.T) {
	w := chatWorkload("x")
	w.Arrival, w.RateHz, w.MaxInFlight = arrivalConstant, 100, 5
	w.WarmupSeconds, w.DurationSeconds, w.DrainSeconds = 0, 0.5, 0
	var called atomic.Int64
	records := launch(t, w, fake{func(ctx context.Context, _ *Answer) error {
		called.Add(1)
		<-ctx.Done()
		return context.Cause(ctx)
	}})
	account := ofKind(records, "open")[0]
	if account["scheduled"] != 50.0 || account["sent"] != 5.0 || account["dropped"] != 45.0 || account["max_in_flight"] != 5.0 {
		t.Errorf("account %v", account)
	}
	if called.Load() != 5 {
		t.Errorf("%d requests really sent", called.Load())
	}
	rows := rowsOf(records)
	if len(rows) != 5 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		if r[5] != float64(Timeout) {
			t.Errorf("a request that was cut off is outcome %v", r[5])
		}
	}
}

func TestARequestThatIgnoresItsContextIsStillRecorded(t *testing.T) {
	w := chatWorkload("x")
	w.Arrival, w.RateHz, w.WarmupSeconds, w.DurationSeconds, w.DrainSeconds = arrivalConstant, 10, 0, 0.2, 0
	release := make(chan struct{})
	defer close(release)
	records := launch(t, w, fake{func(context.Context, *Answer) error { <-release; return nil }})
	rows := rowsOf(records)
	if len(rows) != 2 || rows[0][5] != float64(Timeout) || rows[1][5] != float64(Timeout) {
		t.Errorf("rows %v", rows)
	}
}

func TestTimeoutsEndRequestsAndLaterOnesGoOn(t *testing.T) {
	w := chatWorkload("x")
	w.Arrival, w.RateHz, w.RequestTimeoutSeconds = arrivalConstant, 20, 0.05
	w.WarmupSeconds, w.DurationSeconds, w.DrainSeconds = 0, 0.5, 0
	var n atomic.Int64
	records := launch(t, w, fake{func(ctx context.Context, a *Answer) error {
		if n.Add(1)%2 == 0 {
			<-ctx.Done()
			return ctx.Err() // an SDK that loses the cause
		}
		return good(ctx, a)
	}})
	count := map[any]int{}
	for _, r := range rowsOf(records) {
		count[r[5]]++
	}
	if count[0.0] != 5 || count[float64(Timeout)] != 5 {
		t.Errorf("outcomes %v", count)
	}
	if texts := ofKind(records, "error"); len(texts) != 5 || texts[0]["text"] != errTimeout.Error() {
		t.Errorf("texts %v", texts)
	}
}

func TestErrorsCarryTheirText(t *testing.T) {
	w := chatWorkload("x")
	records := launch(t, w, fake{func(context.Context, *Answer) error { return fmt.Errorf("x: %w", errTired) }})
	texts := ofKind(records, "error")
	if len(texts) == 0 || len(texts) > errorsPerOutcome || texts[0]["text"] != "x: the model is tired" || texts[0]["outcome"] != float64(Other) {
		t.Errorf("texts %v", texts)
	}
}

func TestUsageErrorsExit64(t *testing.T) {
	ok := `{"schema":"repro.workload/1","workload":"chat-stream-128","drive":"bench","base_url":"http://127.0.0.1:1","tokens":128}`
	for text, want := range map[string]string{
		"":  "is not set",
		"{": "unexpected EOF",
		strings.Replace(ok, `"tokens"`, `"token"`, 1):                                                         "unknown field",
		strings.Replace(ok, "bench", "ajar", 1):                                                               "drive",
		strings.Replace(ok, "bench", "closed", 1):                                                             "duration_seconds",
		strings.Replace(ok, `"tokens"`, `"concurrency":0,"tokens"`, 1):                                        "concurrency",
		strings.Replace(ok, `"tokens"`, `"kind":"vision","tokens"`, 1):                                        "kind",
		strings.Replace(ok, `"tokens"`, `"text_unit":"syllables","tokens"`, 1):                                "text_unit",
		strings.Replace(ok, `"tokens"`, `"kind":"probe","tokens"`, 1):                                         "go together",
		strings.Replace(ok, `"tokens"`, `"tls":true,"tokens"`, 1):                                             "control_url",
		strings.Replace(ok, `"http://127.0.0.1:1"`, `""`, 1):                                                  "model_path",
		strings.Replace(ok, `"tokens"`, `"kind":"similarity","dimensions":8,"t"`, 1):                          "unknown field",
		strings.Replace(ok, `"tokens"`, `"kind":"similarity","dimensions":8,"vectors":5,"top":6,"tokens"`, 1): "top",
		strings.Replace(ok, "bench", "open", 1):                                                               "arrival",
		strings.Replace(ok, "chat-stream-128", "vision-1", 1):                                                 "kind",
		strings.Replace(ok, "workload/1", "workload/2", 1):                                                    "schema",
		strings.Replace(ok, "chat-stream-128", "embed-512", 1):                                                "dimensions",
		ok + "{}": "after the object",
	} {
		if _, err := parseWorkload(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	t.Setenv(EnvWorkload, ok)
	t.Setenv(EnvFD, "")
	if code := run(func() int { return 0 }, fake{good}, Identity{}); code != exitUsage {
		t.Errorf("a bench drive without a benchmark ended with %d", code)
	}
	t.Setenv(EnvWorkload, strings.Replace(ok, `"chat-stream-128"`, `"embed-512","dimensions":768`, 1))
	if code := run(nil, fake{good}, Identity{}); code != exitUsage {
		t.Errorf("an SDK without embeddings ended with %d", code)
	}
}

func TestBenchTextIsRecordedAndPassedOn(t *testing.T) {
	w := chatWorkload("x")
	w.Drive, w.WarmupSeconds = driveBench, 0.01
	token := stampToken(1)
	s, read := testSession(t, w, fake{func(_ context.Context, a *Answer) error {
		for range 128 {
			a.Text(token)
		}
		a.Finish("length")
		return nil
	}})
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	real := os.Stdout
	os.Stdout = out
	err = s.bench(func() int {
		result := testing.Benchmark(s.benchmark)
		fmt.Printf("goos: linux\nBenchmarkWorkload/chat-stream-128 \t%s\t%s\nPASS\n", result, result.MemString())
		return 0
	})
	os.Stdout = real
	_ = out.Close()
	if err != nil {
		t.Fatal(err)
	}
	passed := make([]byte, 4096)
	n, _ := in.Read(passed)
	if !strings.HasPrefix(string(passed[:n]), "goos: linux\nBenchmark") || !strings.HasSuffix(string(passed[:n]), "\nPASS\n") {
		t.Errorf("standard output %q", passed[:n])
	}
	records := read()
	lines := ofKind(records, "bench")
	if len(lines) != 1 || !strings.Contains(lines[0]["line"].(string), "0 errors/op") || !strings.Contains(lines[0]["line"].(string), " 0 allocs/op") {
		t.Errorf("records %v", lines)
	}
	if len(ofKind(records, "go")) < 2 || len(ofKind(records, "phase")) != 1 {
		t.Errorf("%d snapshots, phases %v", len(ofKind(records, "go")), ofKind(records, "phase"))
	}
}

func TestDispatchIsFarBelowAMillisecond(t *testing.T) {
	if testing.Short() {
		t.Skip("a timing test")
	}
	// Held against what the machine itself can do at that time, before the drive and after it: a thread that waits for
	// the same timer and hands nothing over. time.Sleep never reaches this, even on a quiet machine: a third of its sends
	// are later.
	const limit, quietAttempts, most = time.Millisecond, 3, 12
	quiet, best := 0, 0.0
	for attempt := 0; attempt < most && quiet < quietAttempts && best < 0.8; attempt++ {
		before := wakesWithin(t, limit)
		best = max(best, shareWithin(t, limit))
		if min(before, wakesWithin(t, limit)) > 0.95 {
			quiet++
		}
	}
	switch {
	case best >= 0.8:
	case quiet < quietAttempts:
		t.Skipf("others are at work here: in %d attempts not even a timer came within %v often enough", most, limit)
	default:
		t.Errorf("at best %.0f %% of the sends within %v, while a timer alone was on time", 100*best, limit)
	}
}

// wakesWithin is the share of the wake-ups of a timer that came within a time of when they were due.
func wakesWithin(t *testing.T, limit time.Duration) float64 {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	timer, err := mono.NewTimer()
	if err != nil {
		t.Fatal(err)
	}
	defer timer.Close()
	const wakes = 200
	within, due := 0, mono.Now()
	for range wakes {
		due += int64(2 * time.Millisecond)
		if err := timer.WaitUntil(due); err != nil {
			t.Fatal(err)
		}
		if mono.Now()-due < int64(limit) {
			within++
		}
	}
	return float64(within) / wakes
}

// shareWithin is the share of the sends of a short drive that were dispatched within a time of their schedule.
func shareWithin(t *testing.T, limit time.Duration) float64 {
	t.Helper()
	w := chatWorkload("x")
	w.RateHz, w.WarmupSeconds, w.DurationSeconds = 500, 0.2, 1
	within, all := 0, 0
	for _, r := range rowsOf(launch(t, w, fake{good})) {
		all++
		if r[2].(float64)-r[1].(float64) < float64(limit) {
			within++
		}
	}
	return float64(within) / float64(all)
}
