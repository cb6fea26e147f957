package adapter

import (
	"context"
	"errors"
	"strings"

	"sealbench.org/harness"
)

const (
	placeholder = "{{prompt}}"
	// modelTemplate is that of the synthetic model. The package does not read a model's chat template: its callers bring
	// their own, which is also what StreamTemplate does.
	modelTemplate = "user: " + placeholder + "\nassistant:"
)

// Stream implements harness.ChatStreamer.
func (c *client) Stream(ctx context.Context, prompt string, maxTokens int, answer *harness.Answer) error {
	return c.StreamTemplate(ctx, modelTemplate, prompt, maxTokens, answer)
}

// StreamTemplate implements harness.Templater.
func (c *client) StreamTemplate(ctx context.Context, template, prompt string, maxTokens int, answer *harness.Answer) error {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	tokens, err := c.model.Tokenize(strings.ReplaceAll(template, placeholder, prompt), true, true)
	if err != nil {
		return err
	}
	if err := c.decode(ctx, tokens, 0); err != nil {
		return err
	}
	return c.generate(ctx, len(tokens), maxTokens, answer)
}

// StreamImage implements harness.ImageChatter: the picture's embeddings stand in front of the prompt's tokens.
func (c *client) StreamImage(
	ctx context.Context, prompt string, image harness.Image, maxTokens int, answer *harness.Answer,
) error {
	if c.clip == nil {
		return errors.New("no projector is loaded")
	}
	if len(image.Data) == 0 {
		return errors.New("the image is empty")
	}
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	before, after, _ := strings.Cut(modelTemplate, placeholder)
	past, err := c.prefillText(ctx, before, true, 0)
	if err != nil {
		return err
	}
	if past, err = c.prefillImage(image.Data, past); err != nil {
		return err
	}
	if past, err = c.prefillText(ctx, prompt+after, false, past); err != nil {
		return err
	}
	return c.generate(ctx, past, maxTokens, answer)
}

func (c *client) prefillText(ctx context.Context, text string, special bool, past int) (int, error) {
	tokens, err := c.model.Tokenize(text, special, true)
	if err != nil {
		return past, err
	}
	return past + len(tokens), c.decode(ctx, tokens, past)
}

func (c *client) prefillImage(data []byte, past int) (int, error) {
	embeddings, err := c.clip.NewEmbed(c.ctx, data)
	if err != nil {
		return past, err
	}
	for start := 0; start < len(embeddings); start += batchTokens {
		c.picture.Clear()
		for i, embedding := range embeddings[start:min(start+batchTokens, len(embeddings))] {
			c.picture.Add(0, embedding, past+start+i, false, 0)
		}
		if err := c.ctx.Decode(c.picture); err != nil {
			return past, err
		}
	}
	return past + len(embeddings), nil
}

// generate is the token loop. It goes on after a token that ends the answer, because the package cannot exclude one: so
// every model gives exactly as many tokens as it is asked for.
func (c *client) generate(ctx context.Context, prompt, maxTokens int, answer *harness.Answer) error {
	next := make([]int, 1)
	for n := range maxTokens {
		if err := ctx.Err(); err != nil {
			return err
		}
		next[0] = c.sampler.Sample(c.ctx, -1)
		c.sampler.Accept(next[0], true)
		answer.Text(c.model.TokenToPiece(next[0]))
		if n == maxTokens-1 {
			break
		}
		if err := c.decode(ctx, next, prompt+n); err != nil {
			return err
		}
	}
	answer.Finish("length")
	answer.Usage(prompt, maxTokens)
	return nil
}

// CountTokens implements harness.TokenCounter.
func (c *client) CountTokens(_ context.Context, text string) (int, error) {
	tokens, err := c.model.Tokenize(text, true, true)
	return len(tokens), err
}
