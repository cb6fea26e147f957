package adapter

import (
	"context"
	"errors"

	"github.com/hybridgroup/yzma/pkg/llama"
	"sealbench.org/harness"
)

// Embed implements harness.Embedder. The vector is the context's pooling of all tokens, as the model file asks for it.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	tokens := llama.Tokenize(c.vocab, text, true, true)
	if err := c.prefill(ctx, tokens); err != nil {
		return err
	}
	vector, err := llama.GetEmbeddingsSeq(c.ctx, 0, llama.ModelNEmbd(c.model))
	if err != nil {
		return err
	}
	if vector == nil {
		return errors.New("libllama gave no embedding: the model file asks for no pooling, or the library does not match yzma")
	}
	answer.Vector32(vector)
	answer.Usage(len(tokens), 0)
	return nil
}
