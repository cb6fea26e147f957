package harness

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"sealbench.org/harness/internal/mono"
)

const harnessVersion = "1"

// session is one launch inside the container.
type session struct {
	work    *Workload
	adapter Adapter
	client  Client
	target  target
	judge   *judge
	sink    *sink
	rec     *recorder
	lines   *writer

	benchmarks int
}

// newSession opens the SDK and the record descriptor.
func newSession(w *Workload, adapter Adapter, id Identity, fd string) (*session, error) {
	base := mono.Now()
	out, err := openSink(fd, base)
	if err != nil {
		return nil, err
	}
	if w.TLS {
		ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
		defer cancel()
		if err := newControl(w.ControlURL).trust(ctx); err != nil {
			return nil, fmt.Errorf("the authority of %s: %w", w.BaseURL, err)
		}
	}
	s := &session{work: w, adapter: adapter, sink: out, judge: newJudge(w, nil)}
	if w.Drive != driveProbe { // whose experiments open clients of their own
		if err := s.connect(); err != nil {
			return nil, fmt.Errorf("%s: %w", id.SDK, err)
		}
	}
	s.rec = newRecorder(w.roomFor(), w.frames())
	s.lines = newWriter(out, s.rec)
	s.hello(id, adapter.Describe())
	out.object(struct {
		Kind string `json:"k"`
		NS   int64  `json:"ns"`
	}{"base", base})
	return s, nil
}

// connect opens the client that all requests share.
func (s *session) connect() error {
	client, err := s.adapter.Open(s.work.settings())
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	s.client = client
	s.target, err = s.bind()
	return err
}

// request runs one request, judges it and records it.
func (s *session) request(c *call, t ticket) {
	outcome, kept := s.once(c, t)
	if kept {
		s.rec.add(c, outcome)
	}
}

// once runs and judges one request; kept is false if the request had been written off before it ended.
func (s *session) once(c *call, t ticket) (outcome Outcome, kept bool) {
	c.begin(t, s.work.timeout())
	err := s.target(c.ctx, t.seq, &c.answer)
	expired, left := c.close()
	if left {
		return Timeout, false
	}
	switch {
	case expired:
		s.rec.fail(t.seq, Timeout, 0, errTimeout.Error())
		return Timeout, true
	case err != nil:
		outcome, status := classify(err)
		s.rec.fail(t.seq, outcome, status, err.Error())
		return outcome, true
	}
	outcome, text := s.judge.fault(t.seq, &c.answer)
	if outcome != OK {
		a := &c.answer
		s.rec.fail(t.seq, outcome, 0, fmt.Sprintf("%s (%d tokens, %d components, %d hits)", text, a.tokens(), a.vector, len(a.hits)))
	}
	return outcome, true
}

func (s *session) hello(id Identity, d Description) {
	moved := d.Moved
	if moved == nil || s.work.SDKDefaults {
		moved = map[string]string{} // asked for its defaults, the adapter moves nothing
	}
	gogc := os.Getenv("GOGC")
	if gogc == "" {
		gogc = "100"
	}
	s.sink.object(struct {
		Kind       string            `json:"k"`
		Harness    string            `json:"harness"`
		SDK        string            `json:"sdk"`
		Module     string            `json:"module"`
		Version    string            `json:"version"`
		Go         string            `json:"go"`
		GOOS       string            `json:"goos"`
		GOARCH     string            `json:"goarch"`
		GOMAXPROCS int               `json:"gomaxprocs"`
		GOGC       string            `json:"gogc"`
		GOMEMLIMIT int64             `json:"gomemlimit"`
		GODEBUG    string            `json:"godebug"`
		Workload   string            `json:"workload"`
		Drive      string            `json:"drive"`
		Settings   map[string]string `json:"settings"`
	}{
		"hello", harnessVersion, id.SDK, id.Module, id.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH,
		runtime.GOMAXPROCS(0), gogc, debug.SetMemoryLimit(-1), os.Getenv("GODEBUG"), s.work.Name, s.work.Drive, moved,
	})
	warmMetrics()
}

// warmMetrics makes the first read, which builds tables, before anything is measured.
func warmMetrics() { metrics.Read([]metrics.Sample{{Name: goMetrics[0].name}}) }
