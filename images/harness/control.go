package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	controlTimeout = 5 * time.Second
	controlBytes   = 1 << 20
)

// control asks the stub what it saw, on connections of the harness's own that the stub does not count.
type control struct {
	root string
	http http.Client
}

// seen is what the stub counted since the last reset, and what its last request asked for.
type seen struct {
	Requests          int64    `json:"requests"`
	ConnectionsOpened int64    `json:"connections_opened"`
	ConnectionsOpen   int64    `json:"connections_open"`
	InFlight          int64    `json:"in_flight"`
	Last              lastSeen `json:"last"`
}

type lastSeen struct {
	Path           string `json:"path"`
	Model          string `json:"model"`
	Messages       int    `json:"messages"`
	Images         int    `json:"images"`
	ImageSHA256    string `json:"image_sha256"`
	MaxTokens      int    `json:"max_tokens"`
	Stream         bool   `json:"stream"`
	EncodingFormat string `json:"encoding_format"`
	Prompt         string `json:"prompt"`
}

func newControl(root string) *control {
	return &control{root: strings.TrimRight(root, "/"), http: http.Client{Transport: &http.Transport{}, Timeout: controlTimeout}}
}

// stats is what the stub saw since the last reset.
func (c *control) stats(ctx context.Context) (seen, error) {
	var found seen
	body, err := c.ask(ctx, http.MethodGet, "/stub/stats")
	if err != nil {
		return found, err
	}
	// Not strict: a newer stub may say more.
	if err := json.Unmarshal(body, &found); err != nil {
		return found, fmt.Errorf("/stub/stats: %w", err)
	}
	return found, nil
}

// reset sets the counters to 0.
func (c *control) reset(ctx context.Context) error {
	_, err := c.ask(ctx, http.MethodPost, "/stub/reset")
	return err
}

func (c *control) ask(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.root+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, controlBytes))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if response.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s: status %d", path, response.StatusCode)
	}
	return body, nil
}

// authority is the pipe that holds the certificate until crypto/x509 reads it; closing it would lose the text.
var authority *os.File

// trust makes the stub's certificate authority one that this process believes, as an administrator would: the file of
// SSL_CERT_FILE. The container has no place to write, so the file is a pipe. crypto/x509 reads it once, at the first
// TLS connection, so this comes before the SDK is opened.
func (c *control) trust(ctx context.Context) error {
	pem, err := c.ask(ctx, http.MethodGet, "/stub/ca.pem")
	if err != nil {
		return err
	}
	if !bytes.Contains(pem, []byte("BEGIN CERTIFICATE")) || len(pem) > 32<<10 {
		return fmt.Errorf("/stub/ca.pem: %d bytes that are no certificate", len(pem))
	}
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	// A pipe takes 64 KiB without a reader.
	_, err = out.Write(pem)
	_ = out.Close()
	if err != nil {
		return err
	}
	authority = in
	return os.Setenv("SSL_CERT_FILE", fmt.Sprintf("/proc/self/fd/%d", in.Fd()))
}
