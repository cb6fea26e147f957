package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"sealbench.org/stub/internal/mono"
)

const maxRequestBytes = 16 << 20

// stub answers four wire formats from one fixed schedule.
type stub struct {
	config   config
	fault    fault
	report   *report
	vectors  *vectors
	control  control
	pictures pictures
	caPEM    []byte
	timers   sync.Pool // of *mono.Timer
	serial   atomic.Uint64
}

func newStub(c config, f fault, r *report) *stub {
	return &stub{config: c, fault: f, report: r, vectors: newVectors(c.Seed, c.Dimensions)}
}

// handler routes by net/http's patterns; what no route takes is a 404 of the wire format whose paths begin like it.
func (s *stub) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, answer := range map[string]http.HandlerFunc{
		"GET /healthz":     s.health,
		"GET /stub/stats":  s.stats,
		"POST /stub/reset": s.resetStats,
		"GET /stub/ca.pem": s.authority,

		"POST /v1/chat/completions":       s.openaiChat,
		"POST /v1/embeddings":             s.openaiEmbed,
		"POST /v1/responses/input_tokens": s.openaiCount,
		"GET /v1/models":                  s.openaiModels,
		"GET /v1/models/{model}":          s.openaiModel,

		"POST /v1/messages":              s.anthropicChat,
		"POST /v1/messages/count_tokens": s.anthropicCount,

		"POST /v1beta/models/{call...}": s.geminiCall,

		"GET /{$}":             s.ollamaRoot,
		"GET /api/version":     s.ollamaVersion,
		"GET /api/tags":        s.ollamaTags,
		"POST /api/show":       s.ollamaShow,
		"POST /api/chat":       s.ollamaChat,
		"POST /api/generate":   s.ollamaGenerate,
		"POST /api/embed":      s.ollamaEmbed,
		"POST /api/embeddings": s.ollamaEmbeddings,

		"/": noRoute,
	} {
		mux.HandleFunc(pattern, answer)
	}
	return s.control.counting(mux)
}

func noRoute(w http.ResponseWriter, r *http.Request) {
	var f format = openai{}
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/"):
		f = ollama{}
	case strings.HasPrefix(r.URL.Path, "/v1beta/"):
		f = gemini{}
	case strings.HasPrefix(r.URL.Path, "/v1/messages"):
		f = anthropic{}
	}
	refuse(w, f, &refusal{http.StatusNotFound, "no such route: " + r.Method + " " + r.URL.Path})
}

func (s *stub) health(w http.ResponseWriter, _ *http.Request) {
	if s.fault.kind == faultNeverReady {
		refuse(w, openai{}, &refusal{http.StatusServiceUnavailable, "never ready, as asked for"})
		return
	}
	_, _ = io.WriteString(w, "ok\n")
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

// unlucky decides what goes wrong with this request, a pure function of the seed and the request's serial number: true
// for a 503, else a fault is put into the script.
func (s *stub) unlucky(a *ask) bool {
	state := splitmix(s.config.Seed ^ s.serial.Add(1)*0x9e3779b97f4a7c15)
	setting, scenario := state.unit(), state.unit()
	if scenario < a.play.status {
		return true
	}
	if setting >= s.fault.value {
		return false
	}
	a.play.spoil(s.fault.kind)
	return s.fault.kind == faultHTTP503
}

// count answers a request for the number of tokens.
func (s *stub) count(w http.ResponseWriter, a *ask, f format, err error, before string) {
	if err != nil {
		refuse(w, f, err)
		return
	}
	s.control.note(a)
	writeJSON(w, string(append(appendInt(nil, before, a.prompt), '}')))
}

func read(w http.ResponseWriter, r *http.Request, f format, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequestBytes)).Decode(into)
	if err == nil {
		// To the end, or net/http cannot use the connection again.
		_, err = io.Copy(io.Discard, r.Body)
	}
	if err != nil {
		refuse(w, f, badRequest("the body is not the JSON expected: %v", err))
	}
	return err == nil
}

// refuse answers with the wire format's own error object.
func refuse(w http.ResponseWriter, f format, err error) {
	why := &refusal{http.StatusInternalServerError, err.Error()}
	_ = errors.As(err, &why)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(why.status)
	_ = json.NewEncoder(w).Encode(f.failure(why.status, why.text))
}

func writeJSON(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = io.WriteString(w, text)
}
