package main

import (
	"io"
	"net/http"
	"strings"

	"sealbench.org/stub/internal/mono"
)

const (
	ollamaHead    = `{"model":"stub","created_at":"` + createdAt + `",`
	ollamaDetails = `{"parent_model":"","format":"gguf","family":"stub","families":["stub"],"parameter_size":"0","quantization_level":""}`
	ollamaDigest  = "0000000000000000000000000000000000000000000000000000000000000000"
	ollamaTags    = `{"models":[{"name":"stub:latest","model":"stub:latest","modified_at":"` + createdAt +
		`","size":0,"digest":"` + ollamaDigest + `","details":` + ollamaDetails + `}]}`
	ollamaShow = `{"modelfile":"","parameters":"","template":"{{ .Prompt }}","details":` + ollamaDetails +
		`,"model_info":{"general.architecture":"stub"},"capabilities":["completion","vision","embedding"],"modified_at":"` + createdAt + `"}`
)

// ollama is the wire format of an Ollama server: JSON lines. Chat and generate differ in where the text stands.
type ollama struct{ generate bool }

type ollamaOptions struct {
	NumPredict *int `json:"num_predict"`
}

// limit is nil for "no limit", which Ollama writes as a negative number.
func (o ollamaOptions) limit() *int {
	if o.NumPredict != nil && *o.NumPredict < 0 {
		return nil
	}
	return o.NumPredict
}

type ollamaChat struct {
	Model    string `json:"model"`
	Messages []struct {
		Content string   `json:"content"`
		Images  [][]byte `json:"images"`
	} `json:"messages"`
	Stream  *bool         `json:"stream"`
	Options ollamaOptions `json:"options"`
}

type ollamaGenerate struct {
	Model  string `json:"model"`
	System string `json:"system"`
	Prompt string `json:"prompt"`
	// Template stands for the model's own, which here is the prompt and nothing else.
	Template string        `json:"template"`
	Images   [][]byte      `json:"images"`
	Stream   *bool         `json:"stream"`
	Options  ollamaOptions `json:"options"`
}

// prompted is the prompt as the request's template makes it. Of Ollama's language the stub knows that one name.
func (sent *ollamaGenerate) prompted() string {
	if sent.Template == "" {
		return sent.Prompt
	}
	return strings.NewReplacer("{{ .Prompt }}", sent.Prompt, "{{.Prompt}}", sent.Prompt).Replace(sent.Template)
}

func (a *ask) takeOllama(text string, images [][]byte) {
	if text != "" {
		a.texts = append(a.texts, text)
	}
	for _, data := range images {
		a.images = append(a.images, picture{data: data})
	}
}

func (s *stub) ollamaChat(w http.ResponseWriter, r *http.Request) {
	arrival := mono.Now()
	var sent ollamaChat
	if !read(w, r, ollama{}, &sent) {
		return
	}
	a := &ask{arrival: arrival, path: r.URL.Path, model: sent.Model, stream: isStreamed(sent.Stream), messages: len(sent.Messages)}
	for _, message := range sent.Messages {
		a.takeOllama(message.Content, message.Images)
	}
	s.ollamaAnswer(w, r, a, sent.Options, ollama{})
}

func (s *stub) ollamaGenerate(w http.ResponseWriter, r *http.Request) {
	arrival := mono.Now()
	var sent ollamaGenerate
	if !read(w, r, ollama{}, &sent) {
		return
	}
	a := &ask{arrival: arrival, path: r.URL.Path, model: sent.Model, stream: isStreamed(sent.Stream), messages: 1}
	a.takeOllama(sent.System, nil)
	a.takeOllama(sent.prompted(), sent.Images)
	s.ollamaAnswer(w, r, a, sent.Options, ollama{generate: true})
}

// isStreamed is Ollama's default, which clients leave out.
func isStreamed(sent *bool) bool { return sent == nil || *sent }

func (s *stub) ollamaAnswer(w http.ResponseWriter, r *http.Request, a *ask, options ollamaOptions, f ollama) {
	a.model = strings.TrimSuffix(a.model, ":latest")
	if err := s.settleChat(a, options.limit()); err != nil {
		refuse(w, f, err)
		return
	}
	s.chat(w, r, a, f)
}

func (ollama) streamType() string { return "application/x-ndjson" }

func (ollama) begin(to []byte, _ *ask) []byte { return to }

func (ollama) keepAlive(to []byte) []byte { return append(to, '\n') }

