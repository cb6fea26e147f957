// Package adapter drives github.com/tmc/langchaingo with its OpenAI client.
package adapter

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/tmc/langchaingo/embeddings"
	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/llms/openai"
	"github.com/tmc/langchaingo/prompts"
	"sealbench.org/harness"
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names the one moved setting; sdk.yaml has the reason.
func (adapter) Describe() harness.Description {
	return harness.Description{Moved: map[string]string{"max-tokens field": "max_tokens"}}
}

func (adapter) Open(s harness.Settings) (harness.Client, error) {
	llm, err := openai.New(
		openai.WithBaseURL(s.BaseURL), openai.WithToken(s.APIKey),
		openai.WithModel(s.Model), openai.WithEmbeddingModel(s.Model),
	)
	if err != nil {
		return nil, err
	}
	embedder, err := embeddings.NewEmbedder(llm)
	if err != nil {
		return nil, err
	}
	return &client{llm: llm, embedder: embedder, model: s.Model, defaults: s.Defaults}, nil
}

type client struct {
	llm      *openai.LLM
	embedder embeddings.Embedder
	model    string
	defaults bool
}

func (c *client) Close() error { return nil }

// Stream implements harness.ChatStreamer.
func (c *client) Stream(ctx context.Context, prompt string, maxTokens int, answer *harness.Answer) error {
	return c.stream(ctx, []llms.ContentPart{llms.TextPart(prompt)}, maxTokens, answer)
}

// StreamImage implements harness.ImageChatter. The SDK's own BinaryPart is a form that no OpenAI server knows
// ("type": "binary"), so its user encodes the picture and passes a URL.
func (c *client) StreamImage(
	ctx context.Context, prompt string, image harness.Image, maxTokens int, answer *harness.Answer,
) error {
	url := "data:" + image.MIME + ";base64," + base64.StdEncoding.EncodeToString(image.Data)
	return c.stream(ctx, []llms.ContentPart{llms.TextPart(prompt), llms.ImageURLPart(url)}, maxTokens, answer)
}

// StreamTemplate implements harness.Templater, with Go's template syntax, the SDK's default.
func (c *client) StreamTemplate(
	ctx context.Context, template, prompt string, maxTokens int, answer *harness.Answer,
) error {
	template = strings.ReplaceAll(template, "{{prompt}}", "{{.prompt}}")
	text, err := prompts.NewPromptTemplate(template, []string{"prompt"}).Format(map[string]any{"prompt": prompt})
	if err != nil {
		return err
	}
	return c.Stream(ctx, text, maxTokens, answer)
}

// stream says nothing of the temperature: the SDK always sends it, and as 0 if none is given.
func (c *client) stream(ctx context.Context, parts []llms.ContentPart, maxTokens int, answer *harness.Answer) error {
	options := []llms.CallOption{
		llms.WithMaxTokens(maxTokens),
		llms.WithStreamingFunc(func(_ context.Context, chunk []byte) error {
			answer.Text(string(chunk))
			return nil
		}),
	}
	if !c.defaults {
		options = append(options, openai.WithLegacyMaxTokensField())
	}
	message := llms.MessageContent{Role: llms.ChatMessageTypeHuman, Parts: parts}
	response, err := c.llm.GenerateContent(ctx, []llms.MessageContent{message}, options...)
	if err != nil {
		return err
	}
	whole := response.Choices[0]
	answer.Finish(whole.StopReason)
	input, _ := whole.GenerationInfo["PromptTokens"].(int)
	output, _ := whole.GenerationInfo["CompletionTokens"].(int)
	answer.Usage(input, output)
	return nil
}

// Embed implements harness.Embedder.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	vector, err := c.embedder.EmbedQuery(ctx, text)
	if err != nil {
		return err
	}
	answer.Vector32(vector)
	return nil
}

// CountTokens implements harness.TokenCounter. The SDK downloads the vocabulary at its first use; where it cannot, it
// gives a quarter of the characters.
func (c *client) CountTokens(_ context.Context, text string) (int, error) {
	return llms.CountTokens(c.model, text), nil
}
