// Package adapter drives github.com/knights-analytics/hugot: an ONNX sentence encoder in this process, in pure Go.
package adapter

import (
	"context"
	"errors"
	"fmt"

	"github.com/knights-analytics/hugot"
	"github.com/knights-analytics/hugot/backends"
	"github.com/knights-analytics/hugot/pipelines"
	"sealbench.org/harness"
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names no moved setting: session and pipeline are what their constructors give. Its backend computes on as many
// goroutines as GOMAXPROCS allows, which a launch sets to the number of measured CPUs.
func (adapter) Describe() harness.Description { return harness.Description{} }

func (adapter) Open(s harness.Settings) (harness.Client, error) {
	session, err := hugot.NewGoSession(context.Background())
	if err != nil {
		return nil, err
	}
	pipeline, err := hugot.NewPipeline(session, hugot.FeatureExtractionConfig{
		ModelPath: s.ModelPath, Name: "embed", OnnxFilename: "model.onnx",
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("model %s: %w", s.ModelPath, err), session.Destroy())
	}
	return &client{session: session, pipeline: pipeline}, nil
}

type client struct {
	session  *hugot.Session
	pipeline *pipelines.FeatureExtractionPipeline
}

func (c *client) Close() error { return c.session.Destroy() }

// Embed implements harness.Embedder: the mean over all tokens. Texts of more tokens than the model has positions are an
// error of hugot's, which does not cut them.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	output, err := c.pipeline.RunPipeline(ctx, []string{text})
	if err != nil {
		return err
	}
	if len(output.Embeddings) > 0 {
		answer.Vector32(output.Embeddings[0])
	}
	return nil
}

// CountTokens implements harness.TokenCounter, by the pipeline's own tokenizer: special tokens included.
func (c *client) CountTokens(_ context.Context, text string) (int, error) {
	batch := backends.NewBatch(1)
	backends.TokenizeInputs(batch, c.pipeline.Model.Tokenizer, []string{text})
	if len(batch.Input) == 0 {
		return 0, errors.New("the tokenizer gave nothing")
	}
	return len(batch.Input[0].TokenIDs), nil
}
