package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"

	"sealbench.org/stub/internal/mono"
)

// scratch is reused between answers, so that the backend's own garbage collector stays quiet.
type scratch struct {
	buf    []byte
	delays []int64
}

var scratches = sync.Pool{New: func() any { return &scratch{} }}

// stream writes one server-sent event per token, each flushed by itself, at its due time or at once.
func (s *stub) stream(w http.ResponseWriter, ask *chatRequest, timer *mono.Timer, arrival int64, wrong string) {
	own := scratches.Get().(*scratch)
	defer scratches.Put(own)
	own.delays = own.delays[:0]
	defer func() { s.report.add(own.delays) }()
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	tokens := ask.tokens()
	for i := range tokens {
		due := s.due(arrival, i)
		if s.config.paced() && timer.WaitUntil(due) != nil {
			panic(http.ErrAbortHandler)
		}
		if i == tokens/2 && wrong != "" && spoil(w, out, wrong) {
			return
		}
		// The stamp is the last thing before the write.
		written := mono.Now()
		if s.config.paced() {
			own.delays = append(own.delays, written-due)
		}
		own.buf = appendFrame(own.buf[:0], i == 0, written)
		if _, err := w.Write(own.buf); err != nil {
			return // the client has gone
		}
		if out.Flush() != nil {
			return
		}
	}
	own.buf = appendEnd(own.buf[:0], ask.StreamOptions.IncludeUsage, promptTokens(ask), tokens)
	_, _ = w.Write(own.buf)
	_ = out.Flush()
}

// spoil does what the fault says in the middle of a stream; true if that ends the answer.
func spoil(w http.ResponseWriter, out *http.ResponseController, wrong string) bool {
	switch wrong {
	case faultTruncate:
		return true // a clean end of the body: no finish reason, no [DONE]
	case faultReset:
		reset(w)
		return true
	case faultCorrupt:
		_, _ = w.Write([]byte(`data: {"choices":[{"delta":{"content":` + "\n\n"))
		_ = out.Flush()
	}
	return false
}

// whole answers without a stream, when the last token would be due.
func (s *stub) whole(w http.ResponseWriter, ask *chatRequest, timer *mono.Timer, arrival int64, wrong string) {
	tokens := ask.tokens()
	own := scratches.Get().(*scratch)
	defer scratches.Put(own)
	own.delays = own.delays[:0]
	due := s.due(arrival, tokens-1)
	if s.config.paced() && timer.WaitUntil(due) != nil {
		panic(http.ErrAbortHandler)
	}
	written := mono.Now()
	if s.config.paced() {
		own.delays = append(own.delays, written-due)
	}
	s.report.add(own.delays)
	own.buf = appendCompletion(own.buf[:0], promptTokens(ask), tokens, written)
	s.body(w, own.buf, wrong)
}

type embedRequest struct {
	Model          string          `json:"model"`
	Input          json.RawMessage `json:"input"`
	EncodingFormat string          `json:"encoding_format"`
	Dimensions     *int            `json:"dimensions"`
}

// texts reads the two shapes of input that are text.
func (e *embedRequest) texts() ([]string, error) {
	var many []string
	if json.Unmarshal(e.Input, &many) == nil && len(many) > 0 {
		return many, nil
	}
	var one string
	if json.Unmarshal(e.Input, &one) == nil && len(e.Input) > 0 && e.Input[0] == '"' {
		return []string{one}, nil
	}
	return nil, errInput
}

// embed answers at once, paced or not: pacing is a matter of generated tokens.
func (s *stub) embed(w http.ResponseWriter, r *http.Request) {
	var ask embedRequest
	if !read(w, r, &ask) {
		return
	}
	texts, err := ask.texts()
	vector := s.vectors
	switch {
	case ask.Model == "":
		refuse(w, http.StatusBadRequest, "you must provide a model parameter")
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
		return
	case ask.EncodingFormat != "" && ask.EncodingFormat != "float" && ask.EncodingFormat != "base64":
		refuse(w, http.StatusBadRequest, "encoding_format must be float or base64")
		return
	case ask.Dimensions != nil && (*ask.Dimensions < stampPieces || *ask.Dimensions > maxDimensions):
		refuse(w, http.StatusBadRequest, "dimensions is out of range")
		return
	case ask.Dimensions != nil && *ask.Dimensions != s.config.Dimensions:
		vector = newVectors(s.config.Seed, *ask.Dimensions)
	}
	wrong := s.draw()
	if wrong == faultHTTP503 {
		refuse(w, http.StatusServiceUnavailable, "overloaded, as asked for")
		return
	}
	s.report.add(nil)
	own := scratches.Get().(*scratch)
	defer scratches.Put(own)
	own.buf = appendEmbeddings(own.buf[:0], vector, texts, ask.EncodingFormat == "base64")
	s.body(w, own.buf, wrong)
}

func appendEmbeddings(to []byte, vector *vectors, texts []string, encoded bool) []byte {
	// Counting comes first: the stamp is to be as close to the write as it can be.
	prompt := 0
	for _, text := range texts {
		prompt += words(text)
	}
	to = append(to, `{"object":"list","data":[`...)
	for i := range texts {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(to, `{"object":"embedding","index":`...)
		to = strconv.AppendInt(to, int64(i), 10)
		to = append(to, `,"embedding":`...)
		if encoded {
			to = vector.appendBase64(to, mono.Now())
		} else {
			to = vector.appendFloats(to, mono.Now())
		}
		to = append(to, '}')
	}
	to = append(to, `],"model":"stub","usage":{"prompt_tokens":`...)
	to = strconv.AppendInt(to, int64(prompt), 10)
	to = append(to, `,"total_tokens":`...)
	to = strconv.AppendInt(to, int64(prompt), 10)
	return append(to, "}}"...)
}

// body writes a whole JSON answer, or what the fault makes of it.
func (s *stub) body(w http.ResponseWriter, body []byte, wrong string) {
	w.Header().Set("Content-Type", "application/json")
	switch wrong {
	case faultReset:
		reset(w)
		return
	case faultCorrupt:
		body = append(body[:len(body)/2], `}}}`...)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if wrong == faultTruncate {
		// Fewer bytes than announced: net/http closes the connection, the client sees an early end.
		body = body[:len(body)/2]
	}
	_, _ = w.Write(body)
}

func promptTokens(ask *chatRequest) int {
	total := 0
	for _, message := range ask.Messages {
		fields, _ := message.(map[string]any)
		if text, ok := fields["content"].(string); ok {
			total += words(text)
		}
	}
	return total
}
