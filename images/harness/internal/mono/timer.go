package mono

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

const (
	timerNonblock = syscall.O_NONBLOCK // TFD_NONBLOCK
	timerCloexec  = syscall.O_CLOEXEC  // TFD_CLOEXEC
	timerAbsolute = 1                  // TFD_TIMER_ABSTIME
)

// Timer waits for a moment of CLOCK_MONOTONIC on a timerfd that sits in Go's network poller.
//
// time.Sleep ends in epoll_wait, whose timeout is whole milliseconds: an idle Go program wakes up to 1 ms late. A
// timerfd makes the same epoll_wait return at the very moment, and the waiting goroutine holds no thread meanwhile.
// A Timer serves one goroutine at a time and does not allocate while waiting.
type Timer struct {
	file *os.File
	fd   uintptr
	spec struct{ interval, value syscall.Timespec }
	buf  [8]byte
}

// NewTimer opens a timerfd. The error is the kernel's (no descriptors left, for example).
func NewTimer() (*Timer, error) {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_TIMERFD_CREATE, clockMonotonic, timerNonblock|timerCloexec, 0)
	if errno != 0 {
		return nil, fmt.Errorf("timerfd_create: %w", errno)
	}
	// os.NewFile registers a non-blocking descriptor with the poller.
	return &Timer{file: os.NewFile(fd, "timerfd"), fd: fd}, nil
}

// WaitUntil returns at CLOCK_MONOTONIC ns, at once if that has passed.
func (t *Timer) WaitUntil(ns int64) error {
	if ns <= Now() {
		return nil
	}
	t.spec.value = syscall.NsecToTimespec(ns)
	// Setting the time also clears an expiry that nobody read.
	_, _, errno := syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, t.fd, timerAbsolute, uintptr(unsafe.Pointer(&t.spec)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("timerfd_settime: %w", errno)
	}
	if _, err := t.file.Read(t.buf[:]); err != nil {
		return fmt.Errorf("timerfd: %w", err)
	}
	return nil
}

// Close ends the timer; a goroutine that waits on it gets an error.
func (t *Timer) Close() error { return t.file.Close() }
