// The server that bench/generator.py loads: one thread, epoll, an answer of 20 bytes, and the time of every arrival.
//
// It does as little as a server can, so that the load generator is the slower side, and it reads CLOCK_MONOTONIC right
// after each request came in: the same witness for every generator. The answer is the stub's token with its write time.
// On SIGTERM it writes what it saw to the file of -log, pairs of int64 (connection, nanosecond), little-endian.
package main

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	mostArrivals = 4 << 20 // of 16 bytes, touched only as they come
	requestBytes = 4096
	eventsAtOnce = 512

	clockMonotonic = 1
	timerAbsolute  = 1
	answerHead     = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n\r\nw"
	stampDigits    = 18
)

type arrival struct{ connection, ns int64 }

// connection keeps what came of a request that is not whole yet.
type connection struct {
	number  int64
	pending []byte
}

// owed is an answer that is to be given later.
type owed struct {
	fd int
	ns int64
}

type server struct {
	poll, listener, timer int
	delay                 int64
	connections           map[int]*connection
	opened                int64
	arrivals              []arrival
	queue                 []owed // of one delay, so in the order of time
	answer                []byte
	chunk                 [requestBytes]byte
}

func main() {
	port := flag.Int("port", 0, "on 127.0.0.1")
	delay := flag.Duration("delay", 0, "between a request and its answer")
	log := flag.String("log", "", "the file for what was seen")
	flag.Parse()
	if err := run(*port, *delay, *log); err != nil {
		fmt.Fprintln(os.Stderr, "http-server:", err)
		os.Exit(1)
	}
}

func run(port int, delay time.Duration, log string) error {
	runtime.LockOSThread()
	var stopping atomic.Bool
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() { <-signals; stopping.Store(true) }()
	s, err := listen(port, delay)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	events := make([]syscall.EpollEvent, eventsAtOnce)
	for !stopping.Load() {
		n, err := syscall.EpollWait(s.poll, events, 100)
		if err != nil && err != syscall.EINTR {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, event := range events[:max(n, 0)] {
			s.handle(int(event.Fd))
		}
	}
	return s.write(log)
}

func listen(port int, delay time.Duration) (*server, error) {
	s := &server{delay: int64(delay), connections: map[int]*connection{}, arrivals: make([]arrival, 0, mostArrivals)}
	s.answer = append(append([]byte(answerHead), make([]byte, stampDigits)...), ' ')
	var err error
	if s.poll, err = syscall.EpollCreate1(0); err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	if s.listener, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0); err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	_ = syscall.SetsockoptInt(s.listener, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err := syscall.Bind(s.listener, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	if err := syscall.Listen(s.listener, 1024); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	timer, _, errno := syscall.RawSyscall(syscall.SYS_TIMERFD_CREATE, clockMonotonic, syscall.O_NONBLOCK, 0)
	if errno != 0 {
		return nil, fmt.Errorf("timerfd_create: %w", errno)
	}
	s.timer = int(timer)
	return s, s.watch(s.listener, s.timer)
}

func (s *server) watch(descriptors ...int) error {
	for _, fd := range descriptors {
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
		if err := syscall.EpollCtl(s.poll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
			return fmt.Errorf("epoll_ctl: %w", err)
		}
	}
	return nil
}

func (s *server) handle(fd int) {
	switch fd {
	case s.listener:
		s.accept()
	case s.timer:
		s.settle()
	default:
		s.read(fd)
	}
}

func (s *server) accept() {
	for {
		fd, _, err := syscall.Accept4(s.listener, syscall.SOCK_NONBLOCK)
		if err != nil {
			return
		}
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		s.connections[fd] = &connection{number: s.opened}
		s.opened++
		if s.watch(fd) != nil {
			s.drop(fd)
		}
	}
}

func (s *server) read(fd int) {
	c := s.connections[fd]
	n, err := syscall.Read(fd, s.chunk[:])
	now := monotonic()
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR || c == nil:
		return
	case err != nil || n == 0:
		s.drop(fd)
		return
	}
	got := s.chunk[:n]
	if len(c.pending) > 0 {
		c.pending = append(c.pending, got...)
		got = c.pending
	}
	// No generator here sends a body or a request before the answer to its last one.
	if !bytes.HasSuffix(got, []byte("\r\n\r\n")) {
		c.pending = append(c.pending[:0], got...)
		return
	}
	c.pending = c.pending[:0]
	s.arrivals = append(s.arrivals, arrival{c.number, now})
	if s.delay == 0 {
		s.reply(fd)
		return
	}
	s.queue = append(s.queue, owed{fd, now + s.delay})
	if len(s.queue) == 1 {
		s.arm()
	}
}

func (s *server) reply(fd int) {
	stamp := s.answer[len(answerHead) : len(answerHead)+stampDigits]
	for i := range stamp {
		stamp[i] = '0'
	}
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], monotonic(), 10)
	copy(stamp[stampDigits-len(text):], text)
	if _, err := syscall.Write(fd, s.answer); err != nil {
		s.drop(fd)
	}
}

// settle gives the answers that are due.
func (s *server) settle() {
	var count [8]byte
	_, _ = syscall.Read(s.timer, count[:])
	now, given := monotonic(), 0
	for given < len(s.queue) && s.queue[given].ns <= now {
		if s.connections[s.queue[given].fd] != nil {
			s.reply(s.queue[given].fd)
		}
		given++
	}
	s.queue = append(s.queue[:0], s.queue[given:]...)
	if len(s.queue) > 0 {
		s.arm()
	}
}

func (s *server) arm() {
	spec := struct{ interval, value syscall.Timespec }{value: syscall.NsecToTimespec(s.queue[0].ns)}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, uintptr(s.timer), timerAbsolute, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if errno != 0 {
		panic("timerfd_settime: " + errno.Error())
	}
}

func (s *server) drop(fd int) {
	delete(s.connections, fd)
	_ = syscall.Close(fd)
}

func (s *server) write(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return binary.Write(file, binary.LittleEndian, s.arrivals)
}

func monotonic() int64 {
	var now syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}
