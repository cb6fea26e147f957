// Package adapter drives github.com/sashabaranov/go-openai.
package adapter

import (
	"context"
	"encoding/base64"
	"errors"
	"io"

	"github.com/sashabaranov/go-openai"
	"sealbench.org/harness"
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names no moved setting: the client is what DefaultConfig gives.
func (adapter) Describe() harness.Description { return harness.Description{} }

func (adapter) Open(s harness.Settings) (harness.Client, error) {
	config := openai.DefaultConfig(s.APIKey)
	config.BaseURL = s.BaseURL
	return &client{api: openai.NewClientWithConfig(config), model: s.Model}, nil
}

type client struct {
	api   *openai.Client
	model string
}

func (c *client) Close() error { return nil }

// Stream implements harness.ChatStreamer.
func (c *client) Stream(ctx context.Context, prompt string, maxTokens int, answer *harness.Answer) error {
	return c.stream(ctx, openai.ChatCompletionMessage{Content: prompt}, maxTokens, answer)
}

// StreamImage implements harness.ImageChatter. The SDK takes a URL only, so its user encodes the picture.
func (c *client) StreamImage(
	ctx context.Context, prompt string, image harness.Image, maxTokens int, answer *harness.Answer,
) error {
	url := "data:" + image.MIME + ";base64," + base64.StdEncoding.EncodeToString(image.Data)
	return c.stream(ctx, openai.ChatCompletionMessage{MultiContent: []openai.ChatMessagePart{
		{Type: openai.ChatMessagePartTypeText, Text: prompt},
		{Type: openai.ChatMessagePartTypeImageURL, ImageURL: &openai.ChatMessageImageURL{URL: url}},
	}}, maxTokens, answer)
}

// stream sends no temperature: the SDK leaves out a zero, so the server's own applies.
func (c *client) stream(
	ctx context.Context, message openai.ChatCompletionMessage, maxTokens int, answer *harness.Answer,
) error {
	message.Role = openai.ChatMessageRoleUser
	stream, err := c.api.CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Model:         c.model,
		MaxTokens:     maxTokens,
		Messages:      []openai.ChatCompletionMessage{message},
		StreamOptions: &openai.StreamOptions{IncludeUsage: true},
	})
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil // also the end of a stream without [DONE]; the harness counts tokens
		}
		if err != nil {
			return err
		}
		for i := range chunk.Choices {
			answer.Text(chunk.Choices[i].Delta.Content)
			answer.Finish(string(chunk.Choices[i].FinishReason))
		}
		if chunk.Usage != nil {
			answer.Usage(chunk.Usage.PromptTokens, chunk.Usage.CompletionTokens)
		}
	}
}

// Embed implements harness.Embedder.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	return c.embed(ctx, text, "", answer)
}

// EmbedBase64 implements harness.Base64Embedder. A server that answers with floats all the same is an error of the SDK.
func (c *client) EmbedBase64(ctx context.Context, text string, answer *harness.Answer) error {
	return c.embed(ctx, text, openai.EmbeddingEncodingFormatBase64, answer)
}

func (c *client) embed(
	ctx context.Context, text string, format openai.EmbeddingEncodingFormat, answer *harness.Answer,
) error {
	response, err := c.api.CreateEmbeddings(ctx, openai.EmbeddingRequestStrings{
		Model:          openai.EmbeddingModel(c.model),
		Input:          []string{text},
		EncodingFormat: format,
	})
	if err != nil {
		return err
	}
	if len(response.Data) > 0 {
		answer.Vector32(response.Data[0].Embedding)
	}
	answer.Usage(response.Usage.PromptTokens, 0)
	return nil
}
