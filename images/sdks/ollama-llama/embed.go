package adapter

import (
	"context"
	"errors"

	"sealbench.org/harness"
)

// Embed implements harness.Embedder. This llama.cpp reads a pooling only for encoder models; for the others the vector is
// the last token's, as in Ollama's own runner.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	tokens, err := c.model.Tokenize(text, true, true)
	if err != nil {
		return err
	}
	if err := c.decode(ctx, tokens, 0); err != nil {
		return err
	}
	vector := c.ctx.GetEmbeddingsSeq(0)
	if vector == nil {
		vector = c.ctx.GetEmbeddingsIth(-1)
	}
	if vector == nil {
		return errors.New("llama.cpp gave no embedding")
	}
	answer.Vector32(vector)
	answer.Usage(len(tokens), 0)
	return nil
}
