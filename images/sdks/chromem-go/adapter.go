// Package adapter drives github.com/philippgille/chromem-go, a vector store inside this process.
package adapter

import (
	"context"
	"runtime"
	"strconv"

	"github.com/philippgille/chromem-go"
	"sealbench.org/harness"
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names no moved setting: a store in memory, as NewDB gives it.
func (adapter) Describe() harness.Description { return harness.Description{} }

// Open leaves the embedding function at the SDK's own: it would call a remote service, but every vector is given.
func (adapter) Open(harness.Settings) (harness.Client, error) {
	vectors, err := chromem.NewDB().CreateCollection("vectors", nil, nil)
	if err != nil {
		return nil, err
	}
	return &client{vectors: vectors}, nil
}

type client struct {
	vectors *chromem.Collection
}

func (c *client) Close() error { return nil }

// Load implements harness.Searcher.
func (c *client) Load(ctx context.Context, vectors [][]float32) error {
	documents := make([]chromem.Document, len(vectors))
	for id, vector := range vectors {
		documents[id] = chromem.Document{ID: strconv.Itoa(id), Embedding: vector}
	}
	return c.vectors.AddDocuments(ctx, documents, runtime.NumCPU())
}

// Search implements harness.Searcher. A top above the number of vectors is an error of the SDK.
func (c *client) Search(ctx context.Context, query []float32, top int, answer *harness.Answer) error {
	hits, err := c.vectors.QueryEmbedding(ctx, query, top, nil, nil)
	if err != nil {
		return err
	}
	for i := range hits {
		id, err := strconv.Atoi(hits[i].ID)
		if err != nil {
			return err
		}
		answer.Hit(id, hits[i].Similarity)
	}
	return nil
}
