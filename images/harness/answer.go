package harness

import (
	"sealbench.org/harness/internal/mono"
)

const (
	// The stub's token: "w", 18 digits of the CLOCK_MONOTONIC nanosecond at which it was written, a blank.
	stampChars  = 20
	stampDigits = 18
	// The stub's vector starts with the write time in four pieces of 16 bits, each divided by 65536.
	vectorPieces = 4
	pieceScale   = 65536
	// maxOverheads bounds what one record line can hold; frames beyond it are counted, their overhead is not kept.
	maxOverheads = 4096
)

// Answer takes what an SDK hands over, at the moment it does. An adapter passes each piece on as it comes and does
// nothing else with it: no method here allocates, parses JSON or waits.
type Answer struct {
	first     int64 // ns of the first piece that held output, 0 if none
	words     int   // stamped tokens
	loose     int   // pieces of text without a stamp
	bytes     int
	prompt    int // tokens of the input, by the server's count, 0 if it gave none
	output    int // tokens of the output, likewise
	finished  bool
	vector    int // components
	badStamps int
	overheads []int64
}

func (a *Answer) reset() {
	*a = Answer{overheads: a.overheads[:0]}
}

// Text takes one piece of generated text. Empty pieces (a role, a usage frame) are not output and are ignored.
func (a *Answer) Text(piece string) {
	now := mono.Now()
	if piece == "" {
		return
	}
	if a.first == 0 {
		a.first = now
	}
	a.bytes += len(piece)
	if piece[0] != 'w' || len(piece)%stampChars != 0 {
		a.loose++
		return
	}
	for ; len(piece) >= stampChars; piece = piece[stampChars:] {
		written, ok := parseStamp(piece[:stampChars])
		if !ok {
			a.badStamps++
			continue
		}
		a.words++
		a.overhead(now - written)
	}
}

// Finish notes that the server ended the answer itself and gave a reason.
func (a *Answer) Finish(reason string) {
	if reason != "" {
		a.finished = true
	}
}

// Usage takes the server's own token counts.
func (a *Answer) Usage(prompt, output int) {
	a.prompt, a.output = prompt, output
}

// Vector32 takes an embedding.
func (a *Answer) Vector32(vector []float32) {
	now := mono.Now()
	var pieces [vectorPieces]float64
	for i := range min(len(vector), vectorPieces) {
		pieces[i] = float64(vector[i])
	}
	a.takeVector(now, len(vector), pieces, 4)
}

// Vector64 takes an embedding from an SDK that gives float64.
func (a *Answer) Vector64(vector []float64) {
	now := mono.Now()
	var pieces [vectorPieces]float64
	copy(pieces[:], vector)
	a.takeVector(now, len(vector), pieces, 8)
}

func (a *Answer) takeVector(now int64, size int, pieces [vectorPieces]float64, width int) {
	a.finished = true
	a.vector = size
	a.bytes = size * width
	if size == 0 {
		return
	}
	a.first = now
	written, ok := joinPieces(pieces)
	if !ok {
		a.badStamps++
		return
	}
	a.overhead(now - written)
}

func (a *Answer) overhead(ns int64) {
	if len(a.overheads) < maxOverheads {
		a.overheads = append(a.overheads, ns)
	}
}

// tokens is the output's length: the server's count if it gave one, else our count of what came.
func (a *Answer) tokens() int {
	if a.output > 0 {
		return a.output
	}
	return a.words + a.loose
}

func parseStamp(token string) (int64, bool) {
	var ns int64
	for _, c := range []byte(token[1 : 1+stampDigits]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		ns = ns*10 + int64(c-'0')
	}
	return ns, token[0] == 'w' && token[stampChars-1] == ' '
}

// joinPieces is exact: a 16-bit piece divided by 65536 is a float32, and a float64, without rounding.
func joinPieces(pieces [vectorPieces]float64) (int64, bool) {
	var ns int64
	for _, piece := range pieces {
		scaled := piece * pieceScale
		if scaled < 0 || scaled >= pieceScale || scaled != float64(int64(scaled)) {
			return 0, false
		}
		ns = ns<<16 | int64(scaled)
	}
	return ns, true
}

// fault names what is wrong with an answer that came without an error, or returns "".
func (w *Workload) fault(a *Answer) (Outcome, string) {
	if w.kind() == kindEmbed {
		switch {
		case a.vector != w.Dimensions:
			return WrongAnswer, "the embedding has another dimension"
		case a.badStamps > 0 && w.stamped():
			return WrongAnswer, "the embedding does not carry the backend's write time"
		case a.prompt > 0 && a.prompt != w.Tokens:
			return WrongAnswer, "the backend counted another number of input tokens"
		}
		return OK, ""
	}
	switch got := a.tokens(); {
	case !a.finished && got < w.Tokens:
		return TruncatedStream, "the stream ended before its last token and without a finish reason"
	case got != w.Tokens:
		return WrongAnswer, "the answer has another number of tokens"
	case w.stamped() && (a.badStamps > 0 || a.loose > 0 || a.words != w.Tokens):
		return WrongAnswer, "a frame does not carry the backend's write time"
	case !a.finished:
		return TruncatedStream, "the stream ended without a finish reason"
	}
	return OK, ""
}
