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

// Settings is what an adapter may need to reach a backend or to load an engine.
type Settings struct {
	BaseURL    string // with the path prefix of the SDK's wire format, "http://127.0.0.1:8080/v1"; empty in process
	APIKey     string // never a secret: stub backends accept any
	Model      string
	Dimensions int // of the embedding or of the vectors
	Timeout    time.Duration

	// Defaults asks for the SDK exactly as it is: no setting of Describe().Moved may be applied (arm sdk=defaults).
	Defaults bool

	// For engines that run in this process; empty for clients.
	Kind          string // the workload's kind: an engine loads its model for it
	ModelPath     string // the model file or folder
	ProjectorPath string // the vision projector, for images
	LibraryPath   string // the folder of native libraries
	Threads       int    // as many as measured CPUs
	ContextTokens int    // that input and output of one request need
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

// ImageChatter streams a chat answer about one image.
type ImageChatter interface {
	StreamImage(ctx context.Context, prompt string, image Image, maxTokens int, answer *Answer) error
}

// Image is an encoded picture. The data is shared between requests: an adapter must not change it.
type Image struct {
	MIME string // "image/png"
	Data []byte
}

// Searcher holds vectors and finds the nearest ones by cosine similarity, exactly.
type Searcher interface {
	// Load stores the vectors under the ids 0, 1, 2 ...; it is called once, before any Search.
	Load(ctx context.Context, vectors [][]float32) error
	// Search hands each hit to answer.Hit, best first.
	Search(ctx context.Context, query []float32, top int, answer *Answer) error
}

// TokenCounter says how many tokens a text has, by the SDK's own means.
type TokenCounter interface {
	CountTokens(ctx context.Context, text string) (int, error)
}

// Templater streams a chat answer whose prompt went through the caller's own template: "{{prompt}}" stands for it.
type Templater interface {
	StreamTemplate(ctx context.Context, template, prompt string, maxTokens int, answer *Answer) error
}

// Base64Embedder asks for the embedding as base64 instead of floats.
type Base64Embedder interface {
	EmbedBase64(ctx context.Context, text string, answer *Answer) error
}

// Identity is who the SDK is, from its sdk.yaml; the generated test file passes it.
type Identity struct {
	SDK     string
	Module  string
	Version string
}
