package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sealbench.org/stub/internal/mono"
)

func start(t *testing.T, change func(*config)) (*httptest.Server, *stub) {
	t.Helper()
	c, _, err := parseConfig("")
	if err != nil {
		t.Fatal(err)
	}
	change(&c)
	f, err := parseFault(c.Fault)
	if err != nil {
		t.Fatal(err)
	}
	r, err := openReport("")
	if err != nil {
		t.Fatal(err)
	}
	s := newStub(c, f, r)
	server := httptest.NewUnstartedServer(s.handler())
	server.Config.ConnContext, server.Config.ConnState = s.control.joined, s.control.left
	server.Start()
	t.Cleanup(server.Close)
	return server, s
}

func post(t *testing.T, server *httptest.Server, path, body string) *http.Response {
	t.Helper()
	response, err := http.Post(server.URL+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

const askChat = `{"model":"stub","stream":true,"max_tokens":8,"messages":[{"role":"user","content":"one two three"}],"stream_options":{"include_usage":true}}`

// events reads server-sent events with the time at which each came.
func events(t *testing.T, body io.Reader) (data []string, at []int64) {
	t.Helper()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			data, at = append(data, text), append(at, mono.Now())
		}
	}
	return data, at
}

func TestPacedFramesComeWhenDue(t *testing.T) {
	server, s := start(t, func(c *config) {
		c.Pacing, c.FirstTokenSeconds, c.TokenSeconds = pacingPaced, 0.03, 0.01
	})
	before := mono.Now()
	data, at := events(t, post(t, server, "/v1/chat/completions", askChat).Body)
	if len(data) != 8+3 || data[10] != "[DONE]" {
		t.Fatalf("events %q", data)
	}
	for i, event := range data[:8] {
		var chunk struct {
			Choices []struct {
				Delta struct{ Role, Content string }
			}
		}
		if err := json.Unmarshal([]byte(event), &chunk); err != nil {
			t.Fatal(err)
		}
		token := chunk.Choices[0].Delta.Content
		written, err := strconv.ParseInt(token[1:19], 10, 64)
		if err != nil || len(token) != 20 || token[0] != 'w' || token[19] != ' ' {
			t.Fatalf("token %q", token)
		}
		due := before + int64(30*time.Millisecond) + int64(i)*int64(10*time.Millisecond)
		if written < due || written > at[i] {
			t.Errorf("frame %d written %d ns after it was due at the earliest, received %d ns after that", i, written-due, at[i]-written)
		}
		if (chunk.Choices[0].Delta.Role != "") != (i == 0) {
			t.Errorf("frame %d has role %q", i, chunk.Choices[0].Delta.Role)
		}
	}
	if !strings.Contains(data[8], `"finish_reason":"length"`) || !strings.Contains(data[9], `"prompt_tokens":3,"completion_tokens":8,"total_tokens":11`) {
		t.Errorf("end %q", data[8:])
	}
	eventually(t, func() bool { // the end of an answer is reported after its last byte
		s.report.mu.Lock()
		defer s.report.mu.Unlock()
		return s.report.requests == 1
	})
	s.report.mu.Lock()
	defer s.report.mu.Unlock()
	if len(s.report.delays) != 8 || s.report.requests != 1 {
		t.Errorf("%d delays of %d requests", len(s.report.delays), s.report.requests)
	}
	for _, delay := range s.report.delays {
		if delay < 0 {
			t.Errorf("a frame went out %d ns early", -delay)
		}
	}
}

func TestEmbeddingsCarryTheWriteTime(t *testing.T) {
	server, _ := start(t, func(*config) {})
	var floats struct {
		Data  []struct{ Embedding []float32 }
		Usage struct {
			PromptTokens int `json:"prompt_tokens"`
		}
	}
	before := mono.Now()
	if err := json.NewDecoder(post(t, server, "/v1/embeddings", `{"model":"stub","input":["a b c","d"]}`).Body).Decode(&floats); err != nil {
		t.Fatal(err)
	}
	if len(floats.Data) != 2 || len(floats.Data[0].Embedding) != 768 || floats.Usage.PromptTokens != 4 {
		t.Fatalf("%d embeddings, %d tokens", len(floats.Data), floats.Usage.PromptTokens)
	}
	vector := floats.Data[0].Embedding
	var written int64
	for _, piece := range vector[:4] {
		written = written<<16 | int64(piece*65536)
	}
	if written < before || written > mono.Now() {
		t.Errorf("written at %d, asked at %d", written, before)
	}
	for _, v := range vector[4:] {
		if v <= -1 || v >= 1 {
			t.Fatalf("component %v", v)
		}
	}
	var packed struct{ Data []struct{ Embedding string } }
	if err := json.NewDecoder(post(t, server, "/v1/embeddings", `{"model":"stub","input":"a","encoding_format":"base64"}`).Body).Decode(&packed); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(packed.Data[0].Embedding)
	if err != nil || len(raw) != 4*768 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	for i := 4; i < 768; i++ {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])); got != vector[i] {
			t.Fatalf("component %d: %v in base64, %v as number", i, got, vector[i])
		}
	}
}

