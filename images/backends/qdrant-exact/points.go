package main

import (
	"context"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// points is Qdrant's service of that name: what stores and what searches.
type points struct {
	qdrant.UnimplementedPointsServer
	store *store
}

// Upsert stores all points of a call, or none.
func (p *points) Upsert(_ context.Context, sent *qdrant.UpsertPoints) (*qdrant.PointsOperationResponse, error) {
	begun := time.Now()
	if sent.GetUpdateFilter() != nil || sent.GetUpdateMode() != qdrant.UpdateMode_Upsert {
		return nil, status.Error(codes.Unimplemented, "this stand-in inserts or replaces, without conditions")
	}
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	into, err := p.store.named(sent.GetCollectionName())
	if err != nil {
		return nil, err
	}
	keys, vectors := make([]key, len(sent.GetPoints())), make([][]float32, len(sent.GetPoints()))
	for i, each := range sent.GetPoints() {
		if keys[i], err = keyOf(each.GetId()); err != nil {
			return nil, err
		}
		dense, err := denseOf(each.GetVectors())
		if err != nil {
			return nil, err
		}
		if vectors[i], err = into.unit(dense); err != nil {
			return nil, err
		}
	}
	into.version++
	for i, each := range sent.GetPoints() {
		into.put(keys[i], vectors[i], each.GetPayload())
	}
	return &qdrant.PointsOperationResponse{
		Result: &qdrant.UpdateResult{OperationId: qdrant.PtrOf(into.version), Status: qdrant.UpdateStatus_Completed},
		Time:   time.Since(begun).Seconds(),
	}, nil
}

// denseOf is a point's only vector. Older clients put it into the deprecated field.
func denseOf(vectors *qdrant.Vectors) ([]float32, error) {
	vector := vectors.GetVector()
	switch {
	case vector == nil:
		return nil, status.Error(codes.Unimplemented, "this stand-in has one dense vector per point, without a name")
	case vector.GetDense() != nil:
		return vector.GetDense().GetData(), nil
	case vector.GetVector() == nil && vector.GetIndices() == nil && vector.GetVectorsCount() == 0:
		return vector.GetData(), nil
	}
	return nil, status.Error(codes.Unimplemented, "this stand-in has dense vectors only")
}

func (p *points) Query(_ context.Context, sent *qdrant.QueryPoints) (*qdrant.QueryResponse, error) {
	begun := time.Now()
	p.store.mu.RLock()
	defer p.store.mu.RUnlock()
	found, err := p.query(sent)
	if err != nil {
		return nil, err
	}
	return &qdrant.QueryResponse{Result: found, Time: time.Since(begun).Seconds()}, nil
}

func (p *points) QueryBatch(_ context.Context, sent *qdrant.QueryBatchPoints) (*qdrant.QueryBatchResponse, error) {
	begun := time.Now()
	p.store.mu.RLock()
	defer p.store.mu.RUnlock()
	answer := &qdrant.QueryBatchResponse{}
	for _, each := range sent.GetQueryPoints() {
		if each.GetCollectionName() == "" {
			each.CollectionName = sent.GetCollectionName()
		}
		found, err := p.query(each)
		if err != nil {
			return nil, err
		}
		answer.Result = append(answer.Result, &qdrant.BatchResult{Result: found})
	}
	answer.Time = time.Since(begun).Seconds()
	return answer, nil
}

func (p *points) Search(_ context.Context, sent *qdrant.SearchPoints) (*qdrant.SearchResponse, error) {
	begun := time.Now()
	p.store.mu.RLock()
	defer p.store.mu.RUnlock()
	if sent.GetFilter() != nil || sent.GetVectorName() != "" || sent.GetSparseIndices() != nil {
		return nil, errQuery
	}
	in, err := p.store.named(sent.GetCollectionName())
	if err != nil {
		return nil, err
	}
	vector, err := in.unit(sent.GetVector())
	if err != nil {
		return nil, err
	}
	want := selection{sent.GetLimit(), sent.GetOffset(), sent.ScoreThreshold, sent.GetWithPayload(), sent.GetWithVectors()}
	return &qdrant.SearchResponse{Result: in.search(vector, noPlace, want), Time: time.Since(begun).Seconds()}, nil
}

const (
	noPlace      = -1
	defaultLimit = 10
)

var errQuery = status.Error(codes.Unimplemented, "this stand-in finds the nearest to a dense vector or to a stored point, without filter, prefetch or names")

// query answers one query of any call; the caller holds the lock.
func (p *points) query(sent *qdrant.QueryPoints) ([]*qdrant.ScoredPoint, error) {
	if sent.GetFilter() != nil || len(sent.GetPrefetch()) > 0 || sent.GetUsing() != "" || sent.GetLookupFrom() != nil {
		return nil, errQuery
	}
	in, err := p.store.named(sent.GetCollectionName())
	if err != nil {
		return nil, err
	}
	want := selection{defaultLimit, sent.GetOffset(), sent.ScoreThreshold, sent.GetWithPayload(), sent.GetWithVectors()}
	if sent.Limit != nil {
		want.limit = sent.GetLimit()
	}
	switch near := sent.GetQuery().GetNearest().GetVariant().(type) {
	case *qdrant.VectorInput_Dense:
		vector, err := in.unit(near.Dense.GetData())
		if err != nil {
			return nil, err
		}
		return in.search(vector, noPlace, want), nil
	case *qdrant.VectorInput_Id:
		place, err := in.place(near.Id)
		if err != nil {
			return nil, err
		}
		// As in Qdrant, a point is not its own neighbour.
		return in.search(in.row(place), place, want), nil
	}
	return nil, errQuery
}

func (c *collection) place(id *qdrant.PointId) (int, error) {
	wanted, err := keyOf(id)
	if err != nil {
		return 0, err
	}
	place, found := c.places[wanted]
	if !found {
		return 0, status.Errorf(codes.NotFound, "Not found: No point with id %v found", id)
	}
	return place, nil
}

// Get returns the points that exist, in the order in which they are asked for.
func (p *points) Get(_ context.Context, sent *qdrant.GetPoints) (*qdrant.GetResponse, error) {
	begun := time.Now()
	p.store.mu.RLock()
	defer p.store.mu.RUnlock()
	in, err := p.store.named(sent.GetCollectionName())
	if err != nil {
		return nil, err
	}
	answer := &qdrant.GetResponse{}
	for _, id := range sent.GetIds() {
		wanted, err := keyOf(id)
		if err != nil {
			return nil, err
		}
		place, found := in.places[wanted]
		if !found {
			continue
		}
		answer.Result = append(answer.Result, &qdrant.RetrievedPoint{
			Id:      wanted.id(),
			Payload: chosen(in.points[place].payload, sent.GetWithPayload()),
			Vectors: in.vectors(place, sent.GetWithVectors()),
		})
	}
	answer.Time = time.Since(begun).Seconds()
	return answer, nil
}

func (p *points) Count(_ context.Context, sent *qdrant.CountPoints) (*qdrant.CountResponse, error) {
	begun := time.Now()
	if sent.GetFilter() != nil {
		return nil, status.Error(codes.Unimplemented, "this stand-in has no filters")
	}
	p.store.mu.RLock()
	defer p.store.mu.RUnlock()
	in, err := p.store.named(sent.GetCollectionName())
	if err != nil {
		return nil, err
	}
	return &qdrant.CountResponse{
		Result: &qdrant.CountResult{Count: uint64(len(in.points))}, Time: time.Since(begun).Seconds(),
	}, nil
}
