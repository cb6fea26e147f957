// Package adapter drives github.com/cloudwego/eino with the OpenAI components of eino-ext.
package adapter

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strings"

	embedding "github.com/cloudwego/eino-ext/components/embedding/openai"
	chat "github.com/cloudwego/eino-ext/components/model/openai"
	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/components/prompt"
	"github.com/cloudwego/eino/schema"
	"sealbench.org/harness"
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names no moved setting.
func (adapter) Describe() harness.Description { return harness.Description{} }

func (adapter) Open(s harness.Settings) (harness.Client, error) {
	c, errs := &client{}, [3]error{}
	config := &chat.ChatModelConfig{APIKey: s.APIKey, BaseURL: s.BaseURL, Model: s.Model}
	c.llm, errs[0] = chat.NewChatModel(context.Background(), config)
	c.floats, errs[1] = newEmbedder(s, embedding.EmbeddingEncodingFormatFloat)
	c.texts, errs[2] = newEmbedder(s, embedding.EmbeddingEncodingFormatBase64)
	return c, errors.Join(errs[:]...)
}

// newEmbedder makes the component for one format: it is part of its configuration. Float is the SDK's own default.
func newEmbedder(s harness.Settings, format embedding.EmbeddingEncodingFormat) (*embedding.Embedder, error) {
	return embedding.NewEmbedder(context.Background(), &embedding.EmbeddingConfig{
		APIKey: s.APIKey, BaseURL: s.BaseURL, Model: s.Model, EncodingFormat: &format,
	})
}

type client struct {
	llm           *chat.ChatModel
	floats, texts *embedding.Embedder
}

func (c *client) Close() error { return nil }

// Stream implements harness.ChatStreamer.
func (c *client) Stream(ctx context.Context, prompt string, maxTokens int, answer *harness.Answer) error {
	return c.stream(ctx, []*schema.Message{schema.UserMessage(prompt)}, maxTokens, answer)
}

// StreamImage implements harness.ImageChatter. The SDK takes base64 text, so its user encodes the picture.
func (c *client) StreamImage(
	ctx context.Context, prompt string, image harness.Image, maxTokens int, answer *harness.Answer,
) error {
	data := base64.StdEncoding.EncodeToString(image.Data)
	picture := &schema.MessageInputImage{
		MessagePartCommon: schema.MessagePartCommon{Base64Data: &data, MIMEType: image.MIME},
	}
	return c.stream(ctx, []*schema.Message{{Role: schema.User, UserInputMultiContent: []schema.MessageInputPart{
		{Type: schema.ChatMessagePartTypeText, Text: prompt},
		{Type: schema.ChatMessagePartTypeImageURL, Image: picture},
	}}}, maxTokens, answer)
}

// StreamTemplate implements harness.Templater.
func (c *client) StreamTemplate(
	ctx context.Context, template, text string, maxTokens int, answer *harness.Answer,
) error {
	template = strings.ReplaceAll(template, "{{prompt}}", "{{.prompt}}")
	messages, err := prompt.FromMessages(schema.GoTemplate, schema.UserMessage(template)).
		Format(ctx, map[string]any{"prompt": text})
	if err != nil {
		return err
	}
	return c.stream(ctx, messages, maxTokens, answer)
}

func (c *client) stream(ctx context.Context, messages []*schema.Message, maxTokens int, answer *harness.Answer) error {
	reader, err := c.llm.Stream(ctx, messages, model.WithMaxTokens(maxTokens), model.WithTemperature(0))
	if err != nil {
		return err
	}
	defer reader.Close() // also after the end: a goroutine of the SDK waits for it
	for {
		message, err := reader.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer.Text(message.Content)
		if meta := message.ResponseMeta; meta != nil {
			answer.Finish(meta.FinishReason)
			if meta.Usage != nil {
				answer.Usage(meta.Usage.PromptTokens, meta.Usage.CompletionTokens)
			}
		}
	}
}

// Embed implements harness.Embedder.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	return embed(ctx, c.floats, text, answer)
}

// EmbedBase64 implements harness.Base64Embedder.
func (c *client) EmbedBase64(ctx context.Context, text string, answer *harness.Answer) error {
	return embed(ctx, c.texts, text, answer)
}

func embed(ctx context.Context, embedder *embedding.Embedder, text string, answer *harness.Answer) error {
	vectors, err := embedder.EmbedStrings(ctx, []string{text})
	if err != nil {
		return err
	}
	if len(vectors) > 0 {
		answer.Vector64(vectors[0])
	}
	return nil
}
