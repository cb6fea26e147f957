package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// report counts calls and writes the count to REPRO_FD once a second, away from the answers.
type report struct {
	file  *os.File
	calls atomic.Int64
}

// openReport opens the descriptor whose number is given; empty: nobody reads.
func openReport(number string) (*report, error) {
	if number == "" {
		return &report{}, nil
	}
	fd, err := strconv.Atoi(number)
	if err != nil || fd < 1 {
		return nil, fmt.Errorf("%s is %q, not the number of a descriptor", envFD, number)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		return nil, fmt.Errorf("%s names descriptor %d: %w", envFD, fd, err)
	}
	if fd > 2 {
		syscall.CloseOnExec(fd)
		_ = syscall.SetNonblock(fd, true) // a full pipe then parks a goroutine, not the only P
	}
	return &report{file: os.NewFile(uintptr(fd), "records")}, nil
}

// counting is the server's interceptor. A health check is no request: clients and probes make it on their own account.
func (r *report) counting(ctx context.Context, sent any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if info.FullMethod != qdrant.Qdrant_HealthCheck_FullMethodName {
		r.calls.Add(1)
	}
	return next(ctx, sent)
}

// run writes once a second until stop is closed.
func (r *report) run(stop <-chan struct{}) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			r.flush()
		}
	}
}

func (r *report) flush() {
	if r.file == nil {
		return
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // every Linux has this clock
	}
	_, err := fmt.Fprintf(r.file, `{"k":"counts","name":"backend.requests","ns":%d,"value":%d}`+"\n", now.Nano(), r.calls.Load())
	if err != nil {
		fmt.Fprintln(os.Stderr, "qdrant-exact: records:", err)
	}
}
