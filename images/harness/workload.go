package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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

	unitWords      = "words"
	unitCharacters = "characters"

	kindEmbed      = "embed"
	kindChat       = "chat-stream"
	kindSimilarity = "similarity"
	kindImage      = "chat-image"
	kindProbe      = "probe" // of drive probe, which asks for one thing after the other

	driveOpen   = "open"
	driveClosed = "closed"
	driveBench  = "bench"
	driveProbe  = "probe"

	maxConcurrency = 4096
)

var (
	kinds  = []string{kindEmbed, kindChat, kindSimilarity, kindImage, kindProbe}
	drives = []string{driveOpen, driveClosed, driveBench, driveProbe}
)

// Workload is REPRO_WORKLOAD: what this launch is asked to do.
type Workload struct {
	Schema                string  `json:"schema"`
	Name                  string  `json:"workload"`
	Kind                  string  `json:"kind"` // empty: the start of the workload's name
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

	Concurrency   int    `json:"concurrency"` // drive closed
	Vectors       int    `json:"vectors"`     // kind similarity: how many are searched
	Top           int    `json:"top"`         // and how many are asked for
	SDKDefaults   bool   `json:"sdk_defaults"`
	TextUnit      string `json:"text_unit"`      // what the model's tokeniser makes one token of
	SpecialTokens int    `json:"special_tokens"` // how many it adds itself
	OwnModel      bool   `json:"own_model"`      // the user's, of which nothing is known
	ModelPath     string `json:"model_path"`
	ProjectorPath string `json:"projector_path"`

	// Models is for drive probe: per kind the files of model and projector, as model_path and projector_path are for
	// the other drives.
	Models map[string][]string `json:"models"`

	LibraryPath string `json:"library_path"`
	Threads     int    `json:"threads"`
	ControlURL  string `json:"control_url"` // the stub's plain-HTTP root; drive probe asks it what it saw
	TLS         bool   `json:"tls"`         // base_url is https, the authority's certificate comes from control_url
}

