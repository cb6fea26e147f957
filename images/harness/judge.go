package harness

import "sync/atomic"

// judge says whether an answer that came without an error is right. It costs no allocation and, in the request path,
// nothing that grows with the SDK's speed: everything it compares with was computed before warm-up.
type judge struct {
	work    *Workload
	kind    string
	stamped bool
	ours    bool
	alone   bool
	search  *searchSet    // kind similarity
	vector  atomic.Uint64 // hash of the first embedding; all later ones are of the same text
}

func newJudge(w *Workload, search *searchSet) *judge {
	return &judge{work: w, kind: w.kind(), stamped: w.stamped(), ours: w.ours(), alone: w.alone(), search: search}
}

// fault names what is wrong with the answer to request seq, or returns "".
func (j *judge) fault(seq int64, a *Answer) (Outcome, string) {
	switch j.kind {
	case kindEmbed:
		return j.embedding(a)
	case kindSimilarity:
		return j.search.fault(seq, a.hits)
	}
	if j.stamped {
		return j.stampedText(a)
	}
	return j.plainText(a)
}

func (j *judge) embedding(a *Answer) (Outcome, string) {
	switch {
	case a.vector != j.work.Dimensions:
		return WrongAnswer, "the embedding has another dimension"
	case a.badStamps > 0 && j.stamped:
		return WrongAnswer, "the embedding does not carry the backend's write time"
	case a.notFinite:
		return WrongAnswer, "the embedding holds a number that is not finite"
	case !a.notZero:
		return WrongAnswer, "the embedding is all zero"
	case a.prompt > 0 && !j.counted(a.prompt) && (j.stamped || j.ours):
		return WrongAnswer, "the backend counted another number of input tokens"
	}
	// A server that batches requests may add in another order, so that bits differ without an error.
	if !j.stamped && !j.alone {
		return OK, ""
	}
	if !j.vector.CompareAndSwap(0, a.numbers) && j.vector.Load() != a.numbers {
		return WrongAnswer, "the same text got another embedding than before"
	}
	return OK, ""
}

// counted is whether a server may say that the input had n tokens. Ollama says how many the text has, without those that
// its tokeniser adds for the engine.
func (j *judge) counted(n int) bool {
	return n == j.work.Tokens || n == j.work.Tokens-j.work.SpecialTokens
}

func (j *judge) stampedText(a *Answer) (Outcome, string) {
	want := j.work.Tokens
	switch got := a.tokens(); {
	case !a.finished && got < want:
		return TruncatedStream, "the stream ended before its last token and without a finish reason"
	case got != want:
		return WrongAnswer, "the answer has another number of tokens"
	case a.badStamps > 0 || a.loose > 0 || a.words != want:
		return WrongAnswer, "a frame does not carry the backend's write time"
	case !a.finished:
		return TruncatedStream, "the stream ended without a finish reason"
	}
	return OK, ""
}

// plainText judges the text of a real model. The number of tokens is, in this order: what the server counted; for one
// of our models, the words, each of which is one token; else unknown. Then there can be fewer pieces than tokens,
// since a piece may hold several, but never more, and the server must say that the limit ended the answer.
func (j *judge) plainText(a *Answer) (Outcome, string) {
	want := j.work.Tokens
	pieces := a.words + a.loose
	counted, known := a.tokens(), a.output > 0 || j.ours
	switch {
	case pieces == 0:
		return WrongAnswer, "the answer has no text"
	case !a.finished:
		return TruncatedStream, "the stream ended without a finish reason"
	case known && counted != want:
		return WrongAnswer, "the answer has another number of tokens"
	case !known && pieces > want:
		return WrongAnswer, "the answer has more pieces than tokens were asked for"
	case !known && pieces < want && !a.full:
		return WrongAnswer, "the answer ended before the number of tokens that was asked for"
	}
	return OK, ""
}
