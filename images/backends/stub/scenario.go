package main

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	never = -1

	maxFrameBytes = 64 << 20
	maxComments   = 1 << 20

	// endlessNS is the gap between the tokens of an answer that has no end: its pace is its own.
	endlessNS = 1_000_000
)

// script is what one answer does: as asked for, or as its model's name ("stub+scenario=value") or the setting "fault"
// says. Positions count tokens from 0; never means not at all.
type script struct {
	tokens   int // 0: as many as are asked for
	endless  bool
	chinese  bool
	frame    int     // bytes of the text that takes the place of the 64th token
	comments int     // keep-alives before the first token
	status   float64 // the probability of a 503
	stall    int     // nothing more comes from this token on, until the client goes
	corrupt  int     // this token's frame is not valid JSON
	truncate int     // the answer ends, cleanly, before this token
	reset    int     // the connection is reset before this token
}

// parseScenario reads the model's name. Names that do not begin with "stub+" are no scenarios.
func parseScenario(model string) (script, error) {
	play := script{stall: never, corrupt: never, truncate: never, reset: never}
	scenarios, found := strings.CutPrefix(model, stubModel+"+")
	if !found {
		return play, nil
	}
	for step := range strings.SplitSeq(scenarios, "+") {
		name, value, _ := strings.Cut(step, "=")
		if err := play.set(name, value); err != nil {
			return play, fmt.Errorf("model %q: %w", model, err)
		}
	}
	return play, nil
}

func (p *script) set(name, value string) error {
	switch name {
	case "endless", "chinese":
		if value != "" {
			return fmt.Errorf("scenario %q takes no value", name)
		}
		p.endless = p.endless || name == "endless"
		p.chinese = p.chinese || name == "chinese"
		return nil
	case "status":
		probability, err := strconv.ParseFloat(value, 64)
		if err != nil || !(probability >= 0 && probability <= 1) {
			return fmt.Errorf("%q is not a probability", value)
		}
		p.status = probability
		return nil
	}
	return p.setNumber(name, value)
}

// setNumber takes the scenarios with a whole number. "after token n" and "frame n" count from 1, positions from 0.
func (p *script) setNumber(name, value string) error {
	number := func(into *int, least, most, shift int) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%s is %q, allowed: %d to %d", name, value, least, most)
		}
		*into = n + shift
		return nil
	}
	switch name {
	case "frame":
		return number(&p.frame, 1, maxFrameBytes, 0)
	case "comments":
		return number(&p.comments, 0, maxComments, 0)
	case "tokens":
		return number(&p.tokens, 1, maxTokens, 0)
	case "stall":
		return number(&p.stall, 0, maxTokens, 0)
	case "truncate":
		return number(&p.truncate, 0, maxTokens, 0)
	case "corrupt":
		return number(&p.corrupt, 1, maxTokens, -1)
	}
	return fmt.Errorf("there is no scenario %q", name)
}

// spoil puts a fault of the settings into the middle of the answer.
func (p *script) spoil(kind string) {
	middle := p.tokens / 2
	switch kind {
	case faultTruncate:
		p.truncate = middle
	case faultCorrupt:
		p.corrupt = middle
	case faultReset:
		p.reset = middle
	}
}
