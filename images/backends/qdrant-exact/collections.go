package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const maxSize = 65536

// collections is Qdrant's service of that name, as far as a client needs it that searches.
type collections struct {
	qdrant.UnimplementedCollectionsServer
	store *store
}

// Create takes one unnamed vector under cosine. What tunes Qdrant's index changes nothing in an exact search.
func (c *collections) Create(_ context.Context, sent *qdrant.CreateCollection) (*qdrant.CollectionOperationResponse, error) {
	begun := time.Now()
	params := sent.GetVectorsConfig().GetParams()
	switch {
	case sent.GetCollectionName() == "":
		return nil, status.Error(codes.InvalidArgument, "the collection has no name")
	case params == nil || sent.GetSparseVectorsConfig() != nil || params.GetMultivectorConfig() != nil:
		return nil, status.Error(codes.Unimplemented, "this stand-in has one dense vector per point, without a name")
	case params.GetDistance() != qdrant.Distance_Cosine:
		return nil, status.Errorf(codes.Unimplemented, "this stand-in compares by Cosine, not by %s", params.GetDistance())
	case params.GetSize() < 1 || params.GetSize() > maxSize:
		return nil, status.Errorf(codes.InvalidArgument, "the size of vectors is %d, allowed: 1 to %d", params.GetSize(), maxSize)
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if c.store.collections[sent.GetCollectionName()] != nil {
		return nil, status.Errorf(codes.AlreadyExists, "Wrong input: Collection `%s` already exists!", sent.GetCollectionName())
	}
	c.store.collections[sent.GetCollectionName()] = &collection{asked: sent, size: int(params.GetSize()), places: map[key]int{}}
	return &qdrant.CollectionOperationResponse{Result: true, Time: time.Since(begun).Seconds()}, nil
}

func (c *collections) Delete(_ context.Context, sent *qdrant.DeleteCollection) (*qdrant.CollectionOperationResponse, error) {
	begun := time.Now()
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	_, found := c.store.collections[sent.GetCollectionName()]
	delete(c.store.collections, sent.GetCollectionName())
	return &qdrant.CollectionOperationResponse{Result: found, Time: time.Since(begun).Seconds()}, nil
}

func (c *collections) List(context.Context, *qdrant.ListCollectionsRequest) (*qdrant.ListCollectionsResponse, error) {
	begun := time.Now()
	c.store.mu.RLock()
	defer c.store.mu.RUnlock()
	answer := &qdrant.ListCollectionsResponse{}
	for _, name := range slices.Sorted(maps.Keys(c.store.collections)) {
		answer.Collections = append(answer.Collections, &qdrant.CollectionDescription{Name: name})
	}
	answer.Time = time.Since(begun).Seconds()
	return answer, nil
}

func (c *collections) CollectionExists(_ context.Context, sent *qdrant.CollectionExistsRequest) (*qdrant.CollectionExistsResponse, error) {
	begun := time.Now()
	c.store.mu.RLock()
	defer c.store.mu.RUnlock()
	found := c.store.collections[sent.GetCollectionName()] != nil
	return &qdrant.CollectionExistsResponse{
		Result: &qdrant.CollectionExists{Exists: found}, Time: time.Since(begun).Seconds(),
	}, nil
}

// Get describes a collection. No vector is indexed: each search looks at all.
func (c *collections) Get(_ context.Context, sent *qdrant.GetCollectionInfoRequest) (*qdrant.GetCollectionInfoResponse, error) {
	begun := time.Now()
	c.store.mu.RLock()
	defer c.store.mu.RUnlock()
	found, err := c.store.named(sent.GetCollectionName())
	if err != nil {
		return nil, err
	}
	return &qdrant.GetCollectionInfoResponse{
		Result: &qdrant.CollectionInfo{
			Status:              qdrant.CollectionStatus_Green,
			OptimizerStatus:     &qdrant.OptimizerStatus{Ok: true},
			SegmentsCount:       1,
			PointsCount:         qdrant.PtrOf(uint64(len(found.points))),
			IndexedVectorsCount: qdrant.PtrOf(uint64(0)),
			Config: &qdrant.CollectionConfig{
				Params: &qdrant.CollectionParams{ShardNumber: 1, VectorsConfig: found.asked.GetVectorsConfig()},
			},
		},
		Time: time.Since(begun).Seconds(),
	}, nil
}
