// Package adapter drives github.com/openai/openai-go/v3.
package adapter

import (
	"context"
	"encoding/base64"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"sealbench.org/harness"
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names no moved setting: its two retries and its transport are what its users get.
func (adapter) Describe() harness.Description { return harness.Description{} }

func (adapter) Open(s harness.Settings) (harness.Client, error) {
	api := openai.NewClient(option.WithBaseURL(s.BaseURL), option.WithAPIKey(s.APIKey))
	return &client{api: api, model: s.Model}, nil
}

type client struct {
	api   openai.Client
	model string
}

func (c *client) Close() error { return nil }

// Stream implements harness.ChatStreamer.
func (c *client) Stream(ctx context.Context, prompt string, maxTokens int, answer *harness.Answer) error {
	return c.stream(ctx, openai.UserMessage(prompt), maxTokens, answer)
}

// StreamImage implements harness.ImageChatter. The SDK takes a URL only, so its user encodes the picture.
func (c *client) StreamImage(
	ctx context.Context, prompt string, image harness.Image, maxTokens int, answer *harness.Answer,
) error {
	url := "data:" + image.MIME + ";base64," + base64.StdEncoding.EncodeToString(image.Data)
	return c.stream(ctx, openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
		openai.TextContentPart(prompt),
		openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: url}),
	}), maxTokens, answer)
}

func (c *client) stream(
	ctx context.Context, message openai.ChatCompletionMessageParamUnion, maxTokens int, answer *harness.Answer,
) error {
	stream := c.api.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{
		Model:         c.model,
		MaxTokens:     openai.Int(int64(maxTokens)), // every server knows it; max_completion_tokens is OpenAI's alone
		Temperature:   openai.Float(0),
		Messages:      []openai.ChatCompletionMessageParamUnion{message},
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	})
	defer stream.Close()
	for stream.Next() {
		chunk := stream.Current()
		for i := range chunk.Choices {
			answer.Text(chunk.Choices[i].Delta.Content)
			answer.Finish(chunk.Choices[i].FinishReason)
		}
		if chunk.JSON.Usage.Valid() {
			answer.Usage(int(chunk.Usage.PromptTokens), int(chunk.Usage.CompletionTokens))
		}
	}
	return stream.Err()
}

// Embed implements harness.Embedder. Without a format the SDK asks for none, so the server decides: floats.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	return c.embed(ctx, text, "", answer)
}

// EmbedBase64 implements harness.Base64Embedder.
func (c *client) EmbedBase64(ctx context.Context, text string, answer *harness.Answer) error {
	return c.embed(ctx, text, openai.EmbeddingNewParamsEncodingFormatBase64, answer)
}

func (c *client) embed(
	ctx context.Context, text string, format openai.EmbeddingNewParamsEncodingFormat, answer *harness.Answer,
) error {
	response, err := c.api.Embeddings.New(ctx, openai.EmbeddingNewParams{
		Model:          c.model,
		Input:          openai.EmbeddingNewParamsInputUnion{OfString: openai.String(text)},
		EncodingFormat: format,
	})
	if err != nil {
		return err
	}
	if len(response.Data) > 0 {
		answer.Vector64(response.Data[0].Embedding)
	}
	answer.Usage(int(response.Usage.PromptTokens), 0)
	return nil
}

// CountTokens implements harness.TokenCounter: the SDK asks the server.
func (c *client) CountTokens(ctx context.Context, text string) (int, error) {
	count, err := c.api.Responses.InputTokens.Count(ctx, responses.InputTokenCountParams{
		Model: openai.String(c.model),
		Input: responses.InputTokenCountParamsInputUnion{OfString: openai.String(text)},
	})
	if err != nil {
		return 0, err
	}
	return int(count.InputTokens), nil
}
