// Package mono is CLOCK_MONOTONIC as a number, and a timer on it that wakes on time.
//
// All processes of a host share this clock, containers included, so a time stamp that the backend writes into a frame
// can be subtracted from the time at which the client received it.
//
// This package is the same, byte for byte, in the harness and in the stub backend: both are modules of their own
// that import nothing but the standard library. A test compares the copies.
package mono

import (
	"syscall"
	"time"
	"unsafe"
)

const clockMonotonic = 1

// anchor ties Go's monotonic reading, whose zero is private to the process, to the kernel's.
//
// Both are CLOCK_MONOTONIC: Go's is read through the vDSO (some 40 ns), the raw system call costs several times that
// and is made only here. So one pair of readings fixes the offset for ever, and there is no drift between them.
var anchor, anchorNS = tie()

// tie reads the kernel's clock between two readings of Go's and keeps the tightest of a few tries.
func tie() (time.Time, int64) {
	const tries = 32
	var best time.Time
	var bestNS int64
	width := time.Duration(1 << 62)
	for range tries {
		before := time.Now()
		raw := kernelNS()
		gap := time.Since(before)
		if gap < width {
			width, best, bestNS = gap, before, raw-int64(gap)/2
		}
	}
	return best, bestNS
}

// kernelNS is clock_gettime(CLOCK_MONOTONIC) by system call.
func kernelNS() int64 {
	var now syscall.Timespec
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		panic("clock_gettime(CLOCK_MONOTONIC): " + errno.Error())
	}
	return now.Nano()
}

// Now is CLOCK_MONOTONIC in nanoseconds. It does not allocate.
func Now() int64 {
	return anchorNS + int64(time.Since(anchor))
}