func TestFaultsInAStream(t *testing.T) {
	for _, c := range []struct {
		fault string
		err   error
		has   string
		done  bool
	}{
		{"truncate:1", nil, "", false},
		{"corrupt:1", nil, "", true},
		{"reset:1", syscall.ECONNRESET, "", false},
		{"http503:1", nil, `"type":"server_error"`, false},
	} {
		server, _ := start(t, func(c2 *config) { c2.Fault = c.fault })
		response := post(t, server, "/v1/chat/completions", askChat)
		body, err := io.ReadAll(response.Body)
		if !errors.Is(err, c.err) || !strings.Contains(string(body), c.has) || strings.Contains(string(body), "[DONE]") != c.done {
			t.Errorf("%s: error %v, body %q", c.fault, err, body)
		}
		if (brokenLines(string(body)) == 1) != (c.fault == "corrupt:1") {
			t.Errorf("%s: body %q", c.fault, body)
		}
		if (response.StatusCode == http.StatusServiceUnavailable) != (c.fault == "http503:1") {
			t.Errorf("%s: status %d", c.fault, response.StatusCode)
		}
	}
}

func TestFaultsHaveTheirProbabilityAndAreSeeded(t *testing.T) {
	draw := func(seed uint64) (drawn []bool) {
		_, s := start(t, func(c *config) { c.Fault, c.Seed = "http503:0.25", seed })
		for range 4000 {
			drawn = append(drawn, s.unlucky(&ask{}))
		}
		return drawn
	}
	one, again := draw(1), draw(1)
	count := 0
	for i := range one {
		if one[i] != again[i] {
			t.Fatal("one seed, two draws")
		}
		if one[i] {
			count++
		}
	}
	if count < 900 || count > 1100 {
		t.Errorf("%d of 4000 with probability 0.25", count)
	}
}

func TestConfigIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		`{"pace":"paced"}`:             "unknown field",
		`{"pacing":"slow"}`:            "pacing",
		`{"schema":"repro.backend/2"}`: "schema",
		`{"listen":"8080"}`:            "listen",
		`{"dimensions":3}`:             "dimensions",
		`{"fault":"http503:2"}`:        "probability",
		`{"fault":"exit_after:soon"}`:  "seconds",
		`{"fault":"rain"}`:             "not known",
		`{"fault":"never_ready:1"}`:    "no number",
		`{"token_seconds":-1}`:         "negative",
		`{"images":-1}`:                "negative",
	} {
		if _, _, err := parseConfig(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, f, err := parseConfig(`{"fault":"exit_after:2.5"}`); err != nil || f != (fault{faultExitAfter, 2.5}) {
		t.Errorf("%v %v", f, err)
	}
}

func TestReportLinesStayBelow64KiB(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	r, err := openReport(strconv.Itoa(fd))
	if err != nil {
		t.Fatal(err)
	}
	r.add([]int64{5})
	r.flush()
	many := make([]int64, 2*valuesPerLine+1)
	for i := range many {
		many[i] = math.MaxInt64
	}
	r.add(many)
	r.flush()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	if len(lines) != 2+4 || !bytes.HasSuffix(lines[0], []byte(`"values_ns":[5]}`)) || !bytes.HasSuffix(lines[5], []byte(`"value":2}`)) {
		t.Errorf("%d lines, first %s, last %s", len(lines), lines[0], lines[len(lines)-1])
	}
	for _, line := range lines {
		if len(line) >= 64<<10 || !json.Valid(line) {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}
