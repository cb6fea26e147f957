package main

import (
	"net/http"
	"strconv"

	"sealbench.org/stub/internal/mono"
)

// embedding is how an endpoint writes the vectors of a request.
type embedding func(to []byte, a *ask, v *vectors) []byte

// embed answers at once, paced or not: pacing is a matter of generated tokens. dimensions is 0 where the request has none.
func (s *stub) embed(w http.ResponseWriter, r *http.Request, a *ask, f format, dimensions int, write embedding) {
	err := s.settle(a)
	vector := s.vectors
	switch {
	case err != nil:
	case dimensions != 0 && (dimensions < stampPieces || dimensions > maxDimensions):
		err = badRequest("dimensions is out of range")
	case dimensions != 0 && dimensions != s.config.Dimensions:
		vector = newVectors(s.config.Seed, dimensions)
	}
	if err != nil {
		refuse(w, f, err)
		return
	}
	s.control.note(a)
	if s.unlucky(a) {
		refuse(w, f, &refusal{http.StatusServiceUnavailable, "overloaded, as asked for"})
		return
	}
	s.report.add(nil)
	if a.play.endless || a.play.stall != never {
		<-r.Context().Done()
		return
	}
	own := borrow()
	defer own.giveBack()
	own.buf = write(own.buf[:0], a, vector)
	body(w, own.buf, &a.play)
}

// appendEach appends one item per text, each with a write time of its own.
func (a *ask) appendEach(to []byte, item func(to []byte, i int, ns int64) []byte) []byte {
	for i := range a.texts {
		if i > 0 {
			to = append(to, ',')
		}
		to = item(to, i, mono.Now())
	}
	return to
}

func appendInt(to []byte, before string, n int) []byte {
	return strconv.AppendInt(append(to, before...), int64(n), 10)
}
