// Package adapter drives go-openai as its own entry does, with the fault that GODEBUG=faulty=WAY names: real ones, of
// the kinds that programs around an SDK have. The Go runtime ignores settings that it does not know.
//
// An answer of the stub takes a few milliseconds of CPU time. What a fault waits for is time, not CPU, so that it
// behaves the same on a busy machine.
package adapter

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sashabaranov/go-openai"
	"sealbench.org/harness"
)

// fault is what happens before a request; what it returns happens after it.
type fault func(ctx context.Context) (func(), error)

var ways = map[string]func() fault{
	"leak":       func() fault { return history(1 << 30) },
	"cache":      func() fault { return history(250) },
	"keep":       keep,
	"pool":       func() fault { return pooled(8, 1500*time.Millisecond) },
	"overload":   func() fault { return pooled(4, time.Hour) },
	"goroutines": goroutines,
	"mapped":     mapped,
	"ballast":    ballast,
	"failing":    failing,
	"stall":      stall,
}

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

func (adapter) Describe() harness.Description { return harness.Description{} }

func (adapter) Open(s harness.Settings) (harness.Client, error) {
	config := openai.DefaultConfig(s.APIKey)
	config.BaseURL = s.BaseURL
	c := &client{api: openai.NewClientWithConfig(config), model: s.Model, fault: none}
	if way := ways[strings.TrimPrefix(os.Getenv("GODEBUG"), "faulty=")]; way != nil {
		c.fault = way()
	}
	return c, nil
}

func none(context.Context) (func(), error) { return func() {}, nil }

// node has a pointer, so that the collector must follow it: memory that costs each collection its share.
type node struct {
	next *node
	_    [6]uint64
}

func chain(length int) *node {
	var first *node
	for range length {
		first = &node{next: first}
	}
	return first
}

// history keeps 3 KB of each of the first requests and copies all of it for each request, as a chat that sends what was
// said so far: what is kept, what is garbage and what a request takes all grow, for ever or until the cache is full. A
// table of 8 MB beside it is the program's own: without it the heap would grow as fast as the garbage, and Go, which
// collects when the heap has doubled, would collect no more often.
func history(most int) fault {
	var lock sync.Mutex
	var kept []byte
	count := 0
	table := bytes.Repeat([]byte{1}, 8<<20)
	return func(context.Context) (func(), error) {
		lock.Lock()
		defer lock.Unlock()
		if count++; count <= most {
			kept = append(kept, make([]byte, 3<<10)...)
		}
		garbage = append([]byte(nil), kept...)
		sending := time.Duration(len(kept)) * 250 * time.Nanosecond // 4 MB/s
		return func() {
			time.Sleep(sending)
			runtime.KeepAlive(table)
		}, nil
	}
}

var garbage []byte

// keep keeps 29 KB of each request for ever, and no request pays for it yet.
func keep() fault {
	var lock sync.Mutex
	var kept []*node
	return func(context.Context) (func(), error) {
		lock.Lock()
		defer lock.Unlock()
		kept = append(kept, chain(450))
		return func() {}, nil
	}
}

// pooled lets a request through with one of so many connections, which it holds for 42 ms; every so often one of them is
// never given back, until two are left.
func pooled(size int, loss time.Duration) fault {
	free := make(chan struct{}, size)
	for range size {
		free <- struct{}{}
	}
	var lock sync.Mutex
	left, last := size, time.Now()
	lost := func() bool {
		lock.Lock()
		defer lock.Unlock()
		if left <= 2 || time.Since(last) < loss {
			return false
		}
		left, last = left-1, time.Now()
		return true
	}
	return func(ctx context.Context) (func(), error) {
		select {
		case <-free:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return func() {
			time.Sleep(42 * time.Millisecond)
			if !lost() {
				free <- struct{}{}
			}
		}, nil
	}
}

// goroutines starts one per request that waits for what never comes.
func goroutines() fault {
	never := make(chan struct{})
	return func(context.Context) (func(), error) {
		go func() { <-never }()
		return func() {}, nil
	}
}

// mapped reads more of a mapped file with each request: this program's own, mapped many times.
func mapped() fault {
	const page = 4 << 10
	file, err := os.Open("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	state, err := file.Stat()
	if err != nil {
		panic(err)
	}
	size := int(state.Size()) / page * page
	var lock sync.Mutex
	var view []byte
	at := size
	return func(context.Context) (func(), error) {
		lock.Lock()
		defer lock.Unlock()
		for range 2 {
			if at >= size {
				if view, err = syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_PRIVATE); err != nil {
					return nil, err
				}
				at = 0
			}
			touched.Add(uint64(view[at]))
			at += 16 * page // the kernel maps up to 16 pages around a fault
		}
		return func() {}, nil
	}
}

var touched atomic.Uint64

// ballast fills the heap up to just below the memory limit before the first request.
func ballast() fault {
	kept := chain(700_000)
	return func(context.Context) (func(), error) {
		garbage = make([]byte, 256<<10)
		return func() { runtime.KeepAlive(kept) }, nil
	}
}

// failing refuses more and more requests at once: none at the beginning, two thirds after 10 s.
func failing() fault {
	begun := time.Now()
	var count atomic.Uint64
	return func(context.Context) (func(), error) {
		if share := min(time.Since(begun).Seconds()/15, 0.67); float64(count.Add(1)%100) < 100*share {
			return nil, errors.New("faulty: refused")
		}
		return func() {}, nil
	}
}

// stall holds a lock that all requests need for 400 ms out of each second.
func stall() fault {
	var lock sync.RWMutex
	go func() {
		for {
			time.Sleep(600 * time.Millisecond)
			lock.Lock()
			time.Sleep(400 * time.Millisecond)
			lock.Unlock()
		}
	}()
	return func(context.Context) (func(), error) {
		lock.RLock()
		return lock.RUnlock, nil
	}
}

type client struct {
	api   *openai.Client
	model string
	fault fault
}

func (c *client) Close() error { return nil }

// Embed implements harness.Embedder.
func (c *client) Embed(ctx context.Context, text string, answer *harness.Answer) error {
	after, err := c.fault(ctx)
	if err != nil {
		return err
	}
	defer after()
	response, err := c.api.CreateEmbeddings(ctx, openai.EmbeddingRequestStrings{
		Model: openai.EmbeddingModel(c.model),
		Input: []string{text},
	})
	if err != nil {
		return err
	}
	if len(response.Data) > 0 {
		answer.Vector32(response.Data[0].Embedding)
	}
	answer.Usage(response.Usage.PromptTokens, 0)
	return nil
}
