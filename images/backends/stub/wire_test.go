package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// wire is how a test speaks one format.
type wire struct {
	name  string
	path  string // may hold the model
	body  string // %[1]s model, %[2]d tokens, %[3]s image or nothing
	image string // %s is base64
	frame *regexp.Regexp
	last  string // in a complete stream, not in a truncated one
}

const geminiBody = `{"contents":[{"role":"user","parts":[{"text":"one two three"}%[3]s]}],"generationConfig":{"maxOutputTokens":%[2]d},"model":"%[1]s"}`

var wires = []wire{
	{
		"openai", "/v1/chat/completions",
		`{"model":"%[1]s","stream":true,"max_tokens":%[2]d,"messages":[{"role":"user","content":[{"type":"text","text":"one two three"}%[3]s]}]}`,
		`,{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}`,
		regexp.MustCompile(`(?m)^data: \{.*"delta":\{(?:"role":"assistant",)?"content":"([^"]*)"\},"finish_reason":null`), "data: [DONE]\n\n",
	},
	{
		"anthropic", "/v1/messages",
		`{"model":"%[1]s","stream":true,"max_tokens":%[2]d,"messages":[{"role":"user","content":[{"type":"text","text":"one two three"}%[3]s]}]}`,
		`,{"type":"image","source":{"type":"base64","media_type":"image/png","data":"%s"}}`,
		regexp.MustCompile(`(?m)^data: .*"text_delta","text":"([^"]*)"`), "event: message_stop\n",
	},
	{
		"gemini", "/v1beta/models/%s:streamGenerateContent?alt=sse", geminiBody,
		`,{"inlineData":{"mimeType":"image/png","data":"%s"}}`,
		regexp.MustCompile(`(?m)^data: .*"parts":\[\{"text":"([^"]+)"`), `"finishReason":"MAX_TOKENS"`,
	},
	{
		"gemini array", "/v1beta/models/%s:streamGenerateContent", geminiBody,
		`,{"inlineData":{"mimeType":"image/png","data":"%s"}}`,
		regexp.MustCompile(`"parts":\[\{"text":"([^"]+)"`), `"finishReason":"MAX_TOKENS"`,
	},
	{
		"ollama", "/api/chat",
		`{"model":"%[1]s","options":{"num_predict":%[2]d},"messages":[{"role":"user","content":"one two three"%[3]s}]}`,
		`,"images":["%s"]`,
		regexp.MustCompile(`(?m)^\{.*"content":"([^"]+)"`), `"done":true`,
	},
	{
		"ollama generate", "/api/generate",
		`{"model":"%[1]s","options":{"num_predict":%[2]d},"prompt":"one two three"%[3]s}`,
		`,"images":["%s"]`,
		regexp.MustCompile(`(?m)^\{.*"response":"([^"]+)"`), `"done":true`,
	},
}

func (f wire) ask(t *testing.T, server *httptest.Server, model string, tokens int, image []byte) (*http.Response, string) {
	t.Helper()
	path, piece := f.path, ""
	if strings.Contains(path, "%s") {
		path = fmt.Sprintf(path, model)
	}
	if image != nil {
		piece = fmt.Sprintf(f.image, base64.StdEncoding.EncodeToString(image))
	}
	response := post(t, server, path, fmt.Sprintf(f.body, model, tokens, piece))
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	return response, string(body)
}

// texts are the pieces of generated text in a stream.
func (f wire) texts(body string) (texts []string) {
	for _, match := range f.frame.FindAllStringSubmatch(body, -1) {
		texts = append(texts, match[1])
	}
	return texts
}

func somePNG(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewRGBA(image.Rect(0, 0, 56, 56))); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestEveryWireFormatStreamsStampedTokens(t *testing.T) {
	server, _ := start(t, func(*config) {})
	stamp := regexp.MustCompile(`^w\d{18} $`)
	for _, f := range wires {
		response, body := f.ask(t, server, "stub", 5, nil)
		texts := f.texts(body)
		if response.StatusCode != 200 || len(texts) != 5 || !strings.Contains(body, f.last) {
			t.Errorf("%s: status %d, texts %q, body %s", f.name, response.StatusCode, texts, body)
		}
		for i, text := range texts {
			if !stamp.MatchString(text) || i > 0 && text < texts[i-1] {
				t.Errorf("%s: token %d is %q", f.name, i, text)
			}
		}
		if f.name == "gemini array" && !json.Valid([]byte(body)) {
			t.Errorf("no JSON array: %s", body)
		}
	}
}

