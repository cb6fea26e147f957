package main

import (
	"net/http"
	"strings"

	"sealbench.org/stub/internal/mono"
)

const geminiPrefix = "models/"

// gemini is the wire format of the Gemini API. Streams are server-sent events with alt=sse, else one JSON array.
type gemini struct{ array bool }

type geminiContent struct {
	Parts []struct {
		Text       string `json:"text"`
		InlineData *struct {
			Data []byte `json:"data"`
		} `json:"inlineData"`
	} `json:"parts"`
}

type geminiGenerate struct {
	Contents          []geminiContent `json:"contents"`
	SystemInstruction geminiContent   `json:"systemInstruction"`
	GenerationConfig  struct {
		MaxOutputTokens *int `json:"maxOutputTokens"`
	} `json:"generationConfig"`
	// Of countTokens only: a whole request in place of contents.
	GenerateContentRequest *geminiGenerate `json:"generateContentRequest"`
}

type geminiEmbed struct {
	Content              geminiContent `json:"content"`
	OutputDimensionality int           `json:"outputDimensionality"`
}

type geminiBatch struct {
	Requests []geminiEmbed `json:"requests"`
}

func (a *ask) takeGemini(c geminiContent) {
	for _, piece := range c.Parts {
		if piece.InlineData != nil {
			a.images = append(a.images, picture{data: piece.InlineData.Data})
		} else {
			a.texts = append(a.texts, piece.Text)
		}
	}
}

// ask reads the request, but for what depends on the settings.
func (sent *geminiGenerate) ask(arrival int64, path, model string) *ask {
	if sent.GenerateContentRequest != nil {
		return sent.GenerateContentRequest.ask(arrival, path, model)
	}
	a := &ask{arrival: arrival, path: path, model: model, messages: len(sent.Contents)}
	a.takeGemini(sent.SystemInstruction)
	for _, message := range sent.Contents {
		a.takeGemini(message)
	}
	return a
}

// geminiCall takes "{model}:{method}", with or without the prefix "models/" in the name.
func (s *stub) geminiCall(w http.ResponseWriter, r *http.Request) {
	arrival := mono.Now()
	call := r.PathValue("call")
	colon := strings.LastIndexByte(call, ':')
	model := strings.TrimPrefix(call[:max(colon, 0)], geminiPrefix)
	switch call[colon+1:] {
	case "streamGenerateContent":
		s.geminiChat(w, r, arrival, model, gemini{array: r.URL.Query().Get("alt") != "sse"}, true)
	case "generateContent":
		s.geminiChat(w, r, arrival, model, gemini{}, false)
	case "countTokens":
		s.geminiCount(w, r, model)
	case "embedContent":
		s.geminiEmbed(w, r, model)
	case "batchEmbedContents":
		s.geminiBatch(w, r, model)
	default:
		noRoute(w, r)
	}
}

func (s *stub) geminiChat(w http.ResponseWriter, r *http.Request, arrival int64, model string, f gemini, stream bool) {
	var sent geminiGenerate
	if !read(w, r, f, &sent) {
		return
	}
	a := sent.ask(arrival, r.URL.Path, model)
	a.stream = stream
	if err := s.settleChat(a, sent.GenerationConfig.MaxOutputTokens); err != nil {
		refuse(w, f, err)
		return
	}
	s.chat(w, r, a, f)
}

func (s *stub) geminiCount(w http.ResponseWriter, r *http.Request, model string) {
	var sent geminiGenerate
	if !read(w, r, gemini{}, &sent) {
		return
	}
	a := sent.ask(mono.Now(), r.URL.Path, model)
	s.count(w, a, gemini{}, s.settle(a), `{"totalTokens":`)
}

func (s *stub) geminiEmbed(w http.ResponseWriter, r *http.Request, model string) {
	var sent geminiEmbed
	if !read(w, r, gemini{}, &sent) {
		return
	}
	s.geminiVectors(w, r, model, []geminiEmbed{sent}, appendGeminiEmbedding)
}

func (s *stub) geminiBatch(w http.ResponseWriter, r *http.Request, model string) {
	var sent geminiBatch
	if !read(w, r, gemini{}, &sent) {
		return
	}
	s.geminiVectors(w, r, model, sent.Requests, appendGeminiEmbeddings)
}

