// Package adapter drives github.com/qdrant/go-client.
package adapter

import (
	"context"
	"net/url"
	"strconv"

	"github.com/qdrant/go-client/qdrant"
	"sealbench.org/harness"
)

const (
	collection = "vectors"
	// batch keeps a request far below gRPC's default limit of 4 MiB: 100 vectors of 768 floats are 0.3 MiB.
	batch = 100
)

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

// Describe names no moved setting: three connections, keep-alive pings after 10 s and the version check at the start
// are what its users get.
func (adapter) Describe() harness.Description { return harness.Description{} }

// Open gives no key: without TLS the SDK would only warn that it travels in the clear.
func (adapter) Open(s harness.Settings) (harness.Client, error) {
	base, err := url.Parse(s.BaseURL)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(base.Port())
	if err != nil {
		return nil, err
	}
	api, err := qdrant.NewClient(&qdrant.Config{Host: base.Hostname(), Port: port})
	if err != nil {
		return nil, err
	}
	return &client{api: api}, nil
}

type client struct {
	api *qdrant.Client
}

func (c *client) Close() error { return c.api.Close() }

// Load implements harness.Searcher.
func (c *client) Load(ctx context.Context, vectors [][]float32) error {
	if len(vectors) == 0 {
		return nil
	}
	err := c.api.CreateCollection(ctx, &qdrant.CreateCollection{
		CollectionName: collection,
		VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{
			Size: uint64(len(vectors[0])), Distance: qdrant.Distance_Cosine,
		}),
	})
	for start := 0; start < len(vectors) && err == nil; start += batch {
		err = c.upsert(ctx, start, vectors[start:min(start+batch, len(vectors))])
	}
	return err
}

func (c *client) upsert(ctx context.Context, start int, vectors [][]float32) error {
	points := make([]*qdrant.PointStruct, len(vectors))
	for i, vector := range vectors {
		points[i] = &qdrant.PointStruct{Id: qdrant.NewIDNum(uint64(start + i)), Vectors: qdrant.NewVectorsDense(vector)}
	}
	_, err := c.api.Upsert(ctx, &qdrant.UpsertPoints{
		CollectionName: collection, Points: points, Wait: qdrant.PtrOf(true),
	})
	return err
}

// Search implements harness.Searcher. The workload is an exact search, so it is asked for.
func (c *client) Search(ctx context.Context, query []float32, top int, answer *harness.Answer) error {
	hits, err := c.api.Query(ctx, &qdrant.QueryPoints{
		CollectionName: collection,
		Query:          qdrant.NewQueryDense(query),
		Limit:          qdrant.PtrOf(uint64(top)),
		Params:         &qdrant.SearchParams{Exact: qdrant.PtrOf(true)},
	})
	if err != nil {
		return err
	}
	for _, hit := range hits {
		answer.Hit(int(hit.GetId().GetNum()), hit.GetScore())
	}
	return nil
}
