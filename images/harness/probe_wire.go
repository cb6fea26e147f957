package harness

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"
)

// Experiments about answers that are not ordinary. Each tells a right answer from an error, and both from silent loss:
// no error, and yet not what the server sent.

const (
	spoiledToken  = 64 // where a frame is corrupt, or a stream ends
	stalledToken  = 10
	manyComments  = 301 // one more than the empty messages that go-openai used to put up with
	stallDeadline = time.Second
	stallPatience = 3 * time.Second // beyond the deadline
	firstHan      = 0x4e00
	hanPerToken   = 4
	chineseTokens = 32
)

// frameOf makes the experiment of one frame of size bytes, in place of the 64th of 128.
func frameOf(size int) func(context.Context, *lab) (finding, error) {
	return func(ctx context.Context, l *lab) (finding, error) {
		h, err := l.listen(ctx, fmt.Sprintf("frame=%d", size), tokensAsked)
		if err != nil {
			return finding{}, err
		}
		want := size + (tokensAsked-1)*stampChars
		got := h.text.Len()
		data := map[string]any{"bytes_sent": want, "bytes_received": got, "pieces": h.pieces}
		switch {
		case h.err != nil:
			return found(probeNo, "an error, after %d of %d bytes: %v", got, want, said(h.err)).with(data), nil
		case got < want:
			return found(probeNo, "SILENT LOSS: no error, and %d of %d bytes", got, want).number(float64(want-got), "B lost silently").with(data), nil
		case got > want:
			return found(probeNo, "no error, and %d bytes where %d were sent", got, want).with(data), nil
		}
		return found(probeYes, "all %d bytes arrived, in %d pieces", want, h.pieces).with(data), nil
	}
}

// keepAliveComments: a server may send comments for as long as it thinks.
func keepAliveComments(ctx context.Context, l *lab) (finding, error) {
	h, err := l.listen(ctx, fmt.Sprintf("comments=%d", manyComments), tokensAsked)
	if err != nil {
		return finding{}, err
	}
	got := h.answer.words
	data := map[string]any{"comments": manyComments, "tokens": got}
	switch {
	case h.err != nil:
		return found(probeNo, "%d comments before the first token end in an error: %v", manyComments, said(h.err)).with(data), nil
	case got != tokensAsked || h.answer.loose > 0:
		return found(probeNo, "SILENT LOSS: no error, and %d of %d tokens", got, tokensAsked).number(float64(tokensAsked-got), "tokens lost silently").with(data), nil
	}
	return found(probeYes, "after %d comments all %d tokens arrived", manyComments, got).with(data), nil
}

// corruptFrame: the SDK has to say that it could not read a frame.
func corruptFrame(ctx context.Context, l *lab) (finding, error) {
	h, err := l.listen(ctx, fmt.Sprintf("corrupt=%d", spoiledToken), tokensAsked)
	if err != nil {
		return finding{}, err
	}
	data := map[string]any{"tokens": h.answer.words}
	if h.err != nil {
		outcome, _ := classify(h.err)
		data["outcome"] = int(outcome)
		return found(probeYes, "reported after %d tokens: %v", h.answer.words, said(h.err)).with(data), nil
	}
	return found(probeNo, "SILENT LOSS: frame %d was not JSON; no error, and %d of %d tokens", spoiledToken, h.answer.words, tokensAsked).
		number(float64(tokensAsked-h.answer.words), "tokens lost silently").with(data), nil
}

// truncatedStream: without an error a caller can at best notice that no finish reason came.
func truncatedStream(ctx context.Context, l *lab) (finding, error) {
	h, err := l.listen(ctx, fmt.Sprintf("truncate=%d", spoiledToken), tokensAsked)
	if err != nil {
		return finding{}, err
	}
	data := map[string]any{"tokens": h.answer.words, "finish_reason": h.answer.finished}
	switch {
	case h.err != nil:
		return found(probeYes, "reported after %d of %d tokens: %v", h.answer.words, tokensAsked, said(h.err)).with(data), nil
	case !h.answer.finished:
		return found(probePartial, "no error after %d of %d tokens; that no finish reason came is all that a caller can notice", h.answer.words, tokensAsked).with(data), nil
	}
	return found(probeNo, "no error after %d of %d tokens, and a finish reason that the server never gave", h.answer.words, tokensAsked).with(data), nil
}

// stall: nothing comes after token 10, the connection stays open, and the call has a deadline of a second.
func stall(ctx context.Context, l *lab) (finding, error) {
	client, done, err := as[ChatStreamer](l, kindChat, fmt.Sprintf("stall=%d", stalledToken), "streamed chat")
	if err != nil {
		return finding{}, err
	}
	input := l.workload(kindChat, "").input()
	var h *heard
	back := within(stallDeadline+stallPatience, func() {
		ctx, cancel := context.WithTimeout(ctx, stallDeadline)
		defer cancel()
		h = hear(func(a *Answer) error { return client.Stream(ctx, input, tokensAsked, a) }, nil)
	})
	if !back {
		return found(probeNo, "still waiting %v after its deadline of %v", stallPatience, stallDeadline), nil
	}
	defer done()
	seconds := float64(h.end-h.start) / nsPerSecond
	data := map[string]any{"tokens": h.answer.words, "seconds": seconds}
	switch {
	case h.err == nil:
		return found(probePartial, "back after %.2f s with %d tokens and without an error", seconds, h.answer.words).number(seconds, "s").with(data), nil
	case h.answer.words != stalledToken:
		return found(probePartial, "back after %.2f s with an error, and %d of %d tokens: %v", seconds, h.answer.words, stalledToken, said(h.err)).number(seconds, "s").with(data), nil
	}
	return found(probeYes, "back after %.2f s, deadline %v: %v", seconds, stallDeadline, said(h.err)).number(seconds, "s").with(data), nil
}

// chineseSplit: each frame comes in two parts, cut inside a character. The text is a pure function: the characters of
// U+4E00 onwards, four to a token.
func chineseSplit(ctx context.Context, l *lab) (finding, error) {
	h, err := l.listen(ctx, "chinese", chineseTokens)
	if err != nil {
		return finding{}, err
	}
	if h.err != nil {
		return found(probeNo, "an error after %d pieces: %v", h.pieces, said(h.err)), nil
	}
	var want []rune
	for i := range chineseTokens * hanPerToken {
		want = append(want, rune(firstHan+i))
	}
	got := []rune(h.text.String())
	data := map[string]any{"characters_sent": len(want), "characters_received": len(got)}
	for i, r := range got {
		if r == utf8.RuneError {
			return found(probeNo, "character %d arrived as U+FFFD: the SDK decodes before a character is whole", i+1).with(data), nil
		}
		if i >= len(want) || r != want[i] {
			return found(probeNo, "character %d arrived as %q", i+1, r).with(data), nil
		}
	}
	if len(got) < len(want) {
		return found(probeNo, "SILENT LOSS: no error, and %d of %d characters", len(got), len(want)).with(data), nil
	}
	return found(probeYes, "all %d characters arrived, each frame cut inside one", len(got)).with(data), nil
}
