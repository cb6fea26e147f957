package main

import "fmt"

// Token types of tokenizer.ggml.token_type.
const (
	tokenNormal  = 1
	tokenUnknown = 2
	tokenControl = 3
	tokenByte    = 6
)

const (
	space     = "\u2581" // SentencePiece writes a blank so
	unknownID = 0
	beginID   = 1
	endID     = 2
	allWords  = 60 * 60
	stride    = 7 // coprime to allWords: neighbours in the list differ in more than one letter
)

// word gives the i-th made-up word of two syllables; all are different for i < allWords.
func word(i int) string {
	const consonants, vowels = "bdfgklmnprst", "aeiou"
	syllable := func(n int) string { return string(consonants[n/len(vowels)]) + string(vowels[n%len(vowels)]) }
	n := i * stride % allWords
	return syllable(n/60) + syllable(n%60)
}

// vocabulary is a SentencePiece vocabulary in which each ASCII character of a text is one token: printable ones have a
// piece, others a byte token, and no two-character piece exists that could join them.
type vocabulary struct {
	tokens []string
	scores []float32
	types  []int32
	words  int // the first of the words, which only a model's output can reach
}

func newVocabulary(words int) vocabulary {
	var v vocabulary
	add := func(text string, score float32, kind int32) {
		v.tokens, v.scores, v.types = append(v.tokens, text), append(v.scores, score), append(v.types, kind)
	}
	add("<unk>", 0, tokenUnknown)
	add("<s>", 0, tokenControl)
	add("</s>", 0, tokenControl)
	for b := range 256 { // loaders refuse a vocabulary that lacks one of these
		add(fmt.Sprintf("<0x%02X>", b), 0, tokenByte)
	}
	add(space, -1, tokenNormal)
	for c := rune('!'); c <= '~'; c++ {
		add(string(c), -2-float32(c-'!'), tokenNormal)
	}
	v.words = len(v.tokens)
	for i := range words {
		add(space+word(i), -1000-float32(i), tokenNormal)
	}
	return v
}

func (v vocabulary) writeTo(g *gguf) {
	g.text("tokenizer.ggml.model", "llama")
	g.texts("tokenizer.ggml.tokens", v.tokens)
	g.reals("tokenizer.ggml.scores", v.scores)
	g.integers("tokenizer.ggml.token_type", v.types)
	g.number("tokenizer.ggml.unknown_token_id", unknownID)
	g.number("tokenizer.ggml.bos_token_id", beginID)
	g.number("tokenizer.ggml.eos_token_id", endID)
	g.flag("tokenizer.ggml.add_bos_token", true)
	g.flag("tokenizer.ggml.add_eos_token", false)
	g.flag("tokenizer.ggml.add_space_prefix", false)
}
