package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fakeStub says it saw what the fake SDK says it sent: the wire between them is not what is tested here.
type fakeStub struct {
	requests, opened, open atomic.Int64
	last                   atomic.Pointer[lastSeen]
	server                 *httptest.Server
}

func newFakeStub(t *testing.T) *fakeStub {
	s := &fakeStub{}
	s.last.Store(&lastSeen{})
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stub/stats":
			_ = json.NewEncoder(w).Encode(seen{s.requests.Load(), s.opened.Load(), s.open.Load(), 0, *s.last.Load()})
		case "/stub/reset":
			s.requests.Store(0)
			s.opened.Store(0)
			s.last.Store(&lastSeen{})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.server.Close)
	return s
}

// toy is an SDK whose every behaviour is a setting.
type toy struct {
	stub    *fakeStub
	path    string
	retries int64
	play    func(scenario string, ctx context.Context, tokens int, a *Answer) error // nil: a right answer
}

func (y *toy) Describe() Description { return Description{} }
func (y *toy) Open(s Settings) (Client, error) {
	return &toyClient{y, s}, nil
}

type toyClient struct {
	*toy
	s Settings
}

func (c *toyClient) Close() error { return nil }

func (c *toyClient) Stream(ctx context.Context, prompt string, tokens int, a *Answer) error {
	scenario := strings.TrimPrefix(c.s.Model, stubModel+"+")
	c.stub.requests.Add(1)
	c.stub.opened.Store(max(1, c.stub.opened.Load()))
	c.stub.last.Store(&lastSeen{Path: c.path, Model: c.s.Model, Prompt: prompt})
	if scenario == "status=1" {
		c.stub.requests.Add(c.retries)
		return byField{503}
	}
	if c.play != nil {
		return c.play(scenario, ctx, tokens, a)
	}
	return right(ctx, scenario, tokens, a)
}

// right is what a server of the scenario gives, through an SDK that does everything well.
func right(ctx context.Context, scenario string, tokens int, a *Answer) error {
	name, value, _ := strings.Cut(scenario, "=")
	at, _ := strconv.Atoi(value)
	for i := 0; name == "endless" || i < tokens; i++ {
		// A pace, so that a first piece comes before the last one; long answers would take too long at it.
		if i > 0 && tokens >= 8 && (i < 200 || name == "endless") {
			time.Sleep(100 * time.Microsecond)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case name == "corrupt" && i == at-1:
			return jsonError("{]", new(int))
		case name == "truncate" && i == at:
			return errors.New("unexpected EOF")
		case name == "stall" && i == at:
			<-ctx.Done()
			return ctx.Err()
		case name == "frame" && i == 63:
			a.Text(strings.Repeat("a", at))
		case name == "chinese":
			for j := range hanPerToken {
				a.Text(string(rune(firstHan + hanPerToken*i + j)))
			}
		default:
			a.Text(stampToken(1))
		}
	}
	a.Finish("length")
	return nil
}

func probeWorkload(stub *fakeStub) *Workload {
	w := chatWorkload("http://127.0.0.1:1/v1")
	w.Name, w.Kind, w.Drive, w.ControlURL = "probe", kindProbe, driveProbe, stub.server.URL
	return w
}

// ask makes one experiment.
func ask(t *testing.T, adapter Adapter, w *Workload, id string) finding {
	t.Helper()
	i := slices.IndexFunc(experiments, func(e experiment) bool { return e.id == id })
	if i < 0 {
		t.Fatalf("no experiment %q", id)
	}
	return newLab(adapter, w).make(experiments[i])
}

func TestAGoodSDKPassesTheExperiments(t *testing.T) {
	stub := newFakeStub(t)
	y := &toy{stub: stub, path: "/v1/chat/completions"}
	for id, want := range map[string]string{
		"openai-compatible": probeYes, "local-model": probeNo, "streams": probeYes, "embeds": probeNone,
		"embeds-base64": probeNone, "images": probeNone, "counts-tokens": probeNo, "switches-backend": probeYes,
		"custom-template": probeNone, "maps-model-file": probeNone, "chinese-split": probeYes,
		"keep-alive-comments": probeYes, "corrupt-frame": probeYes, "truncated-stream": probeYes,
		"frame-63k": probeYes, "frame-9m": probeYes, "connection-reuse": probeYes, "chunk-cost": probeYes,
		"retry-policy": probeNo, "stall": probeYes, "cancel": probeYes, "abandoned-streams": probeYes,
	} {
		if f := ask(t, y, probeWorkload(stub), id); f.Outcome != want || f.ID != id || f.Kind != "probe" || f.Text == "" {
			t.Errorf("%s: %+v", id, f)
		}
	}
}

