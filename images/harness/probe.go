package harness

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"sealbench.org/harness/internal/mono"
)

// The outcomes of an experiment; they are part of the record format.
const (
	probeYes     = "yes"
	probeNo      = "no"
	probePartial = "partial"
	probeError   = "error"
	probeNone    = "not-applicable"
)

const evidenceChars = 600

// An experiment that is still running so long after its limit is left behind: it ignores its context.
const probeGrace = 2 * time.Second

// experiment asks an SDK one question, through the adapter's interfaces alone.
type experiment struct {
	id     string
	limit  time.Duration
	server bool // needs the stub: its scenarios, or what it saw
	run    func(context.Context, *lab) (finding, error)
}

// experiments is in the order in which they run: what may leave something behind comes last.
var experiments = []experiment{
	{"first-request", 10 * time.Second, true, firstRequest},
	{"openai-compatible", 5 * time.Second, true, openAICompatible},
	{"local-model", 20 * time.Second, false, localModel},
	{"streams", 20 * time.Second, false, streams},
	{"embeds", 20 * time.Second, false, embeds},
	{"embeds-base64", 5 * time.Second, true, embedsBase64},
	{"images", 20 * time.Second, false, images},
	{"counts-tokens", 10 * time.Second, false, countsTokens},
	{"switches-backend", 20 * time.Second, false, switchesBackend},
	{"custom-template", 20 * time.Second, false, customTemplate},
	{"maps-model-file", 20 * time.Second, false, mapsModelFile},
	{"chinese-split", 5 * time.Second, true, chineseSplit},
	{"keep-alive-comments", 5 * time.Second, true, keepAliveComments},
	{"corrupt-frame", 5 * time.Second, true, corruptFrame},
	{"truncated-stream", 5 * time.Second, true, truncatedStream},
	{"frame-63k", 10 * time.Second, true, frameOf(63 << 10)},
	{"frame-65k", 10 * time.Second, true, frameOf(65 << 10)},
	{"frame-600k", 10 * time.Second, true, frameOf(600 << 10)},
	{"frame-9m", 20 * time.Second, true, frameOf(9 << 20)},
	{"connection-reuse", 20 * time.Second, true, connectionReuse},
	{"chunk-cost", 20 * time.Second, false, chunkCost},
	{"retry-policy", 30 * time.Second, true, retryPolicy},
	{"stall", 10 * time.Second, true, stall},
	{"cancel", 20 * time.Second, false, cancels},
	{"abandoned-streams", 40 * time.Second, false, abandonedStreams},
}

// finding is what an experiment found; it leaves as a probe record.
type finding struct {
	Kind    string         `json:"k"`
	ID      string         `json:"id"`
	Outcome string         `json:"outcome"`
	Value   *float64       `json:"value"`
	Unit    string         `json:"unit"`
	Text    string         `json:"text"`
	Data    map[string]any `json:"data"`
}

// found makes a finding without a number.
func found(outcome, format string, args ...any) finding {
	return finding{Outcome: outcome, Text: fmt.Sprintf(format, args...)}
}

// number adds the one number that stands for the experiment.
func (f finding) number(value float64, unit string) finding {
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		f.Value, f.Unit = &value, unit
	}
	return f
}

// with adds the numbers behind it.
func (f finding) with(data map[string]any) finding {
	f.Data = data
	return f
}

// said is what an SDK's error says; some say nothing.
func said(err error) string {
	if text := strings.TrimSpace(err.Error()); text != "" {
		return text
	}
	return fmt.Sprintf("(an error of type %T without a word)", err)
}

// lacking is the error of an experiment that cannot be made with this SDK: not-applicable.
type lacking string

func (l lacking) Error() string { return string(l) }

// probe runs all experiments, one after the other, and writes each record at once: what crashes the process later does
// not take it along.
func (s *session) probe() error {
	t0 := mono.Now()
	s.sink.phase("measure", t0)
	s.lines.start(t0)
	l := newLab(s.adapter, s.work)
	for _, e := range experiments {
		s.sink.object(l.make(e))
	}
	s.lines.finish()
	return nil
}

// make runs one experiment, and gives a finding whatever the SDK does, short of ending the process.
func (l *lab) make(e experiment) finding {
	result := make(chan finding, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				result <- found(probeError, "panic: %v", cause)
			}
		}()
		result <- l.try(e)
	}()
	var f finding
	select {
	case f = <-result:
	case <-time.After(e.limit + probeGrace):
		f = found(probeError, "the SDK did not come back within %v, though its context had ended", e.limit+probeGrace)
	}
	// One line: evidence quotes what SDKs and servers say.
	f.Kind, f.ID, f.Text = "probe", e.id, cut(strings.Join(strings.Fields(f.Text), " "), evidenceChars)
	if f.Data == nil {
		f.Data = map[string]any{}
	}
	return f
}

func (l *lab) try(e experiment) finding {
	if e.server && !l.served {
		return found(probeNone, "%s", l.unserved)
	}
	ctx, cancel := context.WithTimeout(context.Background(), e.limit)
	defer cancel()
	// SDKs without a transport of their own share this one; an experiment must not inherit connections of the last.
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	f, err := e.run(ctx, l)
	var missing lacking
	switch {
	case errors.As(err, &missing):
		return found(probeNone, "%s", missing)
	case err != nil:
		return found(probeError, "%s", said(err))
	}
	return f
}
