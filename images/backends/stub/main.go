// Command stub is a backend that answers OpenAI's wire format from a schedule, and writes its own CLOCK_MONOTONIC time
// into every frame, so that a client's cost can be told from the backend's pace. Its settings come in REPRO_BACKEND,
// its records leave on the descriptor named by REPRO_FD; docs/harness.md describes both.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	exitFailed = 1
	exitUsage  = 64

	shutdownTime = 500 * time.Millisecond
)

func main() { os.Exit(run()) }

func run() int {
	c, f, err := parseConfig(os.Getenv(envBackend))
	if err != nil {
		fmt.Fprintf(os.Stderr, "stub: %s: %v\n", envBackend, err)
		return exitUsage
	}
	r, err := openReport(os.Getenv(envFD))
	if err != nil {
		fmt.Fprintln(os.Stderr, "stub:", err)
		return exitUsage
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, "stub:", err)
		return exitFailed
	}
	return serve(listener, newStub(c, f, r))
}

// serve answers until a signal comes, or until the fault ends it.
func serve(listener net.Listener, s *stub) int {
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var death <-chan time.Time
	if s.fault.kind == faultExitAfter {
		death = time.After(time.Duration(nanoseconds(s.fault.value)))
	}
	ticks := make(chan struct{})
	go s.report.run(ticks)
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(os.Stderr, "stub: ", 0),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		fmt.Fprintln(os.Stderr, "stub:", err)
		return exitFailed
	case <-death:
		fmt.Fprintln(os.Stderr, "stub: ending, as the fault asks for")
		return exitFailed
	case <-ended.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := server.Shutdown(limit); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintln(os.Stderr, "stub:", err)
	}
	close(ticks)
	s.report.flush()
	return 0
}
