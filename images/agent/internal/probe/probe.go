// Package probe asks a program whether it is ready.
package probe

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// Tries come quickly at first, because the first one is often early by a millisecond or two, and nothing is measured yet.
const (
	firstPause = 2 * time.Millisecond
	maxPause   = 50 * time.Millisecond
	oneTry     = time.Second
)

// Wait tries until the program answers or the context ends; target is http://HOST:PORT/PATH or tcp:HOST:PORT.
// The error is the last try's.
func Wait(ctx context.Context, target string) error {
	pause := firstPause
	for {
		err := try(ctx, target)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

func try(ctx context.Context, target string) error {
	ctx, cancel := context.WithTimeout(ctx, oneTry)
	defer cancel()
	if address, ok := strings.CutPrefix(target, "tcp:"); ok {
		connection, err := dial(ctx, address)
		if err == nil {
			err = connection.Close()
		}
		return err
	}
	parsed, err := url.Parse(target)
	if err != nil {
		return err
	}
	return get(ctx, parsed)
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", address)
}

// get is one GET over a connection of its own. net/http would keep connections, goroutines and some megabytes.
func get(ctx context.Context, target *url.URL) error {
	connection, err := dial(ctx, target.Host)
	if err != nil {
		return err
	}
	defer connection.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = connection.SetDeadline(deadline)
	}
	if _, err := fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
		target.RequestURI(), target.Host); err != nil {
		return err
	}
	line, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return err
	}
	if fields := strings.Fields(line); len(fields) < 2 || fields[1] != "200" {
		return fmt.Errorf("%s answered %q", target, strings.TrimSpace(line))
	}
	return nil
}
