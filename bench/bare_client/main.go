// The peer of bench/harness_overhead.py: the null SDK's own client, one request after the other, two readings of the
// clock each, and nothing else. It writes the times to standard output when all is over.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"sealbench.org/sdks/net-http/openai"
)

// most is how many requests fit. Their times lie outside Go's heap, as the harness's do: inside they would raise the
// heap goal, and garbage would be collected more rarely than beside the harness.
const most = 4 << 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bare-client:", err)
		os.Exit(1)
	}
}

func run() error {
	base := flag.String("base", "", "the backend's address with its path prefix")
	kind := flag.String("kind", "", "chat-stream or embed; the text is read from standard input")
	tokens := flag.Int("tokens", 128, "tokens of an answer")
	dimensions := flag.Int("dimensions", 768, "components of an embedding")
	warmup := flag.Duration("warmup", time.Second, "requests that are not measured")
	duration := flag.Duration("duration", time.Second, "requests that are")
	flag.Parse()
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	client := &openai.Client{Base: *base, Key: "none", Model: "stub"}
	defer client.Close()
	request, err := requestOf(client, *kind, string(text), *tokens, *dimensions)
	if err != nil {
		return err
	}
	times, err := outside(most)
	if err != nil {
		return err
	}
	if _, err := loop(request, *warmup, times[:0]); err != nil {
		return err
	}
	start := time.Now()
	times, err = loop(request, *duration, times[:0])
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"elapsed_ns": time.Since(start), "times_ns": times})
}

// loop sends until the time is over and returns how long each request took.
func loop(request func() error, limit time.Duration, times []int64) ([]int64, error) {
	for end := time.Now().Add(limit); ; {
		sent := time.Now()
		if !sent.Before(end) || len(times) == cap(times) {
			return times, nil
		}
		err := request()
		times = append(times, int64(time.Since(sent)))
		if err != nil {
			return nil, err
		}
	}
}

func requestOf(client *openai.Client, kind, text string, tokens, dimensions int) (func() error, error) {
	ctx := context.Background()
	switch kind {
	case "chat-stream":
		return func() error {
			var got count
			if err := client.Chat(ctx, text, tokens, &got); err != nil || got.pieces == tokens {
				return err
			}
			return fmt.Errorf("%d pieces, not %d", got.pieces, tokens)
		}, nil
	case "embed":
		return func() error {
			var got count
			if err := client.Embed(ctx, text, &got); err != nil || got.components == dimensions {
				return err
			}
			return fmt.Errorf("%d components, not %d", got.components, dimensions)
		}, nil
	}
	return nil, fmt.Errorf("-kind %q is neither chat-stream nor embed", kind)
}

// count is the least that tells whether an answer is whole.
type count struct{ pieces, components int }

func (c *count) Text(piece string) {
	if piece != "" {
		c.pieces++
	}
}

func (c *count) Finish(string)             {}
func (c *count) Usage(int, int)            {}
func (c *count) Vector32(vector []float32) { c.components = len(vector) }

func outside(n int) ([]int64, error) {
	memory, err := syscall.Mmap(-1, 0, n*8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*int64)(unsafe.Pointer(&memory[0])), n), nil
}
