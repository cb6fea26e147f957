package main

import (
	"io"
	"math"
	"path"
)

// encoder is a sentence encoder of the BERT architecture: token, type and position embeddings, attention, a
// feed-forward block with GELU, layer norms; its output is one vector per token.
type encoder struct {
	width, heads, layers int
	inner, positions     int
	words                int
}

const (
	layerNormEpsilon = 1e-12
	masked           = -10000 // what is added to the attention of padding
)

func encoderModel() encoder {
	return encoder{width: 768, heads: 12, layers: 1, inner: 768, positions: 512, words: 512}
}

// files gives the files that a loader of sentence encoders looks for, below folder.
func (e encoder) files(folder string) files {
	texts := e.tokenizerFiles()
	found := files{path.Join(folder, "model.onnx"): func(out io.Writer) error {
		_, err := out.Write(e.model())
		return err
	}}
	for name, value := range texts {
		found[path.Join(folder, name)] = func(out io.Writer) error { return writeJSON(out, value) }
	}
	return found
}

func (e encoder) model() message {
	b := encoderGraph{encoder: e}
	b.common()
	x := b.embeddings()
	for layer := range e.layers {
		x = b.layer(x, string(rune('0'+layer))+".")
	}
	b.op("Identity", []string{x}, "last_hidden_state")
	inputs := []message{
		valueInfo("input_ids", onnxInt64, 0, 0),
		valueInfo("attention_mask", onnxInt64, 0, 0),
		valueInfo("token_type_ids", onnxInt64, 0, 0),
	}
	return b.graph.model("synthetic-encoder", inputs, []message{
		valueInfo("last_hidden_state", onnxFloat, 0, 0, int64(e.width)),
	})
}

type encoderGraph struct {
	encoder
	graph
}

// common adds the constants that several nodes share, and the mask that is added to attention: 0 for a token, a large
// negative number for padding.
func (b *encoderGraph) common() {
	head := b.width / b.heads
	b.integers("zero", 0)
	b.integers("one", 1)
	b.integers("two", 2)
	b.integers("mask.axes", 1, 2)
	b.integers("split", 0, 0, int64(b.heads), int64(head))
	b.integers("join", 0, 0, int64(b.width))
	b.reals("real.one", []float32{1})
	b.reals("real.half", []float32{0.5})
	b.reals("masked", []float32{masked})
	b.reals("attention.scale", []float32{float32(1 / math.Sqrt(float64(head)))})
	b.reals("gelu.scale", []float32{float32(1 / math.Sqrt(2))})
	mask := b.op("Cast", []string{"attention_mask"}, "mask.real", integer("to", onnxFloat))
	mask = b.op("Unsqueeze", []string{mask, "mask.axes"}, "mask.wide")
	mask = b.op("Sub", []string{"real.one", mask}, "mask.inverse")
	b.op("Mul", []string{mask, "masked"}, "mask")
}

func (b *encoderGraph) weight(name string, deviation float64, shape ...int64) string {
	n := 1
	for _, size := range shape {
		n *= int(size)
	}
	return b.reals(name, bells("synthetic-encoder/"+name, n, deviation), shape...)
}

func (b *encoderGraph) norm(x, name string) string {
	width := int64(b.width)
	gain := b.reals(name+".gain", filled(b.width, 1), width)
	shift := b.reals(name+".shift", filled(b.width, 0), width)
	return b.op("LayerNormalization", []string{x, gain, shift}, name,
		integer("axis", -1), real32("epsilon", layerNormEpsilon))
}

func (b *encoderGraph) embeddings() string {
	width := int64(b.width)
	tokens := b.weight("embedding.token", 0.5, int64(len(b.tokens())), width)
	kinds := b.weight("embedding.type", 0.05, 2, width)
	places := b.weight("embedding.position", 0.05, int64(b.positions), width)
	token := b.op("Gather", []string{tokens, "input_ids"}, "token", integer("axis", 0))
	kind := b.op("Gather", []string{kinds, "token_type_ids"}, "type", integer("axis", 0))
	// The table of positions is cut to the length of the input.
	shape := b.op("Shape", []string{"input_ids"}, "shape")
	length := b.op("Slice", []string{shape, "one", "two", "zero"}, "length")
	place := b.op("Slice", []string{places, "zero", length, "zero"}, "position")
	sum := b.op("Add", []string{token, kind}, "token+type")
	return b.norm(b.op("Add", []string{sum, place}, "token+type+position"), "embedding")
}

func (b *encoderGraph) linear(x, name string, from, to int) string {
	weight := b.weight(name+".weight", 1/math.Sqrt(float64(from)), int64(from), int64(to))
	bias := b.reals(name+".bias", filled(to, 0), int64(to))
	return b.op("Add", []string{b.op("MatMul", []string{x, weight}, name+".product"), bias}, name)
}

func (b *encoderGraph) headsOf(x, name string, order ...int64) string {
	split := b.op("Reshape", []string{b.linear(x, name, b.width, b.width), "split"}, name+".heads")
	return b.op("Transpose", []string{split}, name+".turned", integers("perm", order...))
}

func (b *encoderGraph) layer(x, prefix string) string {
	query := b.headsOf(x, prefix+"query", 0, 2, 1, 3)
	key := b.headsOf(x, prefix+"key", 0, 2, 3, 1)
	value := b.headsOf(x, prefix+"value", 0, 2, 1, 3)
	score := b.op("MatMul", []string{query, key}, prefix+"score")
	score = b.op("Mul", []string{score, "attention.scale"}, prefix+"score.scaled")
	score = b.op("Add", []string{score, "mask"}, prefix+"score.masked")
	attention := b.op("Softmax", []string{score}, prefix+"attention", integer("axis", -1))
	mixed := b.op("MatMul", []string{attention, value}, prefix+"mixed")
	mixed = b.op("Transpose", []string{mixed}, prefix+"mixed.turned", integers("perm", 0, 2, 1, 3))
	mixed = b.op("Reshape", []string{mixed, "join"}, prefix+"mixed.joined")
	mixed = b.linear(mixed, prefix+"output", b.width, b.width)
	x = b.norm(b.op("Add", []string{mixed, x}, prefix+"attended"), prefix+"attended.norm")
	inner := b.gelu(b.linear(x, prefix+"inner", b.width, b.inner), prefix)
	outer := b.linear(inner, prefix+"outer", b.inner, b.width)
	return b.norm(b.op("Add", []string{outer, x}, prefix+"fed"), prefix+"fed.norm")
}

// gelu is x * (1 + erf(x / sqrt 2)) / 2.
func (b *encoderGraph) gelu(x, prefix string) string {
	erf := b.op("Erf", []string{b.op("Mul", []string{x, "gelu.scale"}, prefix+"gelu.scaled")}, prefix+"gelu.erf")
	sum := b.op("Add", []string{erf, "real.one"}, prefix+"gelu.sum")
	return b.op("Mul", []string{b.op("Mul", []string{x, sum}, prefix+"gelu.double"), "real.half"}, prefix+"gelu")
}
