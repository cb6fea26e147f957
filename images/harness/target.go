package harness

import (
	"context"
	"errors"
	"fmt"
)

// target sends request seq to the SDK.
type target func(ctx context.Context, seq int64, answer *Answer) error

// bind ties the workload to the client's capability, or says which one is missing.
func (s *session) bind() (target, error) {
	w := s.work
	input, tokens := w.input(), w.Tokens
	switch w.kind() {
	case kindEmbed:
		if client, ok := s.client.(Embedder); ok {
			return func(ctx context.Context, _ int64, a *Answer) error { return client.Embed(ctx, input, a) }, nil
		}
		return nil, fmt.Errorf("no embeddings, which workload %s needs", w.Name)
	case kindChat:
		if client, ok := s.client.(ChatStreamer); ok {
			return func(ctx context.Context, _ int64, a *Answer) error { return client.Stream(ctx, input, tokens, a) }, nil
		}
		return nil, fmt.Errorf("no streamed chat, which workload %s needs", w.Name)
	case kindImage:
		if client, ok := s.client.(ImageChatter); ok {
			image := picture(0)
			return func(ctx context.Context, _ int64, a *Answer) error {
				return client.StreamImage(ctx, input, image, tokens, a)
			}, nil
		}
		return nil, fmt.Errorf("no chat about an image, which workload %s needs", w.Name)
	}
	if client, ok := s.client.(Searcher); ok {
		return func(ctx context.Context, seq int64, a *Answer) error {
			return client.Search(ctx, s.judge.search.of(seq), w.Top, a)
		}, nil
	}
	return nil, fmt.Errorf("no search among vectors, which workload %s needs", w.Name)
}

// prepare does what has to be done before warm-up: it loads vectors, and shows that a real model looks at its input.
func (s *session) prepare() error {
	if s.work.Drive == driveProbe {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.work.timeout())
	defer cancel()
	if s.work.kind() == kindSimilarity {
		set, err := prepareSearch(ctx, s.work, s.client.(Searcher))
		s.judge.search = set
		return err
	}
	if s.work.stamped() {
		return nil // our stub checks each request itself
	}
	switch s.work.kind() {
	case kindImage:
		return proveSight(ctx, s.client.(ImageChatter), s.work, s.judge)
	case kindEmbed:
		return s.proveReading(ctx, s.client.(Embedder))
	}
	return nil
}

// proveSight asks about two images. A model that gets neither, or only the text, says the same about both: decoding is
// greedy.
func proveSight(ctx context.Context, client ImageChatter, w *Workload, judge *judge) error {
	var texts [2]uint64
	for i := range texts {
		a := w.newCall().answer
		if err := client.StreamImage(ctx, w.input(), picture(uint64(i)), w.Tokens, &a); err != nil {
			return fmt.Errorf("image %d of 2: %w", i+1, err)
		}
		if outcome, text := judge.fault(0, &a); outcome != OK {
			return fmt.Errorf("image %d of 2: %s (%d tokens)", i+1, text, a.tokens())
		}
		texts[i] = a.plain.hash
	}
	if texts[0] == texts[1] {
		return errors.New("two different images gave the same text: the image does not reach the model")
	}
	return nil
}

// proveReading embeds another text than the requests will, so that an embedding that never changes is found out.
func (s *session) proveReading(ctx context.Context, client Embedder) error {
	input := []byte(s.work.input())
	other := string(input[:len(input)/2])
	var vectors [2]uint64
	for i, text := range []string{string(input), other} {
		a := s.work.newCall().answer
		if err := client.Embed(ctx, text, &a); err != nil {
			return fmt.Errorf("text %d of 2: %w", i+1, err)
		}
		vectors[i] = a.numbers
	}
	if vectors[0] == vectors[1] {
		return errors.New("two different texts gave the same embedding: the text does not reach the model")
	}
	return nil
}
