// Our load generator with a client as thin as its peers' have: what bench/generator.py holds against fortio and wrk.
//
// The harness schedules, dispatches, judges and records as in every launch; the client is net/http (as fortio -stdclient)
// or a connection that is written to and read from directly (as fortio's own client), by the variable BENCH_CLIENT.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"sealbench.org/harness"
)

const (
	clientVariable = "BENCH_CLIENT"
	clientStandard = "net-http"
	clientPlain    = "plain"

	mostConnections = 4096
)

func main() {
	harness.Main(nil, adapter{}, harness.Identity{SDK: os.Getenv(clientVariable), Module: "bench", Version: "0"})
}

type adapter struct{}

// Describe implements harness.Adapter.
func (adapter) Describe() harness.Description { return harness.Description{} }

// Open implements harness.Adapter.
func (adapter) Open(s harness.Settings) (harness.Client, error) {
	switch name := os.Getenv(clientVariable); name {
	case clientStandard:
		// The zero value keeps two connections a host; with fifty in flight it would measure connects.
		transport := &http.Transport{MaxIdleConnsPerHost: mostConnections, DisableCompression: true}
		return &standard{url: s.BaseURL, http: http.Client{Transport: transport}}, nil
	case clientPlain:
		address := strings.TrimPrefix(s.BaseURL, "http://")
		request := "GET / HTTP/1.1\r\nHost: " + address + "\r\nUser-Agent: bench\r\n\r\n"
		return &plain{address: address, request: []byte(request)}, nil
	default:
		return nil, fmt.Errorf("%s is %q, neither %q nor %q", clientVariable, name, clientStandard, clientPlain)
	}
}

type standard struct {
	url  string
	http http.Client
}

func (c *standard) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Stream implements harness.ChatStreamer: the answer is one token.
func (c *standard) Stream(ctx context.Context, _ string, _ int, answer *harness.Answer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	answer.Text(string(body))
	answer.Finish("length")
	return nil
}

// plain keeps its connections on a stack: the one used last is the warmest.
type plain struct {
	address string
	request []byte

	mu   sync.Mutex
	idle []*line
}

// line is one connection.
type line struct {
	net.Conn
	in   *bufio.Reader
	body []byte
}

func (c *plain) take() (*line, error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		l := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return l, nil
	}
	c.mu.Unlock()
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return nil, err
	}
	return &line{Conn: conn, in: bufio.NewReader(conn)}, nil
}

func (c *plain) give(l *line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, l)
}

func (c *plain) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var failed error
	for _, l := range c.idle {
		failed = errors.Join(failed, l.Close())
	}
	return failed
}

// Stream implements harness.ChatStreamer. It has no use for the context: nothing here is cancelled.
func (c *plain) Stream(_ context.Context, _ string, _ int, answer *harness.Answer) error {
	l, err := c.take()
	if err != nil {
		return err
	}
	if err := l.exchange(c.request); err != nil {
		return errors.Join(err, l.Close())
	}
	answer.Text(string(l.body))
	answer.Finish("length")
	c.give(l)
	return nil
}

// exchange sends the request and reads the answer's status, length and body.
func (l *line) exchange(request []byte) error {
	if _, err := l.Write(request); err != nil {
		return err
	}
	status, err := l.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("status line %q", status)
	}
	length := -1
	for {
		header, err := l.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(header) <= len("\r\n") {
			break
		}
		name, value, _ := bytes.Cut(header, []byte(":"))
		if !bytes.EqualFold(name, []byte("Content-Length")) {
			continue
		}
		if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
			return err
		}
	}
	if length < 0 {
		return errors.New("an answer without a length")
	}
	if cap(l.body) < length {
		l.body = make([]byte, length)
	}
	l.body = l.body[:length]
	_, err = io.ReadFull(l.in, l.body)
	return err
}
