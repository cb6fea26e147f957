package main

import (
	"math"
	"slices"

	"github.com/qdrant/go-client/qdrant"
)

// selection is which of the points come back, and with what.
type selection struct {
	limit     uint64
	offset    uint64
	threshold *float32
	payload   *qdrant.WithPayloadSelector
	vectors   *qdrant.WithVectorsSelector
}

// reach is how many of the best have to be known.
func (s selection) reach() int {
	if s.limit > math.MaxInt32 || s.offset > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(s.limit + s.offset)
}

// search answers with the nearest points; skip is left out. The vector is at unit length.
func (c *collection) search(vector []float32, skip int, want selection) []*qdrant.ScoredPoint {
	hits := c.nearest(vector, want.reach(), want.threshold, skip)
	hits = hits[min(int(min(want.offset, math.MaxInt32)), len(hits)):]
	answer := make([]*qdrant.ScoredPoint, len(hits))
	for i, found := range hits {
		stored := &c.points[found.place]
		answer[i] = &qdrant.ScoredPoint{
			Id:      stored.key.id(),
			Score:   found.score,
			Version: stored.version,
			Payload: chosen(stored.payload, want.payload),
			Vectors: c.vectors(found.place, want.vectors),
		}
	}
	return answer
}

// chosen is the part of a payload that was asked for: none if nothing was.
func chosen(payload map[string]*qdrant.Value, want *qdrant.WithPayloadSelector) map[string]*qdrant.Value {
	var keep func(string) bool
	switch kind := want.GetSelectorOptions().(type) {
	case *qdrant.WithPayloadSelector_Enable:
		if kind.Enable {
			return payload
		}
		return nil
	case *qdrant.WithPayloadSelector_Include:
		keep = func(name string) bool { return slices.Contains(kind.Include.GetFields(), name) }
	case *qdrant.WithPayloadSelector_Exclude:
		keep = func(name string) bool { return !slices.Contains(kind.Exclude.GetFields(), name) }
	default:
		return nil
	}
	part := map[string]*qdrant.Value{}
	for name, value := range payload {
		if keep(name) {
			part[name] = value
		}
	}
	return part
}

// vectors is the stored vector, if it was asked for: at unit length, as Qdrant gives it back under cosine.
func (c *collection) vectors(place int, want *qdrant.WithVectorsSelector) *qdrant.VectorsOutput {
	if !want.GetEnable() {
		return nil
	}
	row := slices.Clone(c.row(place))
	return &qdrant.VectorsOutput{VectorsOptions: &qdrant.VectorsOutput_Vector{
		Vector: &qdrant.VectorOutput{Vector: &qdrant.VectorOutput_Dense{Dense: &qdrant.DenseVector{Data: row}}},
	}}
}
