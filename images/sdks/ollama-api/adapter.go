// Package adapter drives github.com/ollama/ollama/api.
package adapter

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/ollama/ollama/api"
	"sealbench.org/harness"
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names no moved setting: http.DefaultClient is what the SDK's own ClientFromEnvironment takes.
func (adapter) Describe() harness.Description { return harness.Description{} }

func (adapter) Open(s harness.Settings) (harness.Client, error) {
	base, err := url.Parse(s.BaseURL)
	if err != nil {
		return nil, err
	}
	return &client{api: api.NewClient(base, http.DefaultClient), model: s.Model}, nil
}

type client struct {
	api   *api.Client
	model string
}

func (c *client) Close() error { return nil }

// Stream implements harness.ChatStreamer. The SDK leaves `stream` out of the request; the protocol's default is true.
func (c *client) Stream(ctx context.Context, prompt string, maxTokens int, answer *harness.Answer) error {
	return c.chat(ctx, api.Message{Role: "user", Content: prompt}, maxTokens, answer)
}

// StreamImage implements harness.ImageChatter.
func (c *client) StreamImage(
	ctx context.Context, prompt string, image harness.Image, maxTokens int, answer *harness.Answer,
) error {
	message := api.Message{Role: "user", Content: prompt, Images: []api.ImageData{image.Data}}
	return c.chat(ctx, message, maxTokens, answer)
}

func (c *client) chat(ctx context.Context, message api.Message, maxTokens int, answer *harness.Answer) error {
	return c.api.Chat(ctx, &api.ChatRequest{
		Model:    c.model,
		Messages: []api.Message{message},
		Options:  options(maxTokens),
	}, func(part api.ChatResponse) error {
		answer.Text(part.Message.Content)
		answer.Finish(part.DoneReason)
		answer.Usage(part.PromptEvalCount, part.EvalCount)
		return nil
	})
}

// StreamTemplate implements harness.Templater: the server renders the template, as text/template with its own names.
func (c *client) StreamTemplate(
	ctx context.Context, template, prompt string, maxTokens int, answer *harness.Answer,
) error {
	return c.api.Generate(ctx, &api.GenerateRequest{
		Model:    c.model,
		Prompt:   prompt,
		Template: strings.ReplaceAll(template, "{{prompt}}", "{{ .Prompt }}"),
		Options:  options(maxTokens),
	}, func(part api.GenerateResponse) error {
		answer.Text(part.Response)
		answer.Finish(part.DoneReason)
		answer.Usage(part.PromptEvalCount, part.EvalCount)
		return nil
	})
}

func options(maxTokens int) map[string]any {
	return map[string]any{"num_predict": maxTokens, "temperature": 0}
}

// Embed implements harness.Embedder.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	response, err := c.api.Embed(ctx, &api.EmbedRequest{Model: c.model, Input: text})
	if err != nil {
		return err
	}
	if len(response.Embeddings) > 0 {
		answer.Vector32(response.Embeddings[0])
	}
	answer.Usage(response.PromptEvalCount, 0)
	return nil
}
