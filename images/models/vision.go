package main

import (
	"fmt"
	"io"
	"math"
)

// projector is a CLIP vision encoder with a projection to the width of a chat model: an image becomes
// (image / patch)^2 = 16 embeddings.
type projector struct {
	width, inner, heads, layers int
	image, patch                int
	target                      int
}

func projectorFor(chat llama) projector {
	return projector{width: 128, inner: 256, heads: 4, layers: 2, image: 56, patch: 14, target: chat.width}
}

func (p projector) write(out io.Writer) error {
	var g gguf
	p.describe(&g)
	p.weights(&g)
	return g.write(out)
}

func (p projector) describe(g *gguf) {
	g.text("general.architecture", "clip")
	g.text("general.type", "mmproj")
	g.text("general.name", "synthetic-vision")
	g.text("general.description", "synthetic model: random weights")
	g.text("general.license", "cc0-1.0")
	g.number("general.file_type", fileFloat)
	g.flag("clip.has_vision_encoder", true)
	g.flag("clip.has_text_encoder", false)
	g.flag("clip.has_llava_projector", true)
	g.text("clip.projector_type", "mlp")
	g.flag("clip.use_gelu", false)
	g.number("clip.vision.image_size", p.image)
	g.number("clip.vision.patch_size", p.patch)
	g.number("clip.vision.embedding_length", p.width)
	g.number("clip.vision.feed_forward_length", p.inner)
	g.number("clip.vision.block_count", p.layers)
	g.number("clip.vision.attention.head_count", p.heads)
	g.number("clip.vision.projection_dim", p.target)
	g.real("clip.vision.attention.layer_norm_epsilon", normEpsilon)
	// What CLIP was trained with; engines normalise each colour by them.
	g.reals("clip.vision.image_mean", []float32{0.48145466, 0.4578275, 0.40821073})
	g.reals("clip.vision.image_std", []float32{0.26862954, 0.26130258, 0.27577711})
}

func (p projector) weights(g *gguf) {
	width, side := p.width, p.image/p.patch
	deviation := 1 / math.Sqrt(float64(width))
	random := func(name string, deviation float64, shape ...int) {
		n := 1
		for _, size := range shape {
			n *= size
		}
		g.tensor(name, asFloat, bells("synthetic-vision/"+name, n, deviation), shape...)
	}
	norm := func(name string) {
		g.tensor(name+".weight", asFloat, filled(width, 1), width)
		g.tensor(name+".bias", asFloat, filled(width, 0), width)
	}
	linear := func(name string, columns, rows int) {
		random(name+".weight", 1/math.Sqrt(float64(columns)), columns, rows)
		g.tensor(name+".bias", asFloat, filled(rows, 0), rows)
	}
	random("v.class_embd", 0.02, width)
	random("v.patch_embd.weight", 1/math.Sqrt(float64(3*p.patch*p.patch)), p.patch, p.patch, 3, width)
	random("v.position_embd.weight", 0.02, width, side*side+1)
	norm("v.pre_ln")
	for layer := range p.layers {
		prefix := fmt.Sprintf("v.blk.%d.", layer)
		for _, name := range []string{"attn_q", "attn_k", "attn_v", "attn_out"} {
			random(prefix+name+".weight", deviation, width, width)
			g.tensor(prefix+name+".bias", asFloat, filled(width, 0), width)
		}
		norm(prefix + "ln1")
		norm(prefix + "ln2")
		linear(prefix+"ffn_up", width, p.inner)
		linear(prefix+"ffn_down", p.inner, width)
	}
	norm("v.post_ln")
	linear("mm.0", width, p.target)
	linear("mm.2", p.target, p.target)
}
