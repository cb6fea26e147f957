package harness

import (
	"context"
	"fmt"
	"math"
	"slices"
)

const (
	maxVectors = 1_000_000
	// Queries repeat after so many; their exact answers are computed before warm-up, so that a check costs little.
	queries = 64
	// Two similarities this close may stand in either order: float32 sums differ by the order of adding.
	tieWidth = 1e-5
	// How far a score may be from ours; an SDK that gives a distance, or searches approximately, is further off.
	scoreWidth = 1e-3
	// Sets the queries apart from the vectors, which come from the same seed.
	querySalt = 0x71756572 // "quer"
)

// searchSet is the ring of queries with their exact answers.
type searchSet struct {
	top   int
	query [queries][]float32
	exact [queries][]neighbour
}

// neighbour is a vector that may stand in an answer.
type neighbour struct {
	id       int
	score    float64
	required bool // beyond the ties at the end of the answer, so that no right answer is without it
}

// unitVectors is n vectors of unit length, a pure function of the seed. Each has memory of its own, as a user's have.
func unitVectors(seed uint64, n, dimensions int) [][]float32 {
	state := splitmix(seed)
	all := make([][]float32, n)
	for i := range all {
		all[i] = unitVector(&state, dimensions)
	}
	return all
}

func unitVector(state *splitmix, dimensions int) []float32 {
	wide := make([]float64, dimensions)
	var squares float64
	for i := range wide {
		wide[i] = 2*state.unit() - 1
		squares += wide[i] * wide[i]
	}
	vector := make([]float32, dimensions)
	for i := range wide {
		vector[i] = float32(wide[i] / math.Sqrt(squares))
	}
	return vector
}

// prepareSearch loads the vectors into the SDK and keeps the queries and what is right. The vectors themselves are the
// SDK's from then on: ours would be live heap that its users do not have.
func prepareSearch(ctx context.Context, w *Workload, searcher Searcher) (*searchSet, error) {
	set := &searchSet{top: w.Top}
	vectors := unitVectors(w.Seed, w.Vectors, w.Dimensions)
	for i, query := range unitVectors(w.Seed^querySalt, queries, w.Dimensions) {
		set.query[i] = query
		set.exact[i] = nearest(vectors, query, w.Top)
	}
	if err := searcher.Load(ctx, vectors); err != nil {
		return nil, fmt.Errorf("loading %d vectors: %w", w.Vectors, err)
	}
	return set, nil
}

// nearest is the exact answer: the top vectors and those that tie with the last of them, best first.
func nearest(vectors [][]float32, query []float32, top int) []neighbour {
	all := make([]neighbour, len(vectors))
	for id, vector := range vectors {
		all[id] = neighbour{id: id, score: dot(vector, query)}
	}
	slices.SortFunc(all, func(a, b neighbour) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return a.id - b.id
	})
	last := all[top-1].score
	end := top
	for end < len(all) && all[end].score >= last-tieWidth {
		end++
	}
	kept := slices.Clone(all[:end])
	for i := range kept {
		kept[i].required = kept[i].score > last+tieWidth || end == top
	}
	return kept
}

// dot of unit vectors is their cosine similarity.
func dot(a, b []float32) float64 {
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// of is the query of request seq.
func (s *searchSet) of(seq int64) []float32 { return s.query[seq%queries] }

// fault compares hits with the exact answer of request seq.
func (s *searchSet) fault(seq int64, hits []hit) (Outcome, string) {
	if len(hits) != s.top {
		return WrongAnswer, "the answer has another number of hits"
	}
	exact := s.exact[seq%queries]
	required := 0
	for _, one := range exact {
		if one.required {
			required++
		}
	}
	before := math.Inf(1)
	for i, got := range hits {
		known := slices.IndexFunc(exact, func(one neighbour) bool { return one.id == got.id })
		switch {
		case known < 0:
			return WrongAnswer, "a hit is not among the nearest vectors"
		case slices.ContainsFunc(hits[:i], func(one hit) bool { return one.id == got.id }):
			return WrongAnswer, "a vector was found twice"
		case !(math.Abs(float64(got.score)-exact[known].score) <= scoreWidth):
			return WrongAnswer, "a hit's score is not its cosine similarity"
		case exact[known].score > before+tieWidth:
			return WrongAnswer, "the hits are not in order, best first"
		}
		before = exact[known].score
		if exact[known].required {
			required--
		}
	}
	if required > 0 {
		return WrongAnswer, "one of the nearest vectors was not found"
	}
	return OK, ""
}
