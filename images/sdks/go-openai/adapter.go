// Package adapter drives github.com/sashabaranov/go-openai.
package adapter

import (
	"context"
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
	stream, err := c.api.CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Model:     c.model,
		MaxTokens: maxTokens,
		Messages:  []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: prompt}},
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
	}
}

// Embed implements harness.Embedder.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	response, err := c.api.CreateEmbeddings(ctx, openai.EmbeddingRequestStrings{
		Model: openai.EmbeddingModel(c.model),
		Input: []string{text},
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