func (s *stub) geminiVectors(w http.ResponseWriter, r *http.Request, model string, sent []geminiEmbed, write embedding) {
	if len(sent) == 0 {
		refuse(w, gemini{}, badRequest("requests must not be empty"))
		return
	}
	a := &ask{path: r.URL.Path, model: model, messages: len(sent)}
	for _, one := range sent {
		text := ""
		for _, piece := range one.Content.Parts {
			text += piece.Text
		}
		if one.OutputDimensionality != sent[0].OutputDimensionality {
			refuse(w, gemini{}, badRequest("outputDimensionality must be the same in all requests"))
			return
		}
		a.texts = append(a.texts, text)
	}
	s.embed(w, r, a, gemini{}, sent[0].OutputDimensionality, write)
}

func appendGeminiValues(to []byte, v *vectors, ns int64) []byte {
	return append(v.appendFloats(append(to, `{"values":`...), ns), '}')
}

func appendGeminiEmbedding(to []byte, _ *ask, v *vectors) []byte {
	return append(appendGeminiValues(append(to, `{"embedding":`...), v, mono.Now()), '}')
}

func appendGeminiEmbeddings(to []byte, a *ask, v *vectors) []byte {
	to = append(to, `{"embeddings":[`...)
	to = a.appendEach(to, func(to []byte, _ int, ns int64) []byte { return appendGeminiValues(to, v, ns) })
	return append(to, "]}"...)
}

func (f gemini) streamType() string {
	if f.array {
		return "application/json; charset=UTF-8"
	}
	return "text/event-stream"
}

func (f gemini) begin(to []byte, _ *ask) []byte {
	if f.array {
		return append(to, '[')
	}
	return to
}

func (f gemini) keepAlive(to []byte) []byte {
	if f.array {
		return append(to, '\n')
	}
	return openai{}.keepAlive(to)
}

func (f gemini) token(to []byte, a *ask, i int, ns int64) []byte {
	to = f.open(to, i)
	to = append(to, `{"candidates":[{"content":{"parts":[{"text":"`...)
	to = a.appendToken(to, i, ns)
	to = append(to, `"}],"role":"model"},"index":0}],`...)
	to = appendGeminiUsage(to, a.prompt, i+1)
	return f.shut(to)
}

func (f gemini) end(to []byte, a *ask, _ int64) []byte {
	to = f.open(to, a.play.tokens)
	to = append(to, `{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"MAX_TOKENS","index":0}],`...)
	to = f.shut(appendGeminiUsage(to, a.prompt, a.play.tokens))
	if f.array {
		to = append(to, "]\n"...)
	}
	return to
}

// open begins chunk i of a stream, shut ends one.
func (f gemini) open(to []byte, i int) []byte {
	switch {
	case !f.array:
		return append(to, "data: "...)
	case i > 0:
		return append(to, ",\r\n"...)
	}
	return to
}

func (f gemini) shut(to []byte) []byte {
	if f.array {
		return to
	}
	return append(to, "\r\n\r\n"...)
}

func (f gemini) whole(to []byte, a *ask, ns int64) []byte {
	to = append(to, `{"candidates":[{"content":{"parts":[{"text":"`...)
	to = a.appendText(to, ns)
	to = append(to, `"}],"role":"model"},"finishReason":"MAX_TOKENS","index":0}],`...)
	return appendGeminiUsage(to, a.prompt, a.play.tokens)
}

func appendGeminiUsage(to []byte, prompt, tokens int) []byte {
	to = appendInt(to, `"usageMetadata":{"promptTokenCount":`, prompt)
	to = appendInt(to, `,"candidatesTokenCount":`, tokens)
	to = appendInt(to, `,"totalTokenCount":`, prompt+tokens)
	return append(to, `},"modelVersion":"stub","responseId":"stub"}`...)
}

func (gemini) failure(status int, text string) any {
	name := "INVALID_ARGUMENT"
	switch {
	case status == http.StatusNotFound:
		name = "NOT_FOUND"
	case status == http.StatusServiceUnavailable:
		name = "UNAVAILABLE"
	case status >= http.StatusInternalServerError:
		name = "INTERNAL"
	}
	type object struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Status  string `json:"status"`
	}
	return struct {
		Error object `json:"error"`
	}{object{status, text, name}}
}
