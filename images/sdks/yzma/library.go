package adapter

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"unsafe"

	"github.com/hybridgroup/yzma/pkg/llama"
	"github.com/hybridgroup/yzma/pkg/loader"
	"github.com/hybridgroup/yzma/pkg/mtmd"
	"github.com/hybridgroup/yzma/pkg/utils"
	"github.com/jupiterrider/ffi"
	"sealbench.org/harness"
)

// pairedGGML is what ggml_version() says in the libllama that this yzma belongs to: llama.cpp changes the layout of its
// structs monthly, and yzma fills them by hand. Another pair aborts later, or gives an empty embedding.
const pairedGGML = "0.25.3"

// vectors is what llama_print_system_info() says of a libllama for x86-64-v3. A build that did not recognise its processor
// gives the same answers, many times slower.
const vectors = "AVX2 = 1"

var library struct {
	sync.Mutex
	path   string
	vision bool
	silent uintptr
}

// load loads the libraries once per process, after a look at their version and before any struct is passed to them.
func load(s harness.Settings) error {
	library.Lock()
	defer library.Unlock()
	path := s.LibraryPath
	if library.path != "" && library.path != path {
		return fmt.Errorf("libllama is loaded from %s already, not from %s", library.path, path)
	}
	if library.path == "" {
		if err := checkVersion(path); err != nil {
			return err
		}
		if err := llama.Load(path); err != nil {
			return fmt.Errorf("libllama in %s does not match yzma: %w", path, err)
		}
		if !s.Defaults {
			library.silent = llama.LogSilent()
			llama.LogSet(library.silent)
		}
		llama.Init()
		if info := llama.PrintSystemInfo(); !strings.Contains(info, vectors) {
			return fmt.Errorf("libllama in %s computes without AVX2, some 20 times slower: %s", path, info)
		}
		library.path = path
	}
	if s.Kind != kindImage || library.vision {
		return nil
	}
	if err := mtmd.Load(path); err != nil {
		return fmt.Errorf("libmtmd in %s does not match yzma: %w", path, err)
	}
	if !s.Defaults {
		mtmd.LogSet(library.silent)
	}
	library.vision = true
	return nil
}

func checkVersion(path string) error {
	base, err := loader.LoadLibrary(path, "ggml-base")
	if err != nil {
		return fmt.Errorf("no libllama in %s: %w", path, err)
	}
	version, err := base.Prep("ggml_version", &ffi.TypePointer)
	if err != nil {
		return fmt.Errorf("libggml-base in %s does not match yzma: %w", path, err)
	}
	var text *byte
	version.Call(unsafe.Pointer(&text))
	if found := utils.BytePtrToString(text); found != pairedGGML {
		return fmt.Errorf("libllama in %s is built on ggml %s; this yzma and its adapter belong to ggml %s", path, found, pairedGGML)
	}
	return nil
}

// selfTest makes four tokens and one embedding before anything is measured: what a wrong pair gets wrong first. A model
// loaded for embeddings need not be able to generate.
func (c *client) selfTest(s harness.Settings) error {
	const text, tokens, room = "self-test", 4, 64
	if s.Kind == kindEmbed {
		return c.testEmbedding(c.ctx, text)
	}
	var answer harness.Answer
	if err := c.complete(context.Background(), text, tokens, &answer); err != nil {
		return fmt.Errorf("self-test of %d tokens: %w", tokens, err)
	}
	params := llama.ContextDefaultParams()
	params.Embeddings, params.PoolingType = 1, llama.PoolingTypeMean
	params.NCtx, params.NThreads, params.NThreadsBatch = room, 1, 1
	embedder, err := llama.InitFromModel(c.model, params)
	if err != nil {
		return fmt.Errorf("self-test of one embedding: %w", err)
	}
	defer func() { _ = llama.Free(embedder) }()
	return c.testEmbedding(embedder, text)
}

func (c *client) testEmbedding(in llama.Context, text string) error {
	if err := decode(in, llama.Tokenize(c.vocab, text, true, true)); err != nil {
		return fmt.Errorf("self-test of one embedding: %w", err)
	}
	vector, err := llama.GetEmbeddingsSeq(in, 0, llama.ModelNEmbd(c.model))
	if err != nil {
		return fmt.Errorf("self-test of one embedding: %w", err)
	}
	var sum float64
	for _, x := range vector {
		sum += float64(x) * float64(x)
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return fmt.Errorf("self-test of one embedding: %d components of length %g; libllama does not match yzma",
			len(vector), math.Sqrt(sum))
	}
	return nil
}
