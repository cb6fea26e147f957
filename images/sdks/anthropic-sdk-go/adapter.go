// Package adapter drives github.com/anthropics/anthropic-sdk-go.
package adapter

import (
	"context"
	"encoding/base64"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"sealbench.org/harness"
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names no moved setting: its two retries and its transport are what its users get.
func (adapter) Describe() harness.Description { return harness.Description{} }

// Open gives a key, because without one the SDK searches profiles and identity federation and then refuses to send.
func (adapter) Open(s harness.Settings) (harness.Client, error) {
	api := anthropic.NewClient(option.WithBaseURL(s.BaseURL), option.WithAPIKey(s.APIKey))
	return &client{api: api, model: s.Model}, nil
}

type client struct {
	api   anthropic.Client
	model anthropic.Model
}

func (c *client) Close() error { return nil }

// Stream implements harness.ChatStreamer.
func (c *client) Stream(ctx context.Context, prompt string, maxTokens int, answer *harness.Answer) error {
	return c.stream(ctx, anthropic.NewUserMessage(anthropic.NewTextBlock(prompt)), maxTokens, answer)
}

// StreamImage implements harness.ImageChatter. The SDK takes base64 text, so its user encodes the picture.
func (c *client) StreamImage(
	ctx context.Context, prompt string, image harness.Image, maxTokens int, answer *harness.Answer,
) error {
	data := base64.StdEncoding.EncodeToString(image.Data)
	message := anthropic.NewUserMessage(
		anthropic.NewImageBlockBase64(image.MIME, data), anthropic.NewTextBlock(prompt),
	)
	return c.stream(ctx, message, maxTokens, answer)
}

// stream takes the events apart as the SDK's README does: AsAny decodes each of them once more.
func (c *client) stream(
	ctx context.Context, message anthropic.MessageParam, maxTokens int, answer *harness.Answer,
) error {
	stream := c.api.Messages.NewStreaming(ctx, anthropic.MessageNewParams{
		Model:       c.model,
		MaxTokens:   int64(maxTokens),
		Temperature: anthropic.Float(0),
		Messages:    []anthropic.MessageParam{message},
	})
	defer stream.Close()
	for stream.Next() {
		switch event := stream.Current().AsAny().(type) {
		case anthropic.ContentBlockDeltaEvent:
			if delta, ok := event.Delta.AsAny().(anthropic.TextDelta); ok {
				answer.Text(delta.Text)
			}
		case anthropic.MessageDeltaEvent:
			answer.Finish(string(event.Delta.StopReason))
			answer.Usage(int(event.Usage.InputTokens), int(event.Usage.OutputTokens))
		}
	}
	return stream.Err()
}

// CountTokens implements harness.TokenCounter: the SDK asks the server.
func (c *client) CountTokens(ctx context.Context, text string) (int, error) {
	count, err := c.api.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{
		Model:    c.model,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))},
	})
	if err != nil {
		return 0, err
	}
	return int(count.InputTokens), nil
}