// parseWorkload reads REPRO_WORKLOAD strictly: a misspelt key would otherwise measure something else.
func parseWorkload(text string) (*Workload, error) {
	if text == "" {
		return nil, fmt.Errorf("%s is not set; it says what to measure (docs/harness.md)", EnvWorkload)
	}
	w := &Workload{MaxInFlight: 512, RequestTimeoutSeconds: 30, Concurrency: 1, TextUnit: unitWords}
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

type rule struct {
	broken bool
	text   string
}

func (w *Workload) check() error {
	for _, r := range slices.Concat(w.driveRules(), w.kindRules()) {
		if r.broken {
			return errors.New(r.text)
		}
	}
	return nil
}

func (w *Workload) driveRules() []rule {
	open := w.Drive == driveOpen
	timed := open || w.Drive == driveClosed
	return []rule{
		{w.Schema != schemaWorkload, fmt.Sprintf("schema is %q, this program reads %q", w.Schema, schemaWorkload)},
		{w.Name == "", "workload is empty"},
		{!slices.Contains(drives, w.Drive), fmt.Sprintf("drive %q is none of %s", w.Drive, strings.Join(drives, ", "))},
		{open && w.Arrival != arrivalPoisson && w.Arrival != arrivalConstant, fmt.Sprintf("arrival %q is neither %q nor %q", w.Arrival, arrivalPoisson, arrivalConstant)},
		{open && !(w.RateHz > 0 && w.RateHz <= maxRateHz), fmt.Sprintf("rate_hz is %g, allowed: above 0, at most %g", w.RateHz, float64(maxRateHz))},
		{timed && w.DurationSeconds <= 0, "duration_seconds is not above 0"},
		{w.WarmupSeconds < 0 || w.DrainSeconds < 0, "warmup_seconds or drain_seconds is negative"},
		{w.MaxInFlight < 1 || w.MaxInFlight > 65536, "max_in_flight is not in 1 to 65536"},
		{w.Concurrency < 1 || w.Concurrency > maxConcurrency, fmt.Sprintf("concurrency is not in 1 to %d", maxConcurrency)},
		{w.RequestTimeoutSeconds <= 0, "request_timeout_seconds is not above 0"},
		{w.Threads < 0, "threads is negative"},
		{w.TextUnit != unitWords && w.TextUnit != unitCharacters, fmt.Sprintf("text_unit %q is neither %q nor %q", w.TextUnit, unitWords, unitCharacters)},
		{w.SpecialTokens < 0, "special_tokens is negative"},
		{w.TLS && w.ControlURL == "", "tls without control_url, which has the authority's certificate"},
	}
}

func (w *Workload) kindRules() []rule {
	kind := w.kind()
	search, probe := kind == kindSimilarity, w.Drive == driveProbe
	return []rule{
		{kind == "", fmt.Sprintf("kind %q of workload %q is none of %s", w.Kind, w.Name, strings.Join(kinds, ", "))},
		// Without an address there must be something in this process: a model, or vectors in memory.
		{probe != (kind == kindProbe), "drive probe and kind probe go together"},
		{w.BaseURL == "" && w.ModelPath == "" && !search && !probe, "base_url is empty, and so is model_path"},
		{!search && w.Tokens < 1, "tokens is not above 0"},
		{(search || probe || kind == kindEmbed) && w.Dimensions < 1, "dimensions is not above 0"},
		{search && (w.Top < 1 || w.Top > w.Vectors), "top is not in 1 to vectors"},
		{search && w.Vectors > maxVectors, fmt.Sprintf("vectors is above %d", maxVectors)},
	}
}

func (w *Workload) kind() string {
	if w.Kind != "" {
		if slices.Contains(kinds, w.Kind) {
			return w.Kind
		}
		return ""
	}
	for _, kind := range kinds {
		if strings.HasPrefix(w.Name+"-", kind+"-") {
			return kind
		}
	}
	return ""
}

// chats tells whether an answer is generated text.
func (w *Workload) chats() bool { return w.kind() == kindChat || w.kind() == kindImage }

// stamped tells whether the backend writes its clock into each frame: only ours does, and its model is called "stub",
// or "stub+..." for one of its scenarios.
func (w *Workload) stamped() bool {
	return w.Model == stubModel || strings.HasPrefix(w.Model, stubModel+"+")
}

// ours tells whether the model is one of our synthetic ones, whose tokens can be counted from outside: it was not
// brought by the user, and runs in this process or takes each character for a token, which no other model does.
func (w *Workload) ours() bool {
	return !w.stamped() && !w.OwnModel && (w.ModelPath != "" || w.TextUnit == unitCharacters)
}

// alone tells whether one request runs after the other.
func (w *Workload) alone() bool {
	return w.Drive == driveBench || w.Drive == driveClosed && w.Concurrency == 1
}

// frames is how many overheads one answer can give.
func (w *Workload) frames() int {
	switch {
	case !w.stamped() || w.kind() == kindSimilarity:
		return 0
	case w.kind() == kindEmbed:
		return 1
	}
	return min(w.Tokens, maxOverheads)
}

// measured is how long requests are sent after t0.
func (w *Workload) measured() time.Duration { return nanoseconds(w.DurationSeconds + w.DrainSeconds) }

func (w *Workload) timeout() time.Duration { return nanoseconds(w.RequestTimeoutSeconds) }

func (w *Workload) settings() Settings {
	return Settings{
		BaseURL: w.BaseURL, APIKey: "none", Model: w.Model, Dimensions: w.Dimensions, Timeout: w.timeout(),
		Defaults: w.SDKDefaults, Kind: w.kind(), ModelPath: w.ModelPath, ProjectorPath: w.ProjectorPath,
		LibraryPath: w.LibraryPath, Threads: w.Threads, ContextTokens: w.contextTokens(),
	}
}

func nanoseconds(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
