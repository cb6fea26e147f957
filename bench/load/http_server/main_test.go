package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// started runs the server on a free port until the returned function is called, which gives what it saw.
func started(t *testing.T, delay time.Duration) (address string, seen func() []arrival) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	_ = free.Close()
	log := filepath.Join(t.TempDir(), "log")
	ended := make(chan error, 1)
	go func() { ended <- run(port, delay, log) }()
	address = fmt.Sprintf("127.0.0.1:%d", port)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if probe, err := net.Dial("tcp", address); err == nil {
			_ = probe.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not listen")
		}
	}
	return address, func() []arrival {
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		found := make([]arrival, len(data)/16)
		for i := range found {
			found[i].connection = int64(binary.LittleEndian.Uint64(data[16*i:]))
			found[i].ns = int64(binary.LittleEndian.Uint64(data[16*i+8:]))
		}
		return found
	}
}

func TestEveryRequestIsAnsweredAndItsArrivalNoted(t *testing.T) {
	address, seen := started(t, 0)
	before := monotonic()
	for range 5 {
		response, err := http.Get("http://" + address + "/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || len(body) != 20 || body[0] != 'w' || body[19] != ' ' {
			t.Fatalf("body %q, %v", body, err)
		}
	}
	arrivals := seen()
	if len(arrivals) != 5 {
		t.Fatalf("%d arrivals", len(arrivals))
	}
	for _, one := range arrivals {
		if one.connection != arrivals[0].connection || one.ns < before || one.ns > monotonic() {
			t.Errorf("arrival %+v", one)
		}
	}
}

func TestAnswersComeAfterTheDelayAndARequestInPiecesIsOne(t *testing.T) {
	const delay = 30 * time.Millisecond
	address, seen := started(t, delay)
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_, _ = io.WriteString(connection, "GET / HTTP/1.1\r\nHost: x\r\n")
	time.Sleep(10 * time.Millisecond)
	begun := time.Now()
	_, _ = io.WriteString(connection, "\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(connection), nil); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < delay {
		t.Errorf("answered after %v", took)
	}
	if found := seen(); len(found) != 1 {
		t.Errorf("%d arrivals", len(found))
	}
}
