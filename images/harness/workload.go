package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// The environment variables that this program reads.
const (
	EnvWorkload = "REPRO_WORKLOAD"
	EnvFD       = "REPRO_FD"
)

const (
	schemaWorkload = "repro.workload/1"
	stubModel      = "stub"

	kindEmbed = "embed"
	kindChat  = "chat-stream"

	driveOpen  = "open"
	driveBench = "bench"
)

// Workload is REPRO_WORKLOAD: what this launch is asked to do.
type Workload struct {
	Schema                string  `json:"schema"`
	Name                  string  `json:"workload"`
	Kind                  string  `json:"kind"` // "embed" or "chat-stream"; empty: the start of the workload's name
	Drive                 string  `json:"drive"`
	Arrival               string  `json:"arrival"`
	RateHz                float64 `json:"rate_hz"`
	Seed                  uint64  `json:"seed"`
	WarmupSeconds         float64 `json:"warmup_seconds"`
	DurationSeconds       float64 `json:"duration_seconds"`
	DrainSeconds          float64 `json:"drain_seconds"`
	MaxInFlight           int     `json:"max_in_flight"`
	RequestTimeoutSeconds float64 `json:"request_timeout_seconds"`
	BaseURL               string  `json:"base_url"`
	Model                 string  `json:"model"`
	Tokens                int     `json:"tokens"`
	Dimensions            int     `json:"dimensions"`
}

// parseWorkload reads REPRO_WORKLOAD strictly: a misspelt key would otherwise measure something else.
func parseWorkload(text string) (*Workload, error) {
	if text == "" {
		return nil, fmt.Errorf("%s is not set; it says what to measure (docs/harness.md)", EnvWorkload)
	}
	w := &Workload{MaxInFlight: 512, RequestTimeoutSeconds: 30}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(w); err != nil {
		return nil, fmt.Errorf("%s: %w", EnvWorkload, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: text after the object", EnvWorkload)
	}
	if err := w.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", EnvWorkload, err)
	}
	return w, nil
}

func (w *Workload) check() error {
	open := w.Drive == driveOpen
	for _, rule := range []struct {
		broken bool
		text   string
	}{
		{w.Schema != schemaWorkload, fmt.Sprintf("schema is %q, this program reads %q", w.Schema, schemaWorkload)},
		{w.Name == "", "workload is empty"},
		{w.kind() == "", fmt.Sprintf("kind %q of workload %q is neither %q nor %q", w.Kind, w.Name, kindEmbed, kindChat)},
		{!open && w.Drive != driveBench, fmt.Sprintf("drive %q is neither %q nor %q", w.Drive, driveOpen, driveBench)},
		{open && w.Arrival != arrivalPoisson && w.Arrival != arrivalConstant, fmt.Sprintf("arrival %q is neither %q nor %q", w.Arrival, arrivalPoisson, arrivalConstant)},
		{open && !(w.RateHz > 0 && w.RateHz <= maxRateHz), fmt.Sprintf("rate_hz is %g, allowed: above 0, at most %g", w.RateHz, float64(maxRateHz))},
		{open && w.DurationSeconds <= 0, "duration_seconds is not above 0"},
		{w.WarmupSeconds < 0 || w.DrainSeconds < 0, "warmup_seconds or drain_seconds is negative"},
		{w.MaxInFlight < 1 || w.MaxInFlight > 65536, "max_in_flight is not in 1 to 65536"},
		{w.RequestTimeoutSeconds <= 0, "request_timeout_seconds is not above 0"},
		{w.BaseURL == "", "base_url is empty"},
		{w.Tokens < 1, "tokens is not above 0"},
		{w.kind() == kindEmbed && w.Dimensions < 1, "dimensions is not above 0"},
	} {
		if rule.broken {
			return errors.New(rule.text)
		}
	}
	return nil
}

func (w *Workload) kind() string {
	if w.Kind == kindEmbed || w.Kind == kindChat {
		return w.Kind
	}
	for _, kind := range []string{kindEmbed, kindChat} {
		if w.Kind == "" && strings.HasPrefix(w.Name, kind+"-") {
			return kind
		}
	}
	return ""
}

// stamped tells whether the backend writes its clock into each frame: only ours does, and its model is called stub.
func (w *Workload) stamped() bool { return w.Model == stubModel }

// frames is how many overheads one answer can give.
func (w *Workload) frames() int {
	if w.kind() == kindEmbed {
		return 1
	}
	return min(w.Tokens, maxOverheads)
}

func (w *Workload) timeout() time.Duration { return nanoseconds(w.RequestTimeoutSeconds) }

func (w *Workload) settings() Settings {
	return Settings{BaseURL: w.BaseURL, APIKey: "none", Model: w.Model, Dimensions: w.Dimensions, Timeout: w.timeout()}
}

// input is the text of every request: a pure function of the workload, so all SDKs send the same. For an embedding it
// has exactly Tokens words, and the stub counts each word as one token.
func (w *Workload) input() string {
	const chatWords = 32
	words := w.Tokens
	if w.kind() == kindChat {
		words = chatWords
	}
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	state := splitmix(512)
	var text strings.Builder
	for i := range words {
		if i > 0 {
			text.WriteByte(' ')
		}
		for range 2 {
			n := state.next()
			text.WriteByte(consonants[n%uint64(len(consonants))])
			text.WriteByte(vowels[n>>32%uint64(len(vowels))])
		}
	}
	return text.String()
}

func nanoseconds(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