// Each is a way in which a real SDK fails; the text must say which.
func TestWhatASDKDoesWrongIsFoundAndNamed(t *testing.T) {
	loses := func(scenario string, ctx context.Context, tokens int, a *Answer) error {
		if name, _, _ := strings.Cut(scenario, "="); name == "frame" || name == "corrupt" || name == "comments" || name == "chinese" {
			tokens-- // the frame is gone, and nobody hears of it
			scenario = strings.ReplaceAll(scenario, name+"=", "none=")
		}
		return right(ctx, scenario, tokens, a)
	}
	garbles := func(scenario string, ctx context.Context, tokens int, a *Answer) error {
		a.Text("\u4e00\ufffd")
		return nil
	}
	silent := func(scenario string, ctx context.Context, tokens int, a *Answer) error {
		_ = right(ctx, scenario, tokens, a)
		return nil
	}
	finishes := func(scenario string, ctx context.Context, tokens int, a *Answer) error {
		a.Finish("stop")
		return silent(scenario, ctx, tokens, a)
	}
	test, end := context.WithCancel(context.Background())
	defer end() // what hears of no cancellation must not go on beside other tests
	deaf := func(scenario string, ctx context.Context, tokens int, a *Answer) error {
		return right(test, strings.ReplaceAll(scenario, "stall=10", "endless"), tokens, a)
	}
	fails := func(scenario string, ctx context.Context, tokens int, a *Answer) error { return errTired }
	atOnce := func(scenario string, ctx context.Context, tokens int, a *Answer) error {
		time.Sleep(10 * time.Millisecond)
		return right(ctx, "", 2, a)
	}
	panics := func(scenario string, ctx context.Context, tokens int, a *Answer) error { panic("index out of range") }
	for _, c := range []struct {
		id, outcome, text string
		play              func(string, context.Context, int, *Answer) error
	}{
		{"frame-600k", probeNo, "SILENT LOSS", loses},
		{"frame-63k", probeNo, "an error", fails},
		{"keep-alive-comments", probeNo, "SILENT LOSS", loses},
		{"corrupt-frame", probeNo, "SILENT LOSS", loses},
		{"chinese-split", probeNo, "SILENT LOSS", silentOf(chineseTokens - 1)},
		{"chinese-split", probeNo, "U+FFFD", garbles},
		{"truncated-stream", probePartial, "no finish reason", silent},
		{"truncated-stream", probeNo, "never gave", finishes},
		{"stall", probePartial, "without an error", silent},
		{"stall", probeNo, "still waiting", deaf},
		{"cancel", probePartial, "no error", silent},
		{"cancel", probeNo, "did not return", deaf},
		{"streams", probeNo, "2 pieces", atOnce},
		{"streams", probeError, "panic: index out of range", panics},
		{"first-request", probeError, "tired", fails},
		{"abandoned-streams", probeError, "before they could be given up", atOnce},
	} {
		stub := newFakeStub(t)
		f := ask(t, &toy{stub: stub, play: c.play}, probeWorkload(stub), c.id)
		if f.Outcome != c.outcome || !strings.Contains(f.Text, c.text) {
			t.Errorf("%s: %s, %s; want %s, %q", c.id, f.Outcome, f.Text, c.outcome, c.text)
		}
	}
}

// silentOf ends a Chinese answer too early.
func silentOf(tokens int) func(string, context.Context, int, *Answer) error {
	return func(scenario string, ctx context.Context, _ int, a *Answer) error {
		return right(ctx, scenario, tokens, a)
	}
}

func TestRetriesAreCountedByTheServer(t *testing.T) {
	stub := newFakeStub(t)
	f := ask(t, &toy{stub: stub, retries: 2}, probeWorkload(stub), "retry-policy")
	// Two refused calls in the real experiment; the toy adds its retries to each.
	if f.Outcome != probeYes || f.Value == nil || *f.Value != 3 || f.Data["refused_status"] != 503 {
		t.Errorf("%+v", f)
	}
}

func TestAnotherRouteIsAnotherWire(t *testing.T) {
	stub := newFakeStub(t)
	if f := ask(t, &toy{stub: stub, path: "/v1/messages"}, probeWorkload(stub), "openai-compatible"); f.Outcome != probeNo || !strings.Contains(f.Text, "/v1/messages") {
		t.Errorf("%+v", f)
	}
}

func TestLeaksAreFound(t *testing.T) {
	stub := newFakeStub(t)
	leak := make(chan struct{})
	defer close(leak)
	y := &toy{stub: stub, play: func(scenario string, ctx context.Context, tokens int, a *Answer) error {
		go func() { <-leak }()
		stub.open.Add(1)
		return right(ctx, scenario, tokens, a)
	}}
	f := ask(t, y, probeWorkload(stub), "abandoned-streams")
	if f.Outcome != probeNo || !strings.Contains(f.Text, "1000 more goroutines") || !strings.Contains(f.Text, "1000 more connections") {
		t.Errorf("%+v", f)
	}
}

