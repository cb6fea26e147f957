// Package adapter is the null SDK: a client on the standard library, and as little as can be between it and the harness.
package adapter

import (
	"context"

	"sealbench.org/harness"
	"sealbench.org/sdks/net-http/openai"
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names no moved setting: the client is http.Client's zero value.
func (adapter) Describe() harness.Description { return harness.Description{} }

func (adapter) Open(s harness.Settings) (harness.Client, error) {
	return &client{openai.Client{Base: s.BaseURL, Key: s.APIKey, Model: s.Model}}, nil
}

type client struct{ openai openai.Client }

func (c *client) Close() error {
	c.openai.Close()
	return nil
}

// Stream implements harness.ChatStreamer.
func (c *client) Stream(ctx context.Context, prompt string, maxTokens int, answer *harness.Answer) error {
	return c.openai.Chat(ctx, prompt, maxTokens, answer)
}

// StreamImage implements harness.ImageChatter.
func (c *client) StreamImage(ctx context.Context, prompt string, image harness.Image, maxTokens int, answer *harness.Answer) error {
	return c.openai.ChatImage(ctx, prompt, image.MIME, image.Data, maxTokens, answer)
}

// Embed implements harness.Embedder.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	return c.openai.Embed(ctx, text, answer)
}
