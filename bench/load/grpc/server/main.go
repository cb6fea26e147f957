// The server that bench/generator.py loads over gRPC: one unary call, an answer of 20 bytes, the time of every arrival.
//
// The answer is the stub's token with its write time. On SIGTERM it writes what it saw to the file of -log, pairs of
// int64 (0, nanosecond of CLOCK_MONOTONIC), little-endian, as the HTTP server beside it does.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"sealbench.org/bench/load/grpc/echo"
)

const (
	mostArrivals   = 1 << 20
	clockMonotonic = 1
)

type server struct {
	delay time.Duration

	mu       sync.Mutex
	arrivals [][2]int64
}

func main() {
	port := flag.Int("port", 0, "on 127.0.0.1")
	delay := flag.Duration("delay", 0, "between a request and its answer")
	log := flag.String("log", "", "the file for what was seen")
	flag.Parse()
	if err := run(*port, *delay, *log); err != nil {
		fmt.Fprintln(os.Stderr, "grpc-server:", err)
		os.Exit(1)
	}
}

func run(port int, delay time.Duration, log string) error {
	s := &server{delay: delay, arrivals: make([][2]int64, 0, mostArrivals)}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	served := grpc.NewServer()
	served.RegisterService(&grpc.ServiceDesc{
		ServiceName: echo.Service,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: echo.Ask, Handler: ask}},
	}, s)
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- served.Serve(listener) }()
	fmt.Println("listening")
	select {
	case err := <-failed:
		return err
	case <-ended.Done():
	}
	served.Stop()
	return s.write(log)
}

// ask notes the time first, then does what generated code does.
func ask(own any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	s := own.(*server)
	s.note(monotonic())
	var question wrapperspb.StringValue
	if err := decode(&question); err != nil {
		return nil, err
	}
	if s.delay > 0 {
		select {
		case <-time.After(s.delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return wrapperspb.String(fmt.Sprintf("w%018d ", monotonic())), nil
}

func (s *server) note(ns int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals = append(s.arrivals, [2]int64{0, ns})
}

func (s *server) write(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	return binary.Write(file, binary.LittleEndian, s.arrivals)
}

func monotonic() int64 {
	var now syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}
