package harness

import (
	"math"

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
	full      bool // the server ended it because it was long enough
	vector    int  // components
	badStamps int
	overheads []int64

	plain     plainText // of the pieces without a stamp
	numbers   uint64    // hash of the vector's bits
	notFinite bool
	notZero   bool
	hits      []hit

	byWords bool // a word of plain text is one token
	// tap sees each piece in drive probe, which measures no time by it; nil otherwise.
	tap func(piece string, at int64)
}

// plainText is what is known of a text that carries no stamps, without keeping it.
type plainText struct {
	hash   uint64 // FNV-1a
	words  int
	inWord bool
}

// hit is one found vector.
type hit struct {
	id    int
	score float32
}

func (a *Answer) reset() {
	*a = Answer{overheads: a.overheads[:0], hits: a.hits[:0], byWords: a.byWords, tap: a.tap}
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
	if a.tap != nil {
		a.tap(piece, now)
	}
	if piece[0] != 'w' || len(piece)%stampChars != 0 {
		a.loose++
		a.plain.take(piece)
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
	if reason == "" {
		return
	}
	a.finished = true
	switch reason {
	case "length", "max_tokens", "MAX_TOKENS": // OpenAI and Ollama, Anthropic, Gemini
		a.full = true
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
	a.numbers = fnvOffset
	for _, value := range vector[min(len(vector), a.stampedPieces()):] {
		a.number(math.Float32bits(value))
	}
}

// Vector64 takes an embedding from an SDK that gives float64.
func (a *Answer) Vector64(vector []float64) {
	now := mono.Now()
	var pieces [vectorPieces]float64
	copy(pieces[:], vector)
	a.takeVector(now, len(vector), pieces, 8)
	a.numbers = fnvOffset
	for _, value := range vector[min(len(vector), a.stampedPieces()):] {
		a.number(math.Float32bits(float32(value)))
	}
}

// Hit takes one found vector, best first: its id and its cosine similarity.
func (a *Answer) Hit(id int, score float32) {
	if a.first == 0 {
		a.first = mono.Now()
	}
	a.finished = true
	a.hits = append(a.hits, hit{id, score})
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

// stampedPieces is how many components differ from answer to answer, because they hold the write time.
func (a *Answer) stampedPieces() int {
	if a.badStamps > 0 {
		return 0
	}
	return vectorPieces
}

// number takes one component: one step of FNV-1a over 32 bits, and what kind of number it is.
func (a *Answer) number(bits uint32) {
	const exponent, allButSign = 0x7f800000, 0x7fffffff
	a.numbers = (a.numbers ^ uint64(bits)) * fnvPrime
	a.notFinite = a.notFinite || bits&exponent == exponent
	a.notZero = a.notZero || bits&allButSign != 0
}

func (a *Answer) overhead(ns int64) {
	if len(a.overheads) < maxOverheads {
		a.overheads = append(a.overheads, ns)
	}
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func (p *plainText) take(piece string) {
	if p.hash == 0 {
		p.hash = fnvOffset
	}
	for i := range len(piece) {
		c := piece[i]
		p.hash = (p.hash ^ uint64(c)) * fnvPrime
		word := c != ' ' && c != '\n' && c != '\t'
		if word && !p.inWord {
			p.words++
		}
		p.inWord = word
	}
}

// tokens is the output's length: the server's count if it gave one, else our count of what came: words of one of our
// models, else pieces.
func (a *Answer) tokens() int {
	switch {
	case a.output > 0:
		return a.output
	case a.byWords:
		return a.words + a.plain.words
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
