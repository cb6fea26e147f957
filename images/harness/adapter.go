// Package harness measures an SDK: it decides when a request is sent, checks the answer, and records what happened.
//
// An SDK's folder holds one adapter file; the build adds a generated test file that calls Main and Benchmark, and
// `go test -c` turns the two and this package into the one program that serves every drive:
//
//	func New() harness.Adapter { return adapter{} }
//
// Every SDK is driven, timed and judged by the code of this package, so a difference between two SDKs is theirs.
// It imports the standard library only: anything more would enter each SDK's go.sum.
package harness

import (
	"context"
	"time"
)

// Adapter is what an SDK's folder provides.
type Adapter interface {
	// Describe says what the adapter changed. It is called once, before Open.
	Describe() Description
	// Open makes the client that all requests of a launch share.
	Open(Settings) (Client, error)
}

// Description is the adapter's account of itself. Module and version come from sdk.yaml, by way of Identity.
type Description struct {
	// Moved holds each setting that is not at the SDK's own default; sdk.yaml gives the reasons.
	Moved map[string]string
}

// Settings is what an adapter may need to reach a backend.
type Settings struct {
	BaseURL    string // with the path prefix, "http://127.0.0.1:8080/v1"
	APIKey     string // never a secret: stub backends accept any
	Model      string
	Dimensions int // of the embedding the backend gives
	Timeout    time.Duration
}

// Client is an open SDK. It also implements each capability interface that its SDK has.
type Client interface {
	Close() error
}

// Embedder turns a text into a vector.
type Embedder interface {
	Embed(ctx context.Context, text string, answer *Answer) error
}

// ChatStreamer streams a chat answer of at most maxTokens tokens.
type ChatStreamer interface {
	Stream(ctx context.Context, prompt string, maxTokens int, answer *Answer) error
}

// Identity is who the SDK is, from its sdk.yaml; the generated test file passes it.
type Identity struct {
	SDK     string
	Module  string
	Version string
}
