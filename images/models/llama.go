package main

import (
	"fmt"
	"io"
	"math"
)

const (
	quantVersion = 2
	ropeBase     = 10000
	normEpsilon  = 1e-5
	poolingMean  = 1
	channel      = 4   // the value of hidden channel 0 in every token
	neverSampled = -64 // an unwanted token's output weight on that channel
	chatTemplate = "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n" +
		"{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)

// llama is a small model of the Llama architecture: attention, a key-value cache, a feed-forward block, a tokenizer.
type llama struct {
	name           string
	width, layers  int
	heads, groups  int // query heads, and the key-value heads that they share
	inner, context int
	words          int
	file           int
	as             encoding
	embeds         bool
}

func chatModel() llama {
	return llama{
		name: "synthetic-chat", width: 256, layers: 2, heads: 4, groups: 2, inner: 512, context: 8192, words: 256,
		file: fileHalf, as: asHalf,
	}
}

func embedModel() llama {
	return llama{
		name: "synthetic-embed", width: 768, layers: 2, heads: 12, groups: 4, inner: 768, context: 2048, words: 256,
		file: fileQuant, as: asQuant, embeds: true,
	}
}

func (m llama) write(out io.Writer) error {
	var g gguf
	words := newVocabulary(m.words)
	m.describe(&g, len(words.tokens))
	words.writeTo(&g)
	if !m.embeds {
		g.text("tokenizer.chat_template", chatTemplate)
	}
	m.weights(&g, words)
	return g.write(out)
}

func (m llama) describe(g *gguf, tokens int) {
	g.text("general.architecture", "llama")
	g.text("general.name", m.name)
	g.text("general.description", "synthetic model: random weights, meaningless text")
	g.text("general.license", "cc0-1.0")
	g.number("general.file_type", m.file)
	g.number("general.quantization_version", quantVersion)
	g.number("llama.vocab_size", tokens)
	g.number("llama.context_length", m.context)
	g.number("llama.embedding_length", m.width)
	g.number("llama.block_count", m.layers)
	g.number("llama.feed_forward_length", m.inner)
	g.number("llama.attention.head_count", m.heads)
	g.number("llama.attention.head_count_kv", m.groups)
	g.number("llama.rope.dimension_count", m.width/m.heads)
	g.real("llama.rope.freq_base", ropeBase)
	g.real("llama.attention.layer_norm_rms_epsilon", normEpsilon)
	if m.embeds { // by this key servers know an embedding model
		g.number("llama.pooling_type", poolingMean)
	}
}

// weights writes the tensors. Hidden channel 0 is the same in every token and no layer writes to it, so the output can
// keep unwanted tokens away: generation never ends early, greedy or sampled, and its text is valid UTF-8.
func (m llama) weights(g *gguf, words vocabulary) {
	width, tokens := m.width, len(words.tokens)
	deviation := 1 / math.Sqrt(float64(width))
	random := func(name string, columns, rows int, deviation float64) []float32 {
		return bells(m.name+"/"+name, columns*rows, deviation)
	}
	embedding := random("token_embd.weight", width, tokens, 1)
	setColumn(embedding, width, 0, channel)
	g.tensor("token_embd.weight", m.as, embedding, width, tokens)
	for layer := range m.layers {
		m.layer(g, fmt.Sprintf("blk.%d.", layer), random, deviation)
	}
	g.tensor("output_norm.weight", asFloat, filled(width, 1), width)
	output := random("output.weight", width, tokens, 2*deviation)
	for token := range tokens {
		output[token*width] = neverSampled
		if token >= words.words {
			output[token*width] = 0
		}
	}
	g.tensor("output.weight", asHalf, output, width, tokens)
}

func (m llama) layer(g *gguf, prefix string, random func(string, int, int, float64) []float32, deviation float64) {
	width, shared := m.width, m.width/m.heads*m.groups
	matrix := func(name string, columns, rows int, deviation float64, writesHidden bool) {
		values := random(prefix+name, columns, rows, deviation)
		if writesHidden {
			clear(values[:columns]) // row 0 gives channel 0
		}
		g.tensor(prefix+name, m.as, values, columns, rows)
	}
	g.tensor(prefix+"attn_norm.weight", asFloat, filled(width, 1), width)
	matrix("attn_q.weight", width, width, deviation, false)
	matrix("attn_k.weight", width, shared, deviation, false)
	matrix("attn_v.weight", width, shared, deviation, false)
	matrix("attn_output.weight", width, width, deviation, true)
	g.tensor(prefix+"ffn_norm.weight", asFloat, filled(width, 1), width)
	matrix("ffn_gate.weight", width, m.inner, deviation, false)
	matrix("ffn_up.weight", width, m.inner, deviation, false)
	matrix("ffn_down.weight", m.inner, width, 1/math.Sqrt(float64(m.inner)), true)
}

func setColumn(values []float32, columns, column int, value float32) {
	for i := column; i < len(values); i += columns {
		values[i] = value
	}
}
