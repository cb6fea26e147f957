package harness

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"sealbench.org/harness/internal/mono"
)

// benchWarmup opens connections and grows stacks before the first benchmark; go test -bench itself knows no warm-up.
const benchWarmup = time.Second

// current is the session that Benchmark finds; Main sets it, since testing calls benchmarks without arguments.
var current *session

// Benchmark is BenchmarkWorkload: it runs the workload of this launch as a sub-benchmark of its name.
func Benchmark(b *testing.B) {
	s := current
	if s == nil {
		b.Fatal("harness.Main has not run: TestMain must call it")
	}
	b.Run(s.work.Name, s.benchmark)
}

// benchmark is one unit of work per iteration, one after the other.
func (s *session) benchmark(b *testing.B) {
	b.ReportAllocs()
	s.benchmarks++
	requests := newPool(s.work.newCall, nil)
	c := requests.adopt()
	stop := make(chan struct{})
	defer close(stop)
	go requests.watch(s.work.timeout(), stop)
	var seq, failed int64
	for b.Loop() {
		if outcome, _ := s.once(c, ticket{seq: seq, sched: mono.Now()}); outcome != OK {
			failed++
		}
		seq++
	}
	b.ReportMetric(float64(failed)/float64(b.N), "errors/op")
}

// bench runs go test's own benchmark loop and carries its text.
func (s *session) bench(run func() int) error {
	s.benchWarm()
	t0 := mono.Now()
	s.sink.phase("measure", t0)
	s.lines.start(t0)
	code, err := s.tee(run)
	s.lines.finish()
	if err != nil {
		return err
	}
	if s.benchmarks == 0 {
		return &usageError{errors.New("drive bench, but no benchmark ran: the command needs -test.bench=^BenchmarkWorkload$")}
	}
	if code != 0 {
		return fmt.Errorf("go test ended with %d", code)
	}
	return nil
}

func (s *session) benchWarm() {
	c := s.work.newCall()
	limit := min(benchWarmup, nanoseconds(s.work.WarmupSeconds))
	for end := mono.Now() + int64(limit); mono.Now() < end; {
		if outcome, _ := s.once(c, ticket{sched: mono.Now()}); outcome != OK {
			return // the benchmark will say so; a dead backend is not asked ten thousand times
		}
	}
}

// tee runs go test with its standard output in a pipe, passes every byte on, and records each line. The lines reach
// standard output unchanged, so benchstat reads either copy.
func (s *session) tee(run func() int) (int, error) {
	stdout := os.Stdout
	in, out, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	os.Stdout = out
	copied := make(chan error, 1)
	go func() { copied <- s.copyLines(in, stdout) }()
	code := run()
	os.Stdout = stdout
	_ = out.Close()
	return code, <-copied
}

func (s *session) copyLines(in io.Reader, out io.Writer) error {
	reader := bufio.NewReader(in)
	for {
		line, err := reader.ReadString('\n')
		if _, werr := io.WriteString(out, line); werr != nil {
			out = io.Discard // nobody reads standard output; the records still count
		}
		if text := strings.TrimRight(line, "\n"); isBenchText(text) {
			s.sink.object(struct {
				Kind string `json:"k"`
				Line string `json:"line"`
			}{"bench", text})
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// isBenchText keeps result lines: "BenchmarkX  100  1500 ns/op ...". The "goos: linux" lines above them say what the
// hello record says.
func isBenchText(line string) bool {
	return strings.HasPrefix(line, "Benchmark") && strings.Contains(line, " ns/op")
}
