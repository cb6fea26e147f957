// Package adapter embeds by a C and a C++ function, for the tests of the sealed build; it is no SDK.
package adapter

// #cgo LDFLAGS: -lm
// #include "parts.h"
import "C"

import (
	"context"
	"fmt"

	"github.com/sashabaranov/go-openai"

	"sealbench.org/harness"
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

func (adapter) Describe() harness.Description { return harness.Description{} }

func (adapter) Open(s harness.Settings) (harness.Client, error) {
	where := C.GoString(C.compiled_from())
	if where == "" || C.smallest(3, 2) != 2 {
		return nil, fmt.Errorf("the C parts answer wrongly (%s)", where)
	}
	return client{dimensions: s.Dimensions}, nil
}

type client struct{ dimensions int }

func (client) Close() error { return nil }

// Embed answers without a backend; the name of the model keeps the module in the binary.
func (c client) Embed(_ context.Context, text string, answer *harness.Answer) error {
	vector := make([]float32, c.dimensions)
	for i := range vector {
		vector[i] = float32(C.wave(C.double(len(text)+len(openai.SmallEmbedding3)), C.int(i)))
	}
	answer.Vector32(vector)
	return nil
}
