// Command stub is a backend that answers four wire formats (OpenAI, Anthropic, Gemini, Ollama) from a schedule, and
// writes its own CLOCK_MONOTONIC time into every frame, so that a client's cost can be told from the backend's pace. Its
// settings come in REPRO_BACKEND, its records leave on the descriptor named by REPRO_FD; docs/backends.md describes both.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const (
	exitFailed = 1
	exitUsage  = 64

	shutdownTime = 500 * time.Millisecond
	// maxStreams is more than any drive keeps in flight: streams of one HTTP/2 connection are not to wait for one another.
	maxStreams = 4096
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
	s := newStub(c, f, r)
	doors, err := s.openDoors()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stub:", err)
		return exitFailed
	}
	return serve(doors, s)
}

// door is one port: where it listens, and the server behind it.
type door struct {
	listener net.Listener
	server   *http.Server
}

// openDoors listens in the clear (HTTP/1.1 and HTTP/2 with prior knowledge) and, one port higher, with TLS.
func (s *stub) openDoors() ([]door, error) {
	certificate, caPEM, err := identity(time.Now())
	if err != nil {
		return nil, err
	}
	s.caPEM = caPEM
	plain, err := net.Listen("tcp", s.config.Listen)
	if err != nil {
		return nil, err
	}
	address := plain.Addr().(*net.TCPAddr)
	secure, err := net.Listen("tcp", net.JoinHostPort(address.IP.String(), strconv.Itoa(address.Port+1)))
	if err != nil {
		_ = plain.Close()
		return nil, err
	}
	clear, sealed := s.newServer(), s.newServer()
	clear.Protocols.SetUnencryptedHTTP2(true)
	sealed.Protocols.SetHTTP2(true)
	sealed.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	return []door{{plain, clear}, {secure, sealed}}, nil
}

func (s *stub) newServer() *http.Server {
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(os.Stderr, "stub: ", 0),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		Protocols:         new(http.Protocols),
		ConnContext:       s.control.joined,
		ConnState:         s.control.left,
	}
	server.Protocols.SetHTTP1(true)
	return server
}

func (d door) serve() error {
	if d.server.TLSConfig != nil {
		return d.server.ServeTLS(d.listener, "", "")
	}
	return d.server.Serve(d.listener)
}

// serve answers until a signal comes, or until the fault ends it.
func serve(doors []door, s *stub) int {
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var death <-chan time.Time
	if s.fault.kind == faultExitAfter {
		death = time.After(time.Duration(nanoseconds(s.fault.value)))
	}
	ticks := make(chan struct{})
	go s.report.run(ticks)
	failed := make(chan error, len(doors))
	for _, each := range doors {
		go func() { failed <- each.serve() }()
	}
	select {
	case err := <-failed:
		fmt.Fprintln(os.Stderr, "stub:", err)
		return exitFailed
	case <-death:
		fmt.Fprintln(os.Stderr, "stub: ending, as the fault asks for")
		return exitFailed
	case <-ended.Done():
	}
	shut(doors)
	close(ticks)
	s.report.flush()
	return 0
}

// shut gives open answers their time, on both ports at once.
func shut(doors []door) {
	limit, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	done := make(chan error, len(doors))
	for _, each := range doors {
		go func() { done <- each.server.Shutdown(limit) }()
	}
	for range doors {
		if err := <-done; err != nil && !errors.Is(err, context.DeadlineExceeded) {
			fmt.Fprintln(os.Stderr, "stub:", err)
		}
	}
}
