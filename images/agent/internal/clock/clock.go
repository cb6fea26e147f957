// Package clock reads the kernel's clocks as nanoseconds.
package clock

import (
	"golang.org/x/sys/unix"

	"sealbench.org/agent/internal/rawio"
)

// SecondNs is one second in the unit of this package.
const SecondNs = int64(1e9)

// Monotonic is CLOCK_MONOTONIC, which all containers of one host share; Go's own monotonic reading has a private origin.
func Monotonic() int64 { return read(unix.CLOCK_MONOTONIC) }

// Wall is the Unix time, used once per journal as an anchor.
func Wall() int64 { return read(unix.CLOCK_REALTIME) }

// OwnCPU is the CPU time of this process. As PID 1 it includes what the container runtime used before exec.
func OwnCPU() int64 { return read(unix.CLOCK_PROCESS_CPUTIME_ID) }

// ProcessCPU is the CPU time of another process with nanosecond grain, its ended threads included; false when it is gone.
// /proc/PID/stat has a grain of 10 ms, which is 0.3 % of a window at 30 % load. The clock number is what
// clock_getcpuclockid(3) computes: the inverted process number, shifted, with the kind "scheduler" (2).
func ProcessCPU(pid int) (int64, bool) {
	return rawio.ClockGettime(int32(^pid<<3 | 2))
}

func read(id int32) int64 {
	// The three fixed clocks exist on every kernel that can run this program.
	ns, _ := rawio.ClockGettime(id)
	return ns
}
