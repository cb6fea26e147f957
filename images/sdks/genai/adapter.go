// Package adapter drives google.golang.org/genai.
package adapter

import (
	"context"

	"google.golang.org/genai"
	"sealbench.org/harness"
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names no moved setting: the back end is chosen, as the SDK demands, all else is as NewClient gives it.
func (adapter) Describe() harness.Description { return harness.Description{} }

func (adapter) Open(s harness.Settings) (harness.Client, error) {
	api, err := genai.NewClient(context.Background(), &genai.ClientConfig{
		APIKey:      s.APIKey, // mandatory for this back end
		Backend:     genai.BackendGeminiAPI,
		HTTPOptions: genai.HTTPOptions{BaseURL: s.BaseURL}, // without a version: the SDK adds v1beta
	})
	if err != nil {
		return nil, err
	}
	return &client{models: api.Models, model: s.Model}, nil
}

type client struct {
	models *genai.Models
	model  string
}

func (c *client) Close() error { return nil }

// Stream implements harness.ChatStreamer.
func (c *client) Stream(ctx context.Context, prompt string, maxTokens int, answer *harness.Answer) error {
	return c.stream(ctx, genai.Text(prompt), maxTokens, answer)
}

// StreamImage implements harness.ImageChatter.
func (c *client) StreamImage(
	ctx context.Context, prompt string, image harness.Image, maxTokens int, answer *harness.Answer,
) error {
	parts := []*genai.Part{genai.NewPartFromText(prompt), genai.NewPartFromBytes(image.Data, image.MIME)}
	return c.stream(ctx, []*genai.Content{genai.NewContentFromParts(parts, genai.RoleUser)}, maxTokens, answer)
}

func (c *client) stream(
	ctx context.Context, contents []*genai.Content, maxTokens int, answer *harness.Answer,
) error {
	config := &genai.GenerateContentConfig{MaxOutputTokens: int32(maxTokens), Temperature: genai.Ptr[float32](0)}
	for response, err := range c.models.GenerateContentStream(ctx, c.model, contents, config) {
		if err != nil {
			return err
		}
		answer.Text(response.Text())
		for _, candidate := range response.Candidates {
			answer.Finish(string(candidate.FinishReason))
		}
		if usage := response.UsageMetadata; usage != nil {
			answer.Usage(int(usage.PromptTokenCount), int(usage.CandidatesTokenCount))
		}
	}
	return nil
}

// Embed implements harness.Embedder. The SDK always sends a batch, here of one.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	response, err := c.models.EmbedContent(ctx, c.model, genai.Text(text), nil)
	if err != nil {
		return err
	}
	if len(response.Embeddings) > 0 {
		answer.Vector32(response.Embeddings[0].Values)
	}
	return nil
}

// CountTokens implements harness.TokenCounter: the SDK asks the server.
func (c *client) CountTokens(ctx context.Context, text string) (int, error) {
	count, err := c.models.CountTokens(ctx, c.model, genai.Text(text), nil)
	if err != nil {
		return 0, err
	}
	return int(count.TotalTokens), nil
}
