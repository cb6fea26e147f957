package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
)

const promptCharacters = 2000

// control counts what SDKs do, for who asks at /stub/stats. Requests for /healthz and /stub/ are the asker's own and do
// not count, nor do connections that carry nothing else.
type control struct {
	mu          sync.Mutex
	requests    int
	inFlight    int
	opened      int
	open        int
	era         int // one more with each reset
	last        *ask
	connections map[net.Conn]*connection
}

// connection is one that is open. Until its first request it counts: one that is opened and never used costs as well.
type connection struct {
	counted bool
	used    bool // an SDK's request came on it
	era     int  // of the counters when it was opened
}

type connectionKey struct{}

// joined is a server's ConnContext, left its ConnState.
func (c *control) joined(ctx context.Context, conn net.Conn) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connections == nil {
		c.connections = map[net.Conn]*connection{}
	}
	fresh := &connection{counted: true, era: c.era}
	c.connections[conn] = fresh
	c.opened++
	c.open++
	return context.WithValue(ctx, connectionKey{}, fresh)
}

func (c *control) left(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if gone := c.connections[conn]; gone != nil && gone.counted {
		c.open--
	}
	delete(c.connections, conn)
}

// counting wraps the handler.
func (c *control) counting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := r.URL.Path == "/healthz" || strings.HasPrefix(r.URL.Path, "/stub/")
		on, _ := r.Context().Value(connectionKey{}).(*connection)
		c.enter(own, on)
		if !own {
			defer c.leave()
		}
		next.ServeHTTP(w, r)
	})
}

// enter counts a request. The asker's own connection stops to count with its first request, and counts again if an
// SDK's request comes on it.
func (c *control) enter(own bool, on *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !own {
		c.requests++
		c.inFlight++
	}
	switch {
	case on == nil:
	case own && on.counted && !on.used:
		on.counted = false
		c.open--
		if on.era == c.era {
			c.opened--
		}
	case !own:
		on.used = true
		if !on.counted {
			on.counted = true
			c.open++
			c.opened++
		}
	}
}

func (c *control) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
}

// note keeps a request that was understood.
func (c *control) note(a *ask) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = a
}

type statistics struct {
	Requests          int          `json:"requests"`
	ConnectionsOpened int          `json:"connections_opened"`
	ConnectionsOpen   int          `json:"connections_open"`
	InFlight          int          `json:"in_flight"`
	Last              *lastRequest `json:"last"`
}

// lastRequest is the last one that was understood, whatever became of it.
type lastRequest struct {
	Path           string `json:"path"`
	Model          string `json:"model"`
	Messages       int    `json:"messages"`
	Images         int    `json:"images"`
	ImageSHA256    string `json:"image_sha256"` // of the first image
	MaxTokens      int    `json:"max_tokens"`   // 0: the request has none
	Stream         bool   `json:"stream"`
	EncodingFormat string `json:"encoding_format"`
	Prompt         string `json:"prompt"` // all texts, a line each, the first 2,000 characters
}

func (s *stub) stats(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.control.statistics())
}

func (s *stub) resetStats(w http.ResponseWriter, _ *http.Request) {
	s.control.reset()
	w.WriteHeader(http.StatusNoContent)
}

// reset sets to 0 what counts events; what is open or in flight stays, because it is.
func (c *control) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests, c.opened, c.last = 0, 0, nil
	c.era++
}

func (c *control) statistics() statistics {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := statistics{Requests: c.requests, ConnectionsOpened: c.opened, ConnectionsOpen: c.open, InFlight: c.inFlight}
	if c.last != nil {
		found.Last = c.last.describe()
	}
	return found
}

func (a *ask) describe() *lastRequest {
	prompt := []rune(strings.Join(a.texts, "\n"))
	last := &lastRequest{
		Path: a.path, Model: a.model, Messages: a.messages, Images: len(a.images), MaxTokens: a.maxTokens,
		Stream: a.stream, EncodingFormat: a.encoding, Prompt: string(prompt[:min(len(prompt), promptCharacters)]),
	}
	if len(a.images) > 0 {
		last.ImageSHA256 = a.images[0].sha256
	}
	return last
}