func TestPositionsOfAScenario(t *testing.T) {
	server, _ := start(t, func(*config) {})
	for _, f := range wires {
		for _, c := range []struct {
			model   string
			whole   int // frames that are as they should be
			bad     int // lines of JSON that are none
			ends    bool
			special string
		}{
			{"stub+tokens=7", 7, 0, true, ""},
			{"stub+truncate=3", 3, 0, false, ""},
			{"stub+truncate=0", 0, 0, false, ""},
			{"stub+corrupt=3", 9, 1, true, ""},
			{"stub+frame=70000", 10, 0, true, strings.Repeat("abcdefghijklmnopqrstuvwxyz", 2692) + "abcdefgh"},
			{"stub+chinese", 10, 0, true, "丠両丢丣"},
			{"stub+comments=3", 10, 0, true, ""},
			{"stub+chinese+tokens=2", 2, 0, true, "一丁丂七"},
			{"stub+status=0", 10, 0, true, ""},
		} {
			_, body := f.ask(t, server, c.model, 10, nil)
			if f.name == "gemini array" && c.bad > 0 {
				continue // its frames have no lines of their own
			}
			texts := f.texts(body)
			if len(texts) != c.whole || strings.Contains(body, f.last) != c.ends || brokenLines(body) != c.bad && f.name != "gemini array" {
				t.Errorf("%s, %s: %d frames, %d broken, body %.3000s", f.name, c.model, len(texts), brokenLines(body), body)
			}
			if c.special != "" && !strings.Contains(strings.Join(texts, " "), c.special) {
				t.Errorf("%s, %s: texts %.2000q", f.name, c.model, texts)
			}
		}
	}
}

func brokenLines(body string) int {
	broken := 0
	for line := range strings.Lines(body) {
		line = strings.TrimPrefix(strings.TrimRight(line, "\r\n"), "data: ")
		if strings.HasPrefix(line, "{") && !json.Valid([]byte(line)) {
			broken++
		}
	}
	return broken
}

func TestKeepAlivesComeBeforeTheFirstToken(t *testing.T) {
	server, _ := start(t, func(*config) {})
	for _, f := range wires {
		_, body := f.ask(t, server, "stub+comments=300", 2, nil)
		before, _, _ := strings.Cut(body, f.texts(body)[0])
		comments := strings.Count(before, ": keep-alive\n\n")
		if strings.HasPrefix(f.name, "ollama") || f.name == "gemini array" {
			comments = strings.Count(before, "\n")
		}
		if comments != 300 {
			t.Errorf("%s: %d keep-alives", f.name, comments)
		}
	}
}

func TestErrorsAreTheFormatsOwn(t *testing.T) {
	server, _ := start(t, func(*config) {})
	shapes := map[string]*regexp.Regexp{
		"openai":          regexp.MustCompile(`^\{"error":\{"message":".+","type":"(invalid_request_error|server_error)","param":null,"code":null\}\}`),
		"anthropic":       regexp.MustCompile(`^\{"type":"error","error":\{"type":"(invalid_request_error|overloaded_error|not_found_error)","message":".+"\}\}`),
		"gemini":          regexp.MustCompile(`^\{"error":\{"code":(400|503|404),"message":".+","status":"(INVALID_ARGUMENT|UNAVAILABLE|NOT_FOUND)"\}\}`),
		"ollama":          regexp.MustCompile(`^\{"error":".+"\}`),
		"ollama generate": regexp.MustCompile(`^\{"error":".+"\}`),
	}
	shapes["gemini array"] = shapes["gemini"]
	for _, f := range wires {
		for model, want := range map[string]int{"stub+status=1": 503, "stub+rain": 404, "stub+tokens=0": 404, "stub+endless=1": 404, "stub+status=2": 404} {
			if response, body := f.ask(t, server, model, 3, nil); response.StatusCode != want || !shapes[f.name].MatchString(body) {
				t.Errorf("%s, %s: %d %s", f.name, model, response.StatusCode, body)
			}
		}
		if response, body := f.ask(t, server, "stub", 0, nil); response.StatusCode != 400 || !shapes[f.name].MatchString(body) {
			t.Errorf("%s, 0 tokens: %d %s", f.name, response.StatusCode, body)
		}
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	server, _ := start(t, func(*config) {})
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"/v1/chat/completions", `{`, 400},
		{"/v1/chat/completions", `{"messages":[{}]}`, 400},
		{"/v1/chat/completions", `{"model":"stub","messages":[]}`, 400},
		{"/v1/chat/completions", `{"model":"stub","messages":[{"content":7}]}`, 400},
		{"/v1/chat/completions", `{"model":"stub","messages":[{}],"max_tokens":0}`, 400},
		{"/v1/chat/completions", `{"model":"stub","messages":[{"content":[{"type":"image_url","image_url":{"url":"http://a/b.png"}}]}]}`, 400},
		{"/v1/embeddings", `{"model":"stub","input":7}`, 400},
		{"/v1/embeddings", `{"model":"stub"}`, 400},
		{"/v1/embeddings", `{"model":"stub","input":"a","encoding_format":"hex"}`, 400},
		{"/v1/embeddings", `{"model":"stub","input":"a","dimensions":0}`, 400},
		{"/v1/messages", `{"model":"stub","messages":[{"content":"a"}]}`, 400},
		{"/v1/messages", `{"model":"stub","max_tokens":1,"messages":[{"content":[{"type":"image","source":{"type":"url"}}]}]}`, 400},
		{"/v1beta/models/stub:batchEmbedContents", `{"requests":[]}`, 400},
		{"/v1beta/models/stub:embedContent", `{"content":{"parts":[{"text":"a"}]},"outputDimensionality":2}`, 400},
		{"/v1beta/models/stub:predict", `{}`, 404},
		{"/v1beta/models/stub", `{}`, 404},
		{"/api/embed", `{"model":"stub","input":[]}`, 400},
		{"/api/show", `{"model":"other"}`, 404},
		{"/v1/nothing", `{}`, 404},
	} {
		if response := post(t, server, c.path, c.body); response.StatusCode != c.status {
			t.Errorf("%s %s: %d", c.path, c.body, response.StatusCode)
		}
	}
}

