// Package openai speaks OpenAI's wire format on the standard library alone, written as by hand for one use.
//
// It knows nothing of the harness, so that the very same client can also be driven without it (bench/bare_client).
package openai

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Client is http.Client's zero value with an address.
type Client struct {
	Base  string // with the path prefix, "http://127.0.0.1:8080/v1"
	Key   string
	Model string
	http  http.Client
}

// Answer takes each piece of an answer as it comes.
type Answer interface {
	Text(piece string)
	Finish(reason string)
	Usage(prompt, output int)
	Vector32(vector []float32)
}

// Close gives connections back that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

type chatRequest struct {
	Model         string        `json:"model"`
	Messages      []message     `json:"messages"`
	MaxTokens     int           `json:"max_tokens"`
	Temperature   float64       `json:"temperature"`
	Stream        bool          `json:"stream"`
	StreamOptions streamOptions `json:"stream_options"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type message struct {
	Role    string `json:"role"`
	Content any    `json:"content"`
}

type part struct {
	Type     string    `json:"type"`
	Text     string    `json:"text,omitempty"`
	ImageURL *imageURL `json:"image_url,omitempty"`
}

type imageURL struct {
	URL string `json:"url"`
}

type chunk struct {
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
		} `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
	} `json:"usage"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
}

type embeddings struct {
	Data []struct {
		Embedding []float32 `json:"embedding"`
	} `json:"data"`
	Usage struct {
		PromptTokens int `json:"prompt_tokens"`
	} `json:"usage"`
}

// Chat streams an answer of at most maxTokens tokens.
func (c *Client) Chat(ctx context.Context, prompt string, maxTokens int, answer Answer) error {
	return c.stream(ctx, prompt, maxTokens, answer)
}

// ChatImage streams an answer about one image.
func (c *Client) ChatImage(ctx context.Context, prompt, mime string, image []byte, maxTokens int, answer Answer) error {
	url := "data:" + mime + ";base64," + base64.StdEncoding.EncodeToString(image)
	content := []part{{Type: "text", Text: prompt}, {Type: "image_url", ImageURL: &imageURL{url}}}
	return c.stream(ctx, content, maxTokens, answer)
}

func (c *Client) stream(ctx context.Context, content any, maxTokens int, answer Answer) error {
	response, err := c.post(ctx, "/chat/completions", chatRequest{
		Model:         c.Model,
		Messages:      []message{{Role: "user", Content: content}},
		MaxTokens:     maxTokens,
		Stream:        true,
		StreamOptions: streamOptions{IncludeUsage: true},
	})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for {
		line, err := readLine(lines)
		if err == io.EOF {
			return io.ErrUnexpectedEOF // a complete stream ends with [DONE]
		}
		if err != nil {
			return err
		}
		data, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue // an empty line, a comment, or a field that this format does not use
		}
		data = bytes.TrimSpace(data)
		if string(data) == "[DONE]" {
			// To the end of the body, or the connection cannot be used again.
			_, _ = io.Copy(io.Discard, response.Body)
			return nil
		}
		if err := take(data, answer); err != nil {
			return err
		}
	}
}

// readLine returns the next line, which is valid until the next call. Only a line beyond the reader's buffer is copied.
func readLine(lines *bufio.Reader) ([]byte, error) {
	line, err := lines.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return line, err
	}
	long := bytes.Clone(line)
	rest, err := lines.ReadBytes('\n')
	return append(long, rest...), err
}

func take(data []byte, answer Answer) error {
	var got chunk
	if err := json.Unmarshal(data, &got); err != nil {
		return err
	}
	if got.Error != nil {
		return fmt.Errorf("the server ended the stream: %s", got.Error.Message)
	}
	for i := range got.Choices {
		answer.Text(got.Choices[i].Delta.Content)
		answer.Finish(got.Choices[i].FinishReason)
	}
	if got.Usage != nil {
		answer.Usage(got.Usage.PromptTokens, got.Usage.CompletionTokens)
	}
	return nil
}

// Embed turns a text into a vector.
func (c *Client) Embed(ctx context.Context, text string, answer Answer) error {
	response, err := c.post(ctx, "/embeddings", struct {
		Model string `json:"model"`
		Input string `json:"input"`
	}{c.Model, text})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var got embeddings
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	if len(got.Data) > 0 {
		answer.Vector32(got.Data[0].Embedding)
	}
	answer.Usage(got.Usage.PromptTokens, 0)
	return nil
}

// post sends a request and returns the answer if it is a success.
func (c *Client) post(ctx context.Context, path string, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Base+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+c.Key)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return nil, &statusError{response.StatusCode, string(text)}
	}
	return response, nil
}

// statusError is an answer that is no success.
type statusError struct {
	StatusCode int
	body       string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.StatusCode, e.body) }
