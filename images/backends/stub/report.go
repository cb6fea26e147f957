package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"sealbench.org/stub/internal/mono"
)

const valuesPerLine = 2500 // of at most 20 characters: below 64 KiB

// report collects how late each frame was, and writes it to REPRO_FD once a second, away from the answers.
type report struct {
	file     *os.File
	mu       sync.Mutex
	delays   []int64
	requests int64

	writing sync.Mutex // guards what follows
	spare   []int64
	buf     []byte
}

// openReport opens the descriptor whose number is given; empty: nobody reads.
func openReport(number string) (*report, error) {
	r := &report{delays: make([]int64, 0, 1<<15), spare: make([]int64, 0, 1<<15)}
	if number == "" {
		return r, nil
	}
	fd, err := strconv.Atoi(number)
	if err != nil || fd < 1 {
		return nil, fmt.Errorf("%s is %q, not the number of a descriptor", envFD, number)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); errno != 0 {
		return nil, fmt.Errorf("%s names descriptor %d: %w", envFD, fd, errno)
	}
	if fd > 2 {
		syscall.CloseOnExec(fd)
		_ = syscall.SetNonblock(fd, true) // a full pipe then parks a goroutine, not the only P
	}
	r.file = os.NewFile(uintptr(fd), "records")
	return r, nil
}

// add takes the delays of one answer: actual minus scheduled write time of each frame, in ns.
func (r *report) add(delays []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	r.delays = append(r.delays, delays...)
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
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	delays, requests := r.delays, r.requests
	r.delays = r.spare[:0]
	r.mu.Unlock()
	r.spare = delays
	if r.file == nil {
		return
	}
	now := mono.Now()
	for len(delays) > 0 {
		n := min(len(delays), valuesPerLine)
		r.buf = append(r.buf[:0], `{"k":"values","name":"backend.delay_seconds","ns":`...)
		r.buf = strconv.AppendInt(r.buf, now, 10)
		r.buf = append(r.buf, `,"values_ns":[`...)
		for i, delay := range delays[:n] {
			if i > 0 {
				r.buf = append(r.buf, ',')
			}
			r.buf = strconv.AppendInt(r.buf, delay, 10)
		}
		r.write("]}\n")
		delays = delays[n:]
	}
	r.buf = append(r.buf[:0], `{"k":"counts","name":"backend.requests","ns":`...)
	r.buf = strconv.AppendInt(r.buf, now, 10)
	r.buf = append(r.buf, `,"value":`...)
	r.buf = strconv.AppendInt(r.buf, requests, 10)
	r.write("}\n")
}

func (r *report) write(end string) {
	if _, err := r.file.Write(append(r.buf, end...)); err != nil {
		fmt.Fprintln(os.Stderr, "stub: records:", err)
		r.file = nil
	}
}
