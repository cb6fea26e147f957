package harness

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"sealbench.org/harness/internal/mono"
)

// Exit codes, beside Go's 2 for a panic and 128 + n for a signal.
const (
	exitFailed = 1
	exitUsage  = 64
	exitIO     = 74
)

// linger gives the agent time to read the end state of this process, in /proc.
const linger = 300 * time.Millisecond

type usageError struct{ error }

// Main is TestMain: it runs the drive that REPRO_WORKLOAD names and ends the program.
func Main(m *testing.M, adapter Adapter, id Identity) {
	os.Exit(run(m.Run, adapter, id))
}

func run(tests func() int, adapter Adapter, id Identity) int {
	w, err := parseWorkload(os.Getenv(EnvWorkload))
	if err != nil {
		return complain(exitUsage, err)
	}
	s, err := newSession(w, adapter, id, os.Getenv(EnvFD))
	if err != nil {
		return complain(exitUsage, err)
	}
	s.endOnSignal()
	err = s.drive(tests)
	if usage := (*usageError)(nil); errors.As(err, &usage) {
		return complain(exitUsage, err)
	}
	if err != nil {
		return complain(exitFailed, err)
	}
	s.sink.phase("done", mono.Now())
	time.Sleep(linger)
	s.close()
	if err := s.sink.failure(); err != nil {
		return complain(exitIO, err)
	}
	return 0
}

func (s *session) drive(tests func() int) error {
	if err := s.prepare(); err != nil {
		return err
	}
	switch s.work.Drive {
	case driveBench:
		current = s
		return s.bench(tests)
	case driveClosed:
		return s.closed()
	case driveProbe:
		return s.probe()
	}
	return s.open()
}

// close ends the client that all requests shared; a complaint is worth a line, not the launch.
func (s *session) close() {
	if s.client == nil {
		return
	}
	if err := s.client.Close(); err != nil {
		complain(0, fmt.Errorf("closing the client: %w", err))
	}
}

// endOnSignal keeps what was measured when the launch is ended early.
func (s *session) endOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		number := (<-signals).(syscall.Signal)
		s.lines.finish()
		os.Exit(128 + int(number))
	}()
}

func complain(code int, err error) int {
	fmt.Fprintln(os.Stderr, "harness:", err)
	return code
}
