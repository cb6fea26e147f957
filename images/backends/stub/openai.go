package main

import (
	"net/http"
	"strconv"

	"sealbench.org/stub/internal/mono"
)

const (
	// A fixed "created": the stub's bytes depend on its settings and its clock of write times, on nothing else.
	created   = "1700000000"
	createdAt = "2023-11-14T22:13:20Z"

	openaiHead  = `"id":"chatcmpl-stub","created":` + created + `,"model":"stub",`
	openaiChunk = `data: {` + openaiHead + `"object":"chat.completion.chunk","choices":[`
	openaiModel = `{"id":"stub","object":"model","created":` + created + `,"owned_by":"sealbench"}`
)

// openai is OpenAI's wire format: chat completions and embeddings.
type openai struct{}

type openaiChat struct {
	Model    string `json:"model"`
	Messages []struct {
		Content content `json:"content"`
	} `json:"messages"`
	Stream              bool `json:"stream"`
	MaxTokens           *int `json:"max_tokens"`
	MaxCompletionTokens *int `json:"max_completion_tokens"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

func (s *stub) openaiChat(w http.ResponseWriter, r *http.Request) {
	arrival := mono.Now()
	var sent openaiChat
	if !read(w, r, openai{}, &sent) {
		return
	}
	a := &ask{
		arrival: arrival, path: r.URL.Path, model: sent.Model, stream: sent.Stream,
		usage: sent.StreamOptions.IncludeUsage, messages: len(sent.Messages),
	}
	limit := sent.MaxTokens
	if sent.MaxCompletionTokens != nil {
		limit = sent.MaxCompletionTokens
	}
	var err error
	for i := 0; i < len(sent.Messages) && err == nil; i++ {
		err = a.take(sent.Messages[i].Content)
	}
	if err == nil {
		err = s.settleChat(a, limit)
	}
	if err != nil {
		refuse(w, openai{}, err)
		return
	}
	s.chat(w, r, a, openai{})
}

func (openai) streamType() string { return "text/event-stream" }

func (openai) begin(to []byte, _ *ask) []byte { return to }

func (openai) keepAlive(to []byte) []byte { return append(to, ": keep-alive\n\n"...) }

// token appends the server-sent event of one token. The first one also carries the role, as OpenAI's does.
func (openai) token(to []byte, a *ask, i int, ns int64) []byte {
	to = append(to, openaiChunk+`{"index":0,"delta":{`...)
	if i == 0 {
		to = append(to, `"role":"assistant",`...)
	}
	to = append(to, `"content":"`...)
	to = a.appendToken(to, i, ns)
	return append(to, `"},"finish_reason":null}]}`+"\n\n"...)
}

// end appends the finish reason, the usage if it was asked for, and [DONE].
func (openai) end(to []byte, a *ask, _ int64) []byte {
	to = append(to, openaiChunk+`{"index":0,"delta":{},"finish_reason":"length"}]}`+"\n\n"...)
	if a.usage {
		to = append(to, openaiChunk+`],`...)
		to = append(appendOpenaiUsage(to, a), "}\n\n"...)
	}
	return append(to, "data: [DONE]\n\n"...)
}

func (openai) whole(to []byte, a *ask, ns int64) []byte {
	to = append(to, `{`+openaiHead+`"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"`...)
	to = a.appendText(to, ns)
	to = append(to, `"},"finish_reason":"length"}],`...)
	return append(appendOpenaiUsage(to, a), '}')
}

func appendOpenaiUsage(to []byte, a *ask) []byte {
	to = appendInt(to, `"usage":{"prompt_tokens":`, a.prompt)
	to = appendInt(to, `,"completion_tokens":`, a.play.tokens)
	return append(appendInt(to, `,"total_tokens":`, a.prompt+a.play.tokens), '}')
}

func (openai) failure(status int, text string) any {
	kind := "invalid_request_error"
	if status >= http.StatusInternalServerError {
		kind = "server_error"
	}
	type object struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	return struct {
		Error object `json:"error"`
	}{object{Message: text, Type: kind}}
}

type openaiEmbed struct {
	Model          string    `json:"model"`
	Input          oneOrMany `json:"input"`
	EncodingFormat string    `json:"encoding_format"`
	Dimensions     *int      `json:"dimensions"`
}

func (s *stub) openaiEmbed(w http.ResponseWriter, r *http.Request) {
	var sent openaiEmbed
	if !read(w, r, openai{}, &sent) {
		return
	}
	var err error
	dimensions := 0
	switch {
	case len(sent.Input) == 0:
		err = badRequest("%v", errInput)
	case sent.EncodingFormat != "" && sent.EncodingFormat != "float" && sent.EncodingFormat != "base64":
		err = badRequest("encoding_format must be float or base64")
	case sent.Dimensions != nil && *sent.Dimensions < 1:
		err = badRequest("dimensions is out of range")
	case sent.Dimensions != nil:
		dimensions = *sent.Dimensions
	}
	if err != nil {
		refuse(w, openai{}, err)
		return
	}
	a := &ask{path: r.URL.Path, model: sent.Model, encoding: sent.EncodingFormat, texts: sent.Input, messages: len(sent.Input)}
	s.embed(w, r, a, openai{}, dimensions, appendOpenaiEmbeddings)
}

type openaiCount struct {
	Model string    `json:"model"`
	Input oneOrMany `json:"input"`
}

// openaiCount is the one route of OpenAI's newer API (responses) that clients need to count tokens.
func (s *stub) openaiCount(w http.ResponseWriter, r *http.Request) {
	var sent openaiCount
	if !read(w, r, openai{}, &sent) {
		return
	}
	a := &ask{path: r.URL.Path, model: sent.Model, texts: sent.Input, messages: len(sent.Input)}
	err := s.settle(a)
	if len(sent.Input) == 0 {
		err = badRequest("%v", errInput)
	}
	s.count(w, a, openai{}, err, `{"object":"response.input_tokens","input_tokens":`)
}

func appendOpenaiEmbeddings(to []byte, a *ask, v *vectors) []byte {
	to = append(to, `{"object":"list","data":[`...)
	to = a.appendEach(to, func(to []byte, i int, ns int64) []byte {
		to = appendInt(to, `{"object":"embedding","index":`, i)
		to = append(to, `,"embedding":`...)
		if a.encoding == "base64" {
			to = v.appendBase64(to, ns)
		} else {
			to = v.appendFloats(to, ns)
		}
		return append(to, '}')
	})
	to = appendInt(to, `],"model":"stub","usage":{"prompt_tokens":`, a.prompt)
	return append(appendInt(to, `,"total_tokens":`, a.prompt), "}}"...)
}

func (s *stub) openaiModels(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, `{"object":"list","data":[`+openaiModel+`]}`)
}

func (s *stub) openaiModel(w http.ResponseWriter, r *http.Request) {
	if model := r.PathValue("model"); model != stubModel {
		refuse(w, openai{}, &refusal{http.StatusNotFound, "the model " + strconv.Quote(model) + " does not exist"})
		return
	}
	writeJSON(w, openaiModel)
}
