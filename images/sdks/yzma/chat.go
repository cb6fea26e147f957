package adapter

import (
	"context"
	"errors"
	"math"
	"strings"

	"github.com/hybridgroup/yzma/pkg/llama"
	"github.com/hybridgroup/yzma/pkg/message"
	"github.com/hybridgroup/yzma/pkg/template"
	"sealbench.org/harness"
)

// newSampler is greedy and never picks a token that ends the answer, so every model gives exactly as many tokens as it is
// asked for. yzma's own sampler means to exclude those tokens too, but gives them a bias of about +1e-45, which is none.
func newSampler(model llama.Model, vocab llama.Vocab, defaults bool) llama.Sampler {
	if defaults {
		return llama.NewSampler(model, llama.DefaultSamplers, llama.DefaultSamplerParams())
	}
	size := llama.VocabNTokens(vocab)
	var ends []llama.LogitBias
	for token := range llama.Token(size) {
		if llama.VocabIsEOG(vocab, token) {
			ends = append(ends, llama.LogitBias{Token: token, Bias: float32(math.Inf(-1))})
		}
	}
	chain := llama.SamplerChainInit(llama.SamplerChainDefaultParams())
	if len(ends) > 0 {
		llama.SamplerChainAdd(chain, llama.SamplerInitLogitBias(size, int32(len(ends)), &ends[0]))
	}
	llama.SamplerChainAdd(chain, llama.SamplerInitGreedy())
	return chain
}

// Stream implements harness.ChatStreamer.
func (c *client) Stream(ctx context.Context, prompt string, maxTokens int, answer *harness.Answer) error {
	text, err := c.chat(prompt)
	if err != nil {
		return err
	}
	return c.complete(ctx, text, maxTokens, answer)
}

// StreamTemplate implements harness.Templater: the caller's template takes the place of the model's.
func (c *client) StreamTemplate(ctx context.Context, own, prompt string, maxTokens int, answer *harness.Answer) error {
	return c.complete(ctx, strings.ReplaceAll(own, "{{prompt}}", prompt), maxTokens, answer)
}

// CountTokens implements harness.TokenCounter.
func (c *client) CountTokens(_ context.Context, text string) (int, error) {
	return len(llama.Tokenize(c.vocab, text, true, true)), nil
}

// chat renders the model's own chat template, by yzma's Jinja.
func (c *client) chat(prompt string) (string, error) {
	if c.template == "" {
		return "", errors.New("the model has no chat template")
	}
	return template.Apply(c.template, []message.Message{message.Chat{Role: "user", Content: prompt}}, true)
}

func (c *client) complete(ctx context.Context, text string, maxTokens int, answer *harness.Answer) error {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	tokens := llama.Tokenize(c.vocab, text, true, true)
	if err := c.prefill(ctx, tokens); err != nil {
		return err
	}
	return c.generate(ctx, len(tokens), maxTokens, answer)
}

// generate is the token loop. Each token's text is handed over as it comes.
func (c *client) generate(ctx context.Context, prompt, maxTokens int, answer *harness.Answer) error {
	llama.SamplerReset(c.sampler)
	next := make([]llama.Token, 1)
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		next[0] = llama.SamplerSample(c.sampler, c.ctx, -1)
		if llama.VocabIsEOG(c.vocab, next[0]) { // only with the SDK's own sampler
			answer.Finish("stop")
			answer.Usage(prompt, n-1)
			return nil
		}
		answer.Text(c.text(next[0]))
		if n == maxTokens {
			answer.Finish("length")
			answer.Usage(prompt, n)
			return nil
		}
		if err := decode(c.ctx, next); err != nil {
			return err
		}
	}
}

// text is a token as text; a negative size says how much room it needs.
func (c *client) text(token llama.Token) string {
	size := llama.TokenToPiece(c.vocab, token, c.piece, 0, false)
	if size < 0 {
		c.piece = make([]byte, -size)
		size = llama.TokenToPiece(c.vocab, token, c.piece, 0, false)
	}
	return string(c.piece[:max(size, 0)])
}
