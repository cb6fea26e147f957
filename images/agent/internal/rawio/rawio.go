// Package rawio makes system calls that the Go scheduler is not told of.
//
// Told of a call, the runtime wakes its monitor thread, which then wakes up every 20 us, takes the only P away and hands
// it to another thread: measured, 0.02 % of a core at one sample a second and several times the cost of a read. These
// calls never wait for anybody: files of the kernel, the page cache, descriptors that do not block.
package rawio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Pread fills buffer from the beginning of a file.
func Pread(fd int, buffer []byte) (int, error) {
	return call(unix.SYS_PREAD64, fd, buffer)
}

// Read reads what comes next; EAGAIN when a descriptor has nothing.
func Read(fd int, buffer []byte) (int, error) {
	return call(unix.SYS_READ, fd, buffer)
}

// Write writes all of data.
func Write(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := call(unix.SYS_WRITE, fd, data)
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// ClockGettime reads a clock; false if there is none of that number.
func ClockGettime(id int32) (int64, bool) {
	var ts unix.Timespec
	_, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano(), errno == 0
}

// call passes offset 0, which only pread looks at.
func call(number uintptr, fd int, buffer []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(number, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buffer))), uintptr(len(buffer)), 0, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
