package harness

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sealbench.org/harness/internal/mono"
)

// Experiments about what an SDK costs, keeps and repeats.

const (
	laterRequests = 10
	reuseRequests = 100
	retryCalls    = 400
	retryWidth    = 8
	refusedCalls  = 2

	cancelRepeats  = 5
	cancelPatience = 3 * time.Second

	abandoned       = 1000
	abandonedLocal  = 100 // an engine needs milliseconds for each prompt
	abandonedWidth  = 8
	abandonedPiece  = 3
	settleTime      = 2 * time.Second
	shortChunks     = 128
	longChunks      = 4096
	shortLocal      = 16
	longLocal       = tokensAsked
	nobodyIsCounted = -1
)

// firstRequest of a fresh client opens connections and fills caches; a launch does that in its warm-up.
func firstRequest(ctx context.Context, l *lab) (finding, error) {
	poke, done, err := l.poker("")
	if err != nil {
		return finding{}, err
	}
	defer done()
	var took [1 + laterRequests]float64
	for i := range took {
		from := mono.Now()
		if _, err := poke(ctx); err != nil {
			return finding{}, err
		}
		took[i] = milliseconds(mono.Now() - from)
	}
	later := median(took[1:])
	data := map[string]any{"first_ms": took[0], "later_ms": later}
	outcome := probeYes
	if took[0] > 2*later {
		outcome = probeNo
	}
	return found(outcome, "the first one took %.2f ms, later ones %.2f ms (median of %d)", took[0], later, laterRequests).
		number(took[0]-later, "ms more").with(data), nil
}

// retryPolicy: how often the server is asked for each call that it refuses with 503, and what the caller hears of it.
func retryPolicy(ctx context.Context, l *lab) (finding, error) {
	rare, err := l.refuse(ctx, "status=0.01+tokens=1", retryCalls, retryWidth)
	if err != nil {
		return finding{}, err
	}
	always, err := l.refuse(ctx, "status=1", refusedCalls, refusedCalls)
	if err != nil {
		return finding{}, err
	}
	each := float64(always.requests) / refusedCalls
	data := map[string]any{
		"calls": retryCalls, "requests": rare.requests, "errors": rare.errors, "silent": rare.silent,
		"requests_per_refused_call": each, "refused_errors": always.errors, "refused_status": always.status,
	}
	text := fmt.Sprintf("%d calls at 1 %% of 503: %d requests, %d errors", retryCalls, rare.requests, rare.errors)
	switch {
	case always.silent > 0 || rare.silent > 0:
		return found(probeNo, "%s, and %d calls without an answer or an error", text, rare.silent+always.silent).number(each, "requests/call").with(data), nil
	case each > 1:
		return found(probeYes, "%s; a call that is always refused makes %.3g requests: %s", text, each, always.said).number(each, "requests/call").with(data), nil
	}
	return found(probeNo, "%s; one request per call, and the error reaches the caller: %s", text, always.said).number(each, "requests/call").with(data), nil
}

// refusals is what came of calls that the server refuses now and then.
type refusals struct {
	requests, errors, silent int64
	status                   int // that the SDK's error shows; 0: none
	said                     string
}

func (l *lab) refuse(ctx context.Context, scenario string, calls, width int) (refusals, error) {
	var r refusals
	poke, done, err := l.poker(scenario)
	if err != nil {
		return r, err
	}
	defer done()
	if err := l.control.reset(ctx); err != nil {
		return r, err
	}
	var mu sync.Mutex
	crowd(calls, width, func(int) {
		answered, err := poke(ctx)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			r.errors++
			_, r.status = classify(err)
			r.said = cut(said(err), errorTextChars)
		case !answered:
			r.silent++
		}
	})
	stats, err := l.control.stats(ctx)
	r.requests = stats.Requests
	return r, err
}

// connectionReuse counts connections per 100 requests at three concurrencies.
func connectionReuse(ctx context.Context, l *lab) (finding, error) {
	data := map[string]any{}
	var texts []string
	var last int64
	outcome := probeYes
	for _, width := range []int{1, 2, 8} {
		opened, err := l.connections(ctx, width)
		if err != nil {
			return finding{}, err
		}
		data[fmt.Sprintf("opened_at_%d", width)] = opened
		texts = append(texts, fmt.Sprintf("%d at concurrency %d", opened, width))
		last = opened
		if opened > int64(2*width) {
			outcome = probePartial
		}
		if width == 1 && opened >= reuseRequests/2 {
			return found(probeNo, "one request after the other, %d opened %d connections", reuseRequests, opened).number(float64(opened), "connections at 1").with(data), nil
		}
	}
	return found(outcome, "connections opened for %d requests: %s", reuseRequests, strings.Join(texts, ", ")).
		number(float64(last), "connections at 8").with(data), nil
}

func (l *lab) connections(ctx context.Context, width int) (int64, error) {
	poke, done, err := l.poker("")
	if err != nil {
		return 0, err
	}
	defer done()
	if err := l.control.reset(ctx); err != nil {
		return 0, err
	}
	var failed atomic.Pointer[error]
	crowd(reuseRequests, width, func(int) {
		if _, err := poke(ctx); err != nil {
			failed.Store(&err)
		}
	})
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	stats, err := l.control.stats(ctx)
	return stats.ConnectionsOpened, err
}

