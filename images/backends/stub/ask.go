package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const (
	stubModel = "stub"

	defaultTokens = 128
	maxTokens     = 1 << 20
)

// ask is one request, read from any wire format. Nothing changes it once it is noted for /stub/stats.
type ask struct {
	path      string
	model     string
	stream    bool
	usage     bool   // OpenAI's stream_options.include_usage
	maxTokens int    // as sent; 0: not sent
	messages  int    // of a chat, or inputs of an embedding
	encoding  string // of an embedding, as sent
	texts     []string
	images    []picture

	arrival int64 // CLOCK_MONOTONIC
	begun   int64 // ... of the first token's write
	paced   bool
	prompt  int // blank-separated words: the stub's tokens
	play    script
}

// refusal is why a request is not answered.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func badRequest(format string, values ...any) error {
	return &refusal{http.StatusBadRequest, fmt.Sprintf(format, values...)}
}

// settle checks what all wire formats have in common and fixes the script.
func (s *stub) settle(a *ask) error {
	if a.model == "" {
		return badRequest("you must provide a model parameter")
	}
	play, err := parseScenario(a.model)
	if err != nil {
		return &refusal{http.StatusNotFound, err.Error()}
	}
	a.play = play
	for _, text := range a.texts {
		a.prompt += words(text)
	}
	for i := range a.images {
		if err := s.pictures.check(&a.images[i]); err != nil {
			return err
		}
	}
	return nil
}

// settleChat does so for a chat. limit is nil where the request has none.
func (s *stub) settleChat(a *ask, limit *int) error {
	if limit != nil {
		a.maxTokens = *limit
	}
	err := s.settle(a)
	switch {
	case err != nil:
		return err
	case a.messages == 0:
		return badRequest("messages must not be empty")
	case limit != nil && (*limit < 1 || *limit > maxTokens):
		return badRequest("max_tokens is out of range")
	case a.model == stubModel && s.config.Images > 0 && len(a.images) != s.config.Images:
		return badRequest("the request has %d image(s), this backend was told to expect %d", len(a.images), s.config.Images)
	}
	switch {
	case a.play.tokens > 0: // the scenario's
	case limit != nil:
		a.play.tokens = *limit
	default:
		a.play.tokens = defaultTokens
	}
	a.paced = s.config.paced() || a.play.endless
	return nil
}

// words counts blank-separated words: the stub's tokens.
func words(text string) int { return len(strings.Fields(text)) }

// content is a message's content as OpenAI and Anthropic have it: a string, or a list of parts.
type content []part

// part is a piece of text, or an image as OpenAI (image_url) or Anthropic (source) gives it.
type part struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	ImageURL *struct {
		URL string `json:"url"`
	} `json:"image_url"`
	Source *struct {
		Type string `json:"type"`
		Data []byte `json:"data"`
	} `json:"source"`
}

func (c *content) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*c = content{{Type: "text"}}
		return json.Unmarshal(data, &(*c)[0].Text)
	}
	return json.Unmarshal(data, (*[]part)(c))
}

// take adds a message's texts and images.
func (a *ask) take(c content) error {
	for _, piece := range c {
		switch {
		case piece.ImageURL != nil:
			image, err := fromDataURI(piece.ImageURL.URL)
			if err != nil {
				return err
			}
			a.images = append(a.images, image)
		case piece.Source != nil:
			if piece.Source.Type != "base64" {
				return badRequest("an image's source must be base64: this backend fetches nothing")
			}
			a.images = append(a.images, picture{data: piece.Source.Data})
		case piece.Type == "text":
			a.texts = append(a.texts, piece.Text)
		}
	}
	return nil
}

// oneOrMany is a string, or a list of strings: the input of an embedding.
type oneOrMany []string

var errInput = errors.New("input must be a string or a non-empty array of strings")

func (o *oneOrMany) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*o = oneOrMany{""}
		return json.Unmarshal(data, &(*o)[0])
	}
	if json.Unmarshal(data, (*[]string)(o)) != nil || len(*o) == 0 {
		return errInput
	}
	return nil
}
