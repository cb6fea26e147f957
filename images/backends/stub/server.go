package main

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"sealbench.org/stub/internal/mono"
)

const (
	defaultTokens   = 128
	maxTokens       = 1 << 20
	maxRequestBytes = 16 << 20
)

// stub answers OpenAI's wire format from a fixed schedule.
type stub struct {
	config  config
	fault   fault
	report  *report
	vectors *vectors
	timers  sync.Pool // of *mono.Timer
	serial  atomic.Uint64
}

func newStub(c config, f fault, r *report) *stub {
	return &stub{config: c, fault: f, report: r, vectors: newVectors(c.Seed, c.Dimensions)}
}

// handler routes by hand-written patterns of net/http; anything else is OpenAI's 404.
func (s *stub) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("POST /v1/chat/completions", s.chat)
	mux.HandleFunc("POST /v1/embeddings", s.embed)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "no such route: "+r.Method+" "+r.URL.Path)
	})
	return mux
}

func (s *stub) health(w http.ResponseWriter, _ *http.Request) {
	if s.fault.kind == faultNeverReady {
		refuse(w, http.StatusServiceUnavailable, "never ready, as asked for")
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

type chatRequest struct {
	Model               string `json:"model"`
	Messages            []any  `json:"messages"`
	Stream              bool   `json:"stream"`
	MaxTokens           *int   `json:"max_tokens"`
	MaxCompletionTokens *int   `json:"max_completion_tokens"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

func (c *chatRequest) tokens() int {
	switch {
	case c.MaxCompletionTokens != nil:
		return *c.MaxCompletionTokens
	case c.MaxTokens != nil:
		return *c.MaxTokens
	}
	return defaultTokens
}

func (s *stub) chat(w http.ResponseWriter, r *http.Request) {
	arrival := mono.Now()
	var ask chatRequest
	if !read(w, r, &ask) {
		return
	}
	switch {
	case ask.Model == "":
		refuse(w, http.StatusBadRequest, "you must provide a model parameter")
		return
	case len(ask.Messages) == 0:
		refuse(w, http.StatusBadRequest, "messages must not be empty")
		return
	case ask.tokens() < 1 || ask.tokens() > maxTokens:
		refuse(w, http.StatusBadRequest, "max_tokens is out of range")
		return
	}
	wrong := s.draw()
	if wrong == faultHTTP503 {
		refuse(w, http.StatusServiceUnavailable, "overloaded, as asked for")
		return
	}
	timer := s.timer()
	defer s.timers.Put(timer)
	if !ask.Stream {
		s.whole(w, &ask, timer, arrival, wrong)
		return
	}
	s.stream(w, &ask, timer, arrival, wrong)
}

// timer borrows a timerfd; making one per request would cost system calls in the answer.
func (s *stub) timer() *mono.Timer {
	if timer, ok := s.timers.Get().(*mono.Timer); ok {
		return timer
	}
	timer, err := mono.NewTimer()
	if err != nil {
		panic(err) // no descriptors left: the launch has to end, not to go on with another pace
	}
	return timer
}

// due is when frame i is to be written.
func (s *stub) due(arrival int64, i int) int64 {
	return arrival + nanoseconds(s.config.FirstTokenSeconds) + int64(i)*nanoseconds(s.config.TokenSeconds)
}

// draw decides whether this request goes wrong: a pure function of the seed and the request's serial number.
func (s *stub) draw() string {
	serial := s.serial.Add(1)
	switch s.fault.kind {
	case faultHTTP503, faultTruncate, faultCorrupt, faultReset:
		state := splitmix(s.config.Seed ^ serial*0x9e3779b97f4a7c15)
		if state.unit() < s.fault.value {
			return s.fault.kind
		}
	}
	return ""
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequestBytes)).Decode(into)
	if err == nil {
		// To the end, or net/http cannot use the connection again.
		_, err = io.Copy(io.Discard, r.Body)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "the body is not the JSON expected: "+err.Error())
	}
	return err == nil
}

// refuse answers with OpenAI's error object.
func refuse(w http.ResponseWriter, status int, text string) {
	kind := "invalid_request_error"
	if status >= http.StatusInternalServerError {
		kind = "server_error"
	}
	var body struct {
		Error struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    *string `json:"code"`
		} `json:"error"`
	}
	body.Error.Message, body.Error.Type = text, kind
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// reset ends the connection with a TCP reset.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}

// words counts blank-separated words: the stub's tokens.
func words(text string) int { return len(strings.Fields(text)) }

var errInput = errors.New("input must be a string or a non-empty array of strings")