// chunkCost is the difference between a long and a short answer: what a request costs by itself falls out.
func chunkCost(ctx context.Context, l *lab) (finding, error) {
	short, long := shortChunks, longChunks
	if l.local {
		short, long = shortLocal, longLocal
	}
	client, done, err := as[ChatStreamer](l, kindChat, "", "streamed chat")
	if err != nil {
		return finding{}, err
	}
	defer done()
	input := l.workload(kindChat, "").input()
	a := Answer{overheads: make([]int64, 0, maxOverheads)}
	var bytes, objects [2]float64
	for _, run := range []struct{ tokens, at int }{{short, nobodyIsCounted}, {short, 0}, {long, 1}} {
		a.reset()
		var before, after runtime.MemStats
		// Exact, and it stops the world: nothing here is timed.
		runtime.ReadMemStats(&before)
		if err := client.Stream(ctx, input, run.tokens, &a); err != nil {
			return finding{}, err
		}
		runtime.ReadMemStats(&after)
		if run.at == nobodyIsCounted {
			continue // connections and caches
		}
		if got := a.words + a.loose; got < run.tokens/2 {
			return finding{}, fmt.Errorf("%d pieces where %d tokens were asked for", got, run.tokens)
		}
		bytes[run.at] = float64(after.TotalAlloc - before.TotalAlloc)
		objects[run.at] = float64(after.Mallocs - before.Mallocs)
	}
	perBytes := max(0, (bytes[1]-bytes[0])/float64(long-short))
	perObjects := max(0, (objects[1]-objects[0])/float64(long-short))
	data := map[string]any{
		"bytes_per_chunk": perBytes, "allocations_per_chunk": perObjects,
		"short_tokens": short, "short_bytes": bytes[0], "short_allocations": objects[0],
		"long_tokens": long, "long_bytes": bytes[1], "long_allocations": objects[1],
	}
	return found(probeYes, "%.0f bytes and %.1f allocations per chunk (%d against %d tokens)", perBytes, perObjects, long, short).
		number(perBytes, "B/chunk").with(data), nil
}

// endless is a stream that is to be given up: the stub's that has no end, or the longest one an engine was opened for.
func (l *lab) endless() (ChatStreamer, func(), error) {
	return as[ChatStreamer](l, kindChat, "endless", "streamed chat")
}

// giveUp cancels a stream at a piece and says how it ended; at is the time of the cancellation, 0 if it never came.
func giveUp(ctx context.Context, client ChatStreamer, input string, piece int) (h *heard, at int64) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h = hear(func(a *Answer) error { return client.Stream(ctx, input, tokensAsked, a) }, func(h *heard) {
		if h.pieces == piece {
			at = mono.Now()
			cancel()
		}
	})
	return h, at
}

// cancels measures from the cancellation to the return of the call.
func cancels(ctx context.Context, l *lab) (finding, error) {
	client, done, err := l.endless()
	if err != nil {
		return finding{}, err
	}
	input := l.workload(kindChat, "").input()
	var took []float64
	var silent, extra int
	for range cancelRepeats {
		var h *heard
		var at int64
		if !within(cancelPatience, func() { h, at = giveUp(ctx, client, input, 5) }) {
			return found(probeNo, "the call did not return within %v of its start, though it was cancelled at piece 5", cancelPatience), nil
		}
		if at == 0 {
			done()
			return finding{}, fmt.Errorf("the stream ended after %d pieces, before it could be cancelled: %v", h.pieces, h.err)
		}
		took = append(took, milliseconds(h.end-at))
		extra += h.pieces - 5
		if h.err == nil {
			silent++
		}
	}
	done()
	ms := median(took)
	data := map[string]any{"median_ms": ms, "each_ms": took, "without_error": silent, "pieces_after": extra}
	if silent > 0 {
		return found(probePartial, "back after %.2f ms, but %d of %d calls returned the part that came as if it were all: no error", ms, silent, cancelRepeats).number(ms, "ms").with(data), nil
	}
	return found(probeYes, "back %.2f ms after the cancellation, with an error (median of %d)", ms, cancelRepeats).number(ms, "ms").with(data), nil
}

// abandonedStreams gives up a thousand streams and looks for what stays: goroutines, descriptors, the server's open
// connections.
func abandonedStreams(ctx context.Context, l *lab) (finding, error) {
	client, done, err := l.endless()
	if err != nil {
		return finding{}, err
	}
	defer done()
	input, n := l.workload(kindChat, "").input(), abandoned
	if l.local {
		n = abandonedLocal
	}
	var unended atomic.Int64
	abandon := func(int) {
		if _, at := giveUp(ctx, client, input, abandonedPiece); at == 0 {
			unended.Add(1)
		}
	}
	// A few first, so that what a client keeps for good is in the baseline.
	crowd(abandonedWidth, abandonedWidth, abandon)
	time.Sleep(settleTime / 4)
	before, err := l.hold(ctx)
	if err != nil {
		return finding{}, err
	}
	crowd(n, abandonedWidth, abandon)
	if missed := unended.Load(); missed > 0 {
		return finding{}, fmt.Errorf("%d of %d streams ended before they could be given up", missed, n)
	}
	return l.settled(ctx, n, before)
}

// settled waits until everything is back, at most two seconds.
func (l *lab) settled(ctx context.Context, n int, before holding) (finding, error) {
	start := mono.Now()
	for {
		now, err := l.hold(ctx)
		if err != nil {
			return finding{}, err
		}
		more := now.above(before)
		waited := milliseconds(mono.Now() - start)
		data := map[string]any{"streams": n, "before": before.data(), "after": now.data(), "waited_ms": waited}
		switch {
		case len(more) == 0:
			return found(probeYes, "after %d abandoned streams all is back within %.0f ms", n, waited).number(waited, "ms").with(data), nil
		case waited > milliseconds(int64(settleTime)):
			left := float64(max(now.goroutines-before.goroutines, now.connections-before.connections, now.descriptors-before.descriptors))
			return found(probeNo, "%v after %d abandoned streams: %s", settleTime, n, strings.Join(more, ", ")).number(left, "left").with(data), nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}
