// Package adapter drives github.com/digitallysavvy/go-ai with its OpenAI provider.
package adapter

import (
	"context"
	"errors"
	"io"

	"github.com/digitallysavvy/go-ai/pkg/ai"
	"github.com/digitallysavvy/go-ai/pkg/provider"
	"github.com/digitallysavvy/go-ai/pkg/provider/types"
	"github.com/digitallysavvy/go-ai/pkg/providers/openai"
	"sealbench.org/harness"
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names no moved setting: the provider has none that reach the transport. All its clients share one
// http.Client with a total timeout of 60 s, which also ends streams that last longer.
func (adapter) Describe() harness.Description { return harness.Description{} }

func (adapter) Open(s harness.Settings) (harness.Client, error) {
	api := openai.New(openai.Config{APIKey: s.APIKey, BaseURL: s.BaseURL})
	chat, err := api.LanguageModel(s.Model)
	if err != nil {
		return nil, err
	}
	embedder, err := api.EmbeddingModel(s.Model)
	if err != nil {
		return nil, err
	}
	return &client{chat: chat, embedder: embedder}, nil
}

type client struct {
	chat     provider.LanguageModel
	embedder provider.EmbeddingModel
}

func (c *client) Close() error { return nil }

// Stream implements harness.ChatStreamer.
func (c *client) Stream(ctx context.Context, prompt string, maxTokens int, answer *harness.Answer) error {
	return c.stream(ctx, ai.StreamTextOptions{Prompt: prompt}, maxTokens, answer)
}

// StreamImage implements harness.ImageChatter.
func (c *client) StreamImage(
	ctx context.Context, prompt string, image harness.Image, maxTokens int, answer *harness.Answer,
) error {
	return c.stream(ctx, ai.StreamTextOptions{Messages: []types.Message{{
		Role: types.RoleUser,
		Content: []types.ContentPart{
			types.TextContent{Text: prompt},
			types.ImageContent{Image: image.Data, MimeType: image.MIME},
		},
	}}}, maxTokens, answer)
}

func (c *client) stream(
	ctx context.Context, options ai.StreamTextOptions, maxTokens int, answer *harness.Answer,
) error {
	options.Model, options.MaxTokens, options.Temperature = c.chat, &maxTokens, new(float64)
	result, err := ai.StreamText(ctx, options)
	if err != nil {
		return err
	}
	defer result.Close()
	stream := result.Stream()
	for {
		chunk, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return nil // also the end of a stream without [DONE]; the harness counts tokens
		}
		if err != nil {
			return err
		}
		switch chunk.Type {
		case provider.ChunkTypeText:
			answer.Text(chunk.Text)
		case provider.ChunkTypeFinish:
			answer.Finish(string(chunk.FinishReason))
		}
	}
}

// Embed implements harness.Embedder.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	result, err := ai.Embed(ctx, ai.EmbedOptions{Model: c.embedder, Input: text})
	if err != nil {
		return err
	}
	answer.Vector64(result.Embedding)
	answer.Usage(result.Usage.InputTokens, 0)
	return nil
}