func TestAnSDKThatNeverComesBackLosesOneExperiment(t *testing.T) {
	stub := newFakeStub(t)
	release := make(chan struct{})
	defer close(release)
	y := &toy{stub: stub, play: func(string, context.Context, int, *Answer) error { <-release; return nil }}
	l := newLab(y, probeWorkload(stub))
	f := l.make(experiment{"streams", 10 * time.Millisecond, false, streams})
	if f.Outcome != probeError || !strings.Contains(f.Text, "did not come back") {
		t.Errorf("%+v", f)
	}
}

func TestWithoutOurStubServerExperimentsAreNotApplicable(t *testing.T) {
	stub := newFakeStub(t)
	foreign, gone, local := probeWorkload(stub), probeWorkload(stub), probeWorkload(stub)
	foreign.Model = "llama"
	gone.ControlURL = "http://127.0.0.1:1"
	local.BaseURL, local.ControlURL = "", ""
	for _, w := range []*Workload{foreign, gone, local} {
		for _, e := range experiments {
			if f := ask(t, &toy{stub: stub}, w, e.id); e.server && f.Outcome != probeNone {
				t.Errorf("%s of model %s: %+v", e.id, w.Model, f)
			}
			if !e.server {
				break
			}
		}
	}
	if f := ask(t, &toy{stub: stub}, local, "streams"); f.Outcome != probeNone || !strings.Contains(f.Text, "no model") {
		t.Errorf("%+v", f)
	}
}

// engine is a model in this process: the toy with the tokens of one of our models.
type engine struct{ toy }

func (e *engine) Open(s Settings) (Client, error) { return &engineClient{s}, nil }

type engineClient struct{ s Settings }

func (c *engineClient) Close() error { return nil }
func (c *engineClient) Stream(ctx context.Context, prompt string, tokens int, a *Answer) error {
	for i := range tokens {
		time.Sleep(50 * time.Microsecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.Text(fmt.Sprintf(" w%d", (i+len(prompt))%7))
	}
	a.Finish("length")
	return nil
}

func (c *engineClient) StreamTemplate(ctx context.Context, template, prompt string, tokens int, a *Answer) error {
	return c.Stream(ctx, strings.ReplaceAll(template, "{{prompt}}", prompt), tokens, a)
}

func (c *engineClient) CountTokens(_ context.Context, text string) (int, error) {
	return len(text) + 1, nil
}

func TestAnEngineInThisProcessIsProbedWithItsModels(t *testing.T) {
	stub := newFakeStub(t)
	w := probeWorkload(stub)
	w.BaseURL, w.ControlURL, w.Model = "", "", "engine"
	w.Models = map[string][]string{kindChat: {"/repro/models/chat.gguf"}}
	for id, want := range map[string]string{
		"local-model": probeYes, "streams": probeYes, "counts-tokens": probeYes, "custom-template": probeYes,
		"maps-model-file": probeNo, "cancel": probeYes, "abandoned-streams": probeYes, "chunk-cost": probeYes,
		"embeds": probeNone, "switches-backend": probeNone, "frame-63k": probeNone, "images": probeNone,
	} {
		if f := ask(t, &engine{}, w, id); f.Outcome != want {
			t.Errorf("%s: %+v", id, f)
		}
	}
}

func TestAProbeDriveLeavesARecordForEachExperiment(t *testing.T) {
	stub := newFakeStub(t)
	w := probeWorkload(stub)
	w.Model = "llama" // so that only the cheap experiments run
	records := launch(t, w, &toy{stub: stub})
	var ids []string
	for _, r := range ofKind(records, "probe") {
		keys := slices.Sorted(maps.Keys(r))
		if !slices.Equal(keys, []string{"data", "id", "k", "outcome", "text", "unit", "value"}) {
			t.Errorf("keys %v", keys)
		}
		ids = append(ids, r["id"].(string))
	}
	if len(ids) != len(experiments) || !slices.IsSortedFunc(ids, func(a, b string) int {
		return slices.IndexFunc(experiments, func(e experiment) bool { return e.id == a }) - slices.IndexFunc(experiments, func(e experiment) bool { return e.id == b })
	}) {
		t.Errorf("experiments %v", ids)
	}
	if phases := phasesOf(records); len(phases) != 1 || phases["measure"] == 0 {
		t.Errorf("phases %v", phases)
	}
}

func TestMappingsOfAFileAreFound(t *testing.T) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := mappedBytes("/proc/self/no-such-file"); n != 0 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if n, err := mappedBytes(program); n == 0 || err != nil {
		t.Errorf("this very program: %d %v", n, err)
	}
}
