package harness

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"sealbench.org/harness/internal/mono"
)

// lab is what the experiments of drive probe work with.
type lab struct {
	adapter  Adapter
	work     *Workload
	control  *control
	local    bool   // the SDK has no backend: an engine, or vectors in memory
	served   bool   // the backend is our stub, which can be asked what it saw
	unserved string // why not
}

func newLab(adapter Adapter, w *Workload) *lab {
	l := &lab{adapter: adapter, work: w, local: w.BaseURL == "", unserved: "there is no server: the SDK works in its own process"}
	if w.ControlURL == "" {
		return l
	}
	l.control = newControl(w.ControlURL)
	if !w.stamped() {
		l.unserved = "the backend is not our stub, so it can neither misbehave on purpose nor say what it saw"
		return l
	}
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	if _, err := l.control.stats(ctx); err != nil {
		l.unserved = fmt.Sprintf("the backend does not say what it saw: %v", err)
		return l
	}
	l.served = true
	return l
}

// workload is that of one kind and model: what the adapter's settings, and the inputs, come from.
func (l *lab) workload(kind, scenario string) *Workload {
	w := *l.work
	w.Kind = kind
	if scenario != "" && !l.local {
		w.Model = stubModel + "+" + scenario
	}
	if files := l.work.Models[kind]; len(files) > 0 {
		w.ModelPath = files[0]
		w.ProjectorPath = strings.Join(files[1:min(len(files), 2)], "")
	}
	return &w
}

// as opens a client of its own for an experiment and takes one capability of it. Its error is lacking if there is none.
func as[T any](l *lab, kind, scenario, what string) (T, func(), error) {
	return asWith[T](l, l.workload(kind, scenario), what)
}

func asWith[T any](l *lab, w *Workload, what string) (T, func(), error) {
	var none T
	if l.local && w.ModelPath == "" {
		return none, nil, lacking("it has no model for " + what)
	}
	client, err := l.adapter.Open(w.settings())
	if err != nil {
		return none, nil, fmt.Errorf("opening the client: %w", err)
	}
	able, ok := client.(T)
	if !ok {
		_ = client.Close()
		return none, nil, lacking("its adapter has no " + what)
	}
	return able, func() { _ = client.Close() }, nil
}

// heard is what came of one streamed answer.
type heard struct {
	answer                  Answer
	text                    strings.Builder
	pieces                  int
	start, first, last, end int64
	err                     error
}

// hear runs a call and keeps what it hands over; each, if given, sees every piece.
func hear(call func(*Answer) error, each func(*heard)) *heard {
	h := &heard{}
	h.answer.tap = func(piece string, at int64) {
		if h.pieces == 0 {
			h.first = at
		}
		h.last = at
		h.pieces++
		h.text.WriteString(piece)
		if each != nil {
			each(h)
		}
	}
	h.start = mono.Now()
	h.err = call(&h.answer)
	h.end = mono.Now()
	return h
}

// listen streams one answer of the stub's scenario, or of the engine's model.
func (l *lab) listen(ctx context.Context, scenario string, tokens int) (*heard, error) {
	client, done, err := as[ChatStreamer](l, kindChat, scenario, "streamed chat")
	if err != nil {
		return nil, err
	}
	defer done()
	input := l.workload(kindChat, "").input()
	return hear(func(a *Answer) error { return client.Stream(ctx, input, tokens, a) }, nil), nil
}

// poker makes the smallest request that the SDK can: one token of chat, else an embedding. The function says whether
// an answer came.
func (l *lab) poker(scenario string) (func(context.Context) (bool, error), func(), error) {
	chat, done, err := as[ChatStreamer](l, kindChat, scenario, "streamed chat")
	if err == nil {
		input := l.workload(kindChat, "").input()
		return func(ctx context.Context) (bool, error) {
			var a Answer
			err := chat.Stream(ctx, input, 1, &a)
			return a.tokens() > 0, err
		}, done, nil
	}
	embed, done, err := as[Embedder](l, kindEmbed, scenario, "chat and no embeddings")
	if err != nil {
		return nil, nil, err
	}
	input := l.workload(kindEmbed, "").input()
	return func(ctx context.Context) (bool, error) {
		var a Answer
		err := embed.Embed(ctx, input, &a)
		return a.vector > 0, err
	}, done, nil
}

// crowd calls work n times, at most width at a time.
func crowd(n, width int, work func(i int)) {
	var all sync.WaitGroup
	next := make(chan int)
	for range width {
		all.Go(func() {
			for i := range next {
				work(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

// within runs a call that may ignore its context, and says whether it came back in time.
func within(limit time.Duration, call func()) bool {
	done := make(chan struct{})
	var cause any
	go func() {
		defer close(done)
		defer func() { cause = recover() }()
		call()
	}()
	select {
	case <-done:
		if cause != nil {
			panic(cause) // of the SDK, in a goroutine of ours: the experiment's own recover takes it
		}
		return true
	case <-time.After(limit):
		return false
	}
}

// holding is what a process and its backend hold at a moment.
type holding struct {
	goroutines, descriptors, connections int
}

// hold counts. Without the stub there are no connections to count.
func (l *lab) hold(ctx context.Context) (holding, error) {
	h := holding{goroutines: runtime.NumGoroutine()}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return h, err
	}
	h.descriptors = len(files)
	if !l.served {
		return h, nil
	}
	stats, err := l.control.stats(ctx)
	h.connections = int(stats.ConnectionsOpen)
	return h, err
}

// above says which of the three are more than before.
func (h holding) above(before holding) (names []string) {
	for _, one := range []struct {
		name      string
		now, then int
	}{
		{"goroutines", h.goroutines, before.goroutines},
		{"descriptors", h.descriptors, before.descriptors},
		{"connections", h.connections, before.connections},
	} {
		if one.now > one.then {
			names = append(names, fmt.Sprintf("%d more %s", one.now-one.then, one.name))
		}
	}
	return names
}

func (h holding) data() map[string]any {
	return map[string]any{"goroutines": h.goroutines, "descriptors": h.descriptors, "connections": h.connections}
}

func milliseconds(ns int64) float64 { return float64(ns) / 1e6 }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
