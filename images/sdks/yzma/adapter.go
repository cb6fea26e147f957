// Package adapter drives github.com/hybridgroup/yzma: llama.cpp in this process, loaded by dlopen.
package adapter

import (
	"context"
	"errors"
	"fmt"

	"github.com/hybridgroup/yzma/pkg/llama"
	"github.com/hybridgroup/yzma/pkg/mtmd"
	"sealbench.org/harness"
)

const (
	kindEmbed = "embed"
	kindImage = "chat-image"
	// leastContext is libllama's own default of n_ctx, n_ubatch and of the longest input that this catalogue sends.
	leastContext = 512
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names what differs from ContextDefaultParams and DefaultSamplerParams; sdk.yaml gives the reasons.
func (adapter) Describe() harness.Description {
	return harness.Description{Moved: map[string]string{
		"n_threads, n_threads_batch": "measured CPUs",
		"n_ctx, n_batch, n_ubatch":   "what one request needs",
		"log":                        "silent",
		"sampler":                    "greedy, end-of-generation tokens excluded",
	}}
}

// Open loads the library, the model and, for images, the projector, and proves that they belong together.
func (adapter) Open(s harness.Settings) (harness.Client, error) {
	if err := load(s); err != nil {
		return nil, err
	}
	c := &client{turn: make(chan struct{}, 1), piece: make([]byte, 64)}
	if err := c.open(s); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// client is one model with one context: libllama serves one request of a context at a time, so requests take turns.
type client struct {
	turn      chan struct{}
	model     llama.Model
	vocab     llama.Vocab
	ctx       llama.Context
	memory    llama.Memory
	batch     int
	sampler   llama.Sampler
	projector mtmd.Context
	template  string
	piece     []byte
}

func (c *client) open(s harness.Settings) (err error) {
	if c.model, err = llama.ModelLoadFromFile(s.ModelPath, llama.ModelDefaultParams()); err != nil {
		return fmt.Errorf("model %s: %w", s.ModelPath, err)
	}
	c.vocab = llama.ModelGetVocab(c.model)
	c.template = llama.ModelChatTemplate(c.model, "")
	params := contextParams(s)
	if c.ctx, err = llama.InitFromModel(c.model, params); err != nil {
		return err
	}
	if c.memory, err = llama.GetMemory(c.ctx); err != nil {
		return err
	}
	c.batch = int(llama.NBatch(c.ctx))
	c.sampler = newSampler(c.model, c.vocab, s.Defaults)
	if s.Kind == kindImage {
		if err = c.openProjector(s); err != nil {
			return err
		}
	}
	return c.selfTest(s)
}

func contextParams(s harness.Settings) llama.ContextParams {
	params := llama.ContextDefaultParams()
	if s.Kind == kindEmbed {
		params.Embeddings = 1
	}
	if s.Defaults {
		return params
	}
	params.NCtx = uint32(max(s.ContextTokens, leastContext))
	params.NBatch = params.NCtx
	params.NThreads, params.NThreadsBatch = int32(s.Threads), int32(s.Threads)
	if s.Kind == kindEmbed {
		params.NUbatch = params.NBatch // mean pooling needs the whole text in one physical batch
	}
	return params
}

// acquire waits for this request's turn.
func (c *client) acquire(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *client) release() { <-c.turn }

// prefill starts a new request: it empties the KV cache, so that no request profits from the one before, and runs the
// whole prompt through the model.
func (c *client) prefill(ctx context.Context, tokens []llama.Token) error {
	if len(tokens) == 0 {
		return errors.New("the text has no tokens")
	}
	if err := llama.MemoryClear(c.memory, false); err != nil {
		return err
	}
	for start := 0; start < len(tokens); start += c.batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := decode(c.ctx, tokens[start:min(start+c.batch, len(tokens))]); err != nil {
			return err
		}
	}
	return nil
}

func decode(ctx llama.Context, tokens []llama.Token) error {
	status, err := llama.Decode(ctx, llama.BatchGetOne(tokens))
	if err == nil && status != 0 {
		err = fmt.Errorf("llama_decode of %d tokens returned %d", len(tokens), status)
	}
	return err
}

// Close frees what Open made. The library stays loaded: other clients of this process may use it.
func (c *client) Close() error {
	if c.projector != 0 {
		_ = mtmd.Free(c.projector)
	}
	llama.SamplerFree(c.sampler) // ignores 0
	if c.ctx != 0 {
		_ = llama.Free(c.ctx)
	}
	if c.model != 0 {
		_ = llama.ModelFree(c.model)
	}
	*c = client{turn: c.turn}
	return nil
}