func TestImagesAreCountedAndLookedAt(t *testing.T) {
	server, s := start(t, func(c *config) { c.Images = 1 })
	good := somePNG(t)
	for _, f := range wires {
		for _, c := range []struct {
			model string
			image []byte
			want  int
		}{{"stub", good, 200}, {"stub", nil, 400}, {"stub", good[:len(good)-20], 400}, {"stub+tokens=2", nil, 200}} {
			if response, body := f.ask(t, server, c.model, 2, c.image); response.StatusCode != c.want {
				t.Errorf("%s, %s, %d bytes: %d %s", f.name, c.model, len(c.image), response.StatusCode, body)
			}
		}
		f.ask(t, server, "stub", 2, good)
		if last := s.control.statistics().Last; last.Images != 1 || len(last.ImageSHA256) != 64 || last.Prompt != "one two three" {
			t.Errorf("%s: %+v", f.name, last)
		}
	}
}

func TestEmbeddingsOfEveryWireFormat(t *testing.T) {
	server, _ := start(t, func(*config) {})
	for _, c := range []struct{ path, body, before string }{
		{"/v1/embeddings", `{"model":"stub","input":["a b","c"]}`, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[`},
		{"/v1beta/models/stub:embedContent", `{"content":{"parts":[{"text":"a"}]}}`, `{"embedding":{"values":[`},
		{"/v1beta/models/models/stub:batchEmbedContents", `{"requests":[{"content":{"parts":[{"text":"a"}]}}]}`, `{"embeddings":[{"values":[`},
		{"/api/embed", `{"model":"stub:latest","input":"a b"}`, `{"model":"stub","embeddings":[[`},
		{"/api/embeddings", `{"model":"stub","prompt":"a b"}`, `{"embedding":[`},
	} {
		body, err := io.ReadAll(post(t, server, c.path, c.body).Body)
		if err != nil || !json.Valid(body) || !strings.HasPrefix(string(body), c.before) {
			t.Fatalf("%s: %v %.200s", c.path, err, body)
		}
		values, _, _ := strings.Cut(strings.TrimPrefix(string(body), c.before), "]")
		var vector []float64
		if err := json.Unmarshal([]byte("["+values+"]"), &vector); err != nil || len(vector) != 768 {
			t.Errorf("%s: %d components, %v", c.path, len(vector), err)
		}
		for _, piece := range vector[:stampPieces] {
			if whole := piece * pieceScale; whole != float64(int64(whole)) {
				t.Errorf("%s: component %v holds no piece of a time", c.path, piece)
			}
		}
	}
}

// sink takes an answer without a connection.
type sink struct{ header http.Header }

func (s sink) Header() http.Header             { return s.header }
func (s sink) Write(piece []byte) (int, error) { return len(piece), nil }
func (s sink) WriteHeader(int)                 {}
func (s sink) Flush()                          {}

func TestATokenAllocatesNothing(t *testing.T) {
	_, s := start(t, func(*config) {})
	handler := s.handler()
	for _, f := range wires {
		path := f.path
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, "stub")
		}
		allocations := func(tokens int) float64 {
			body := fmt.Sprintf(f.body, "stub", tokens, "")
			return testing.AllocsPerRun(50, func() {
				handler.ServeHTTP(sink{http.Header{}}, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
			})
		}
		if few, many := allocations(8), allocations(128); many-few > 2 {
			t.Errorf("%s: %v allocations for 8 tokens, %v for 128", f.name, few, many)
		}
	}
}
