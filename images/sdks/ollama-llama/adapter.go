// Package adapter drives github.com/ollama/ollama/llama: llama.cpp in this process, compiled in by cgo.
package adapter

import (
	"context"
	"fmt"
	"sync"

	"github.com/ollama/ollama/llama"
	"sealbench.org/harness"
)

const (
	kindImage = "chat-image"
	// batchTokens is what one llama_decode takes; n_ubatch, which the package does not show, is 512 as well.
	batchTokens  = 512
	leastContext = 512
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe: the package has no defaults of its own but the zero values of its structs (so it does not map the model file),
// and its constructors ask for the rest. What is moved is how it is compiled.
func (adapter) Describe() harness.Description {
	return harness.Description{Moved: map[string]string{"CGO_CFLAGS, CGO_CXXFLAGS": "-O3 -march=x86-64-v3"}}
}

var backend sync.Once

// Open loads the model and, for images, the projector.
func (adapter) Open(s harness.Settings) (harness.Client, error) {
	backend.Do(llama.BackendInit)
	model, err := llama.LoadModelFromFile(s.ModelPath, llama.ModelParams{})
	if err != nil {
		return nil, err
	}
	c := &client{turn: make(chan struct{}, 1), model: model}
	if err := c.open(s); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// client is one model with one context: llama.cpp serves one request of a context at a time, so requests take turns.
type client struct {
	turn    chan struct{}
	model   *llama.Model
	ctx     *llama.Context
	batch   *llama.Batch
	picture *llama.Batch
	sampler *llama.SamplingContext
	clip    *llama.ClipContext
}

func (c *client) open(s harness.Settings) (err error) {
	const sequences, flashAttention, cacheType = 1, false, ""
	room := max(s.ContextTokens, leastContext)
	params := llama.NewContextParams(room, batchTokens, sequences, s.Threads, flashAttention, cacheType)
	if c.ctx, err = llama.NewContextWithModel(c.model, params); err != nil {
		return err
	}
	if c.batch, err = llama.NewBatch(batchTokens, sequences, 0); err != nil {
		return err
	}
	greedy := llama.SamplingParams{TopK: 1, TopP: 1, TypicalP: 1, PenaltyRepeat: 1}
	if c.sampler, err = llama.NewSamplingContext(c.model, greedy); err != nil {
		return err
	}
	if s.Kind != kindImage {
		return nil
	}
	if c.clip, err = llama.NewClipContext(c.ctx, s.ProjectorPath); err != nil {
		return fmt.Errorf("projector %s: %w", s.ProjectorPath, err)
	}
	c.picture, err = llama.NewBatch(batchTokens, sequences, c.model.NEmbd())
	return err
}

// acquire waits for this request's turn, and empties the KV cache so that no request profits from the one before.
func (c *client) acquire(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		c.ctx.KvCacheClear()
		c.sampler.Reset()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *client) release() { <-c.turn }

// decode runs tokens through the model, from position past on, and asks for the output of the last one.
func (c *client) decode(ctx context.Context, tokens []int, past int) error {
	for start := 0; start < len(tokens); start += batchTokens {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.batch.Clear()
		for i, token := range tokens[start:min(start+batchTokens, len(tokens))] {
			c.batch.Add(token, nil, past+start+i, start+i == len(tokens)-1, 0)
		}
		if err := c.ctx.Decode(c.batch); err != nil {
			return err
		}
	}
	return nil
}

// Close frees what the package can free: it has nothing that frees a context.
func (c *client) Close() error {
	if c.clip != nil {
		c.clip.Free()
	}
	for _, batch := range []*llama.Batch{c.batch, c.picture} {
		if batch != nil {
			batch.Free()
		}
	}
	llama.FreeModel(c.model)
	return nil
}
