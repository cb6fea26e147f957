package harness

import "strings"

const (
	chatWords = 32

	// What a chat template, and a picture, may add to the tokens of a prompt.
	templateTokens = 256
	imageTokens    = 1024
)

// input is the text of every request: a pure function of the workload, so all SDKs send the same.
//
// A chat prompt has 32 words. For an embedding the text has exactly Tokens tokens, special ones included, by the rules
// of who counts: words or characters. Of a model that the user brought nobody knows: it gets the characters, which are
// at most Tokens tokens, and so never too long for it.
func (w *Workload) input() string {
	size := max(w.Tokens-w.SpecialTokens, 1)
	switch {
	case w.kind() != kindEmbed:
		return phrase(chatWords, syllables)
	case w.TextUnit == unitCharacters || w.OwnModel:
		return characters(size)
	case w.ModelPath != "":
		return phrase(size, listed)
	}
	return phrase(size, syllables)
}

// contextTokens is an upper bound of what one request needs: no tokeniser makes more tokens than bytes.
func (w *Workload) contextTokens() int {
	switch w.kind() {
	case kindEmbed:
		return w.Tokens
	case kindChat:
		return len(w.input()) + templateTokens + w.Tokens
	case kindImage:
		return len(w.input()) + templateTokens + imageTokens + w.Tokens
	}
	return 0
}

// phrase joins words that come from one fixed sequence of random numbers.
func phrase(words int, word func(*splitmix) string) string {
	state := splitmix(512)
	all := make([]string, words)
	for i := range all {
		all[i] = word(&state)
	}
	return strings.Join(all, " ")
}

// syllables makes a word of two random syllables.
func syllables(state *splitmix) string {
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	var word [4]byte
	for i := 0; i < len(word); i += 2 {
		n := state.next()
		word[i] = consonants[n%uint64(len(consonants))]
		word[i+1] = vowels[n>>32%uint64(len(vowels))]
	}
	return string(word[:])
}

// listed takes a word of our encoder's list (images/models); other words would be several tokens.
func listed(state *splitmix) string {
	const consonants, vowels, words, stride, all = "bdfgklmnprst", "aeiou", 512, 7, 3600
	n := int(state.next()%words) * stride % all
	var word [4]byte
	for i, syllable := range [2]int{n / 60, n % 60} {
		word[2*i], word[2*i+1] = consonants[syllable/len(vowels)], vowels[syllable%len(vowels)]
	}
	return string(word[:])
}

// characters is a text of n characters without a blank at its end, which an SDK or a server might trim.
func characters(n int) string {
	text := phrase(n/5+1, syllables)[:n]
	if text[n-1] == ' ' {
		text = text[:n-1] + "a"
	}
	return text
}
