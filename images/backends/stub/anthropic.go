package main

import (
	"net/http"

	"sealbench.org/stub/internal/mono"
)

const (
	anthropicHead = `"id":"msg_stub","type":"message","role":"assistant","model":"stub",`

	anthropicBlock = "event: content_block_start\n" +
		`data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n" +
		anthropicPing
	anthropicPing  = "event: ping\n" + `data: {"type":"ping"}` + "\n\n"
	anthropicDelta = "event: content_block_delta\n" +
		`data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"`
	anthropicStop = "event: content_block_stop\n" + `data: {"type":"content_block_stop","index":0}` + "\n\n" +
		"event: message_delta\n" +
		`data: {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"output_tokens":`
	anthropicEnd = "event: message_stop\n" + `data: {"type":"message_stop"}` + "\n\n"
)

// anthropic is Anthropic's wire format: messages, with its named events.
type anthropic struct{}

type anthropicChat struct {
	Model    string  `json:"model"`
	System   content `json:"system"`
	Messages []struct {
		Content content `json:"content"`
	} `json:"messages"`
	Stream    bool `json:"stream"`
	MaxTokens *int `json:"max_tokens"`
}

// ask reads the request, but for what depends on the settings.
func (sent *anthropicChat) ask(arrival int64, path string) (*ask, error) {
	a := &ask{arrival: arrival, path: path, model: sent.Model, stream: sent.Stream, messages: len(sent.Messages)}
	err := a.take(sent.System)
	for i := 0; i < len(sent.Messages) && err == nil; i++ {
		err = a.take(sent.Messages[i].Content)
	}
	return a, err
}

func (s *stub) anthropicChat(w http.ResponseWriter, r *http.Request) {
	arrival := mono.Now()
	var sent anthropicChat
	if !read(w, r, anthropic{}, &sent) {
		return
	}
	a, err := sent.ask(arrival, r.URL.Path)
	switch {
	case err != nil:
	case sent.MaxTokens == nil:
		err = badRequest("max_tokens: Field required")
	default:
		err = s.settleChat(a, sent.MaxTokens)
	}
	if err != nil {
		refuse(w, anthropic{}, err)
		return
	}
	s.chat(w, r, a, anthropic{})
}

func (s *stub) anthropicCount(w http.ResponseWriter, r *http.Request) {
	var sent anthropicChat
	if !read(w, r, anthropic{}, &sent) {
		return
	}
	a, err := sent.ask(mono.Now(), r.URL.Path)
	if err == nil {
		err = s.settle(a)
	}
	s.count(w, a, anthropic{}, err, `{"input_tokens":`)
}

func (anthropic) streamType() string { return "text/event-stream; charset=utf-8" }

// begin is sent at once, as Anthropic does: the message's head, the start of its only block, a ping.
func (anthropic) begin(to []byte, a *ask) []byte {
	to = append(to, "event: message_start\n"+`data: {"type":"message_start","message":{`+anthropicHead+
		`"content":[],"stop_reason":null,"stop_sequence":null,`...)
	to = append(appendAnthropicUsage(to, a.prompt, 1), "}}\n\n"...)
	return append(to, anthropicBlock...)
}

func (anthropic) keepAlive(to []byte) []byte { return openai{}.keepAlive(to) }

func (anthropic) token(to []byte, a *ask, i int, ns int64) []byte {
	to = append(to, anthropicDelta...)
	to = a.appendToken(to, i, ns)
	return append(to, `"}}`+"\n\n"...)
}

func (anthropic) end(to []byte, a *ask, _ int64) []byte {
	to = append(appendInt(to, anthropicStop, a.play.tokens), "}}\n\n"...)
	return append(to, anthropicEnd...)
}

func (anthropic) whole(to []byte, a *ask, ns int64) []byte {
	to = append(to, `{`+anthropicHead+`"content":[{"type":"text","text":"`...)
	to = a.appendText(to, ns)
	to = append(to, `"}],"stop_reason":"max_tokens","stop_sequence":null,`...)
	return append(appendAnthropicUsage(to, a.prompt, a.play.tokens), '}')
}

func appendAnthropicUsage(to []byte, prompt, tokens int) []byte {
	to = appendInt(to, `"usage":{"input_tokens":`, prompt)
	return append(appendInt(to, `,"output_tokens":`, tokens), '}')
}

func (anthropic) failure(status int, text string) any {
	kind := "invalid_request_error"
	switch {
	case status == http.StatusNotFound:
		kind = "not_found_error"
	case status == http.StatusServiceUnavailable:
		kind = "overloaded_error"
	case status >= http.StatusInternalServerError:
		kind = "api_error"
	}
	type object struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return struct {
		Type  string `json:"type"`
		Error object `json:"error"`
	}{"error", object{kind, text}}
}