func (f ollama) open(to []byte) []byte {
	if f.generate {
		return append(to, ollamaHead+`"response":"`...)
	}
	return append(to, ollamaHead+`"message":{"role":"assistant","content":"`...)
}

func (f ollama) shut(to []byte) []byte {
	if f.generate {
		return append(to, `",`...)
	}
	return append(to, `"},`...)
}

func (f ollama) token(to []byte, a *ask, i int, ns int64) []byte {
	to = f.shut(a.appendToken(f.open(to), i, ns))
	return append(to, `"done":false}`+"\n"...)
}

func (f ollama) end(to []byte, a *ask, ns int64) []byte {
	return append(appendOllamaDone(f.shut(f.open(to)), a, ns), '\n')
}

func (f ollama) whole(to []byte, a *ask, ns int64) []byte {
	return appendOllamaDone(f.shut(a.appendText(f.open(to), ns)), a, ns)
}

func appendOllamaDone(to []byte, a *ask, ns int64) []byte {
	to = appendInt(to, `"done":true,"done_reason":"length","total_duration":`, int(ns-a.arrival))
	to = appendInt(to, `,"load_duration":0,"prompt_eval_count":`, a.prompt)
	to = appendInt(to, `,"prompt_eval_duration":`, int(a.begun-a.arrival))
	to = appendInt(to, `,"eval_count":`, a.play.tokens)
	return append(appendInt(to, `,"eval_duration":`, int(ns-a.begun)), '}')
}

func (ollama) failure(_ int, text string) any {
	return struct {
		Error string `json:"error"`
	}{text}
}

type ollamaEmbed struct {
	Model      string    `json:"model"`
	Input      oneOrMany `json:"input"`
	Dimensions int       `json:"dimensions"`
}

func (s *stub) ollamaEmbed(w http.ResponseWriter, r *http.Request) {
	arrival := mono.Now()
	var sent ollamaEmbed
	if !read(w, r, ollama{}, &sent) {
		return
	}
	a := &ask{
		arrival: arrival, path: r.URL.Path, model: strings.TrimSuffix(sent.Model, ":latest"),
		texts: sent.Input, messages: len(sent.Input),
	}
	if len(sent.Input) == 0 {
		refuse(w, ollama{}, badRequest("%v", errInput))
		return
	}
	s.embed(w, r, a, ollama{}, sent.Dimensions, appendOllamaEmbeddings)
}

// ollamaEmbeddings is the endpoint that /api/embed replaced; some clients still call it.
func (s *stub) ollamaEmbeddings(w http.ResponseWriter, r *http.Request) {
	var sent ollamaGenerate
	if !read(w, r, ollama{}, &sent) {
		return
	}
	a := &ask{path: r.URL.Path, model: strings.TrimSuffix(sent.Model, ":latest"), texts: []string{sent.Prompt}, messages: 1}
	s.embed(w, r, a, ollama{}, 0, func(to []byte, _ *ask, v *vectors) []byte {
		return append(v.appendFloats(append(to, `{"embedding":`...), mono.Now()), '}')
	})
}

func appendOllamaEmbeddings(to []byte, a *ask, v *vectors) []byte {
	to = append(to, `{"model":"stub","embeddings":[`...)
	to = a.appendEach(to, func(to []byte, _ int, ns int64) []byte { return v.appendFloats(to, ns) })
	to = appendInt(to, `],"total_duration":`, int(mono.Now()-a.arrival))
	return append(appendInt(to, `,"load_duration":0,"prompt_eval_count":`, a.prompt), '}')
}

func (s *stub) ollamaTags(w http.ResponseWriter, _ *http.Request) { writeJSON(w, ollamaTags) }

// ollamaVersion names no release of Ollama: this is none.
func (s *stub) ollamaVersion(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, `{"version":"0.0.0"}`)
}

func (s *stub) ollamaShow(w http.ResponseWriter, r *http.Request) {
	var sent ollamaGenerate
	if !read(w, r, ollama{}, &sent) {
		return
	}
	if strings.TrimSuffix(sent.Model, ":latest") != stubModel {
		refuse(w, ollama{}, &refusal{http.StatusNotFound, "model '" + sent.Model + "' not found"})
		return
	}
	writeJSON(w, ollamaShow)
}

// ollamaRoot is what a client's heartbeat asks for.
func (s *stub) ollamaRoot(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "Ollama is running")
}
