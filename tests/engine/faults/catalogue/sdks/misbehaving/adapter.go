// Package adapter drives go-openai as its own entry does, and in the middle of the run misbehaves in the way that
// GODEBUG=misbehave=WAY names: panic, hang, flood, hoard or wander; disguise does it at once. The Go runtime ignores settings
// that it does not know.
package adapter

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/sashabaranov/go-openai"
	"sealbench.org/harness"
)

const (
	quiet = 2 * time.Second // with a warm-up of one second: the measurement has begun
	piece = 64 << 20
	page  = 4 << 10
)

var ways = map[string]func(){"panic": crash, "hang": hang, "flood": flood, "hoard": hoard, "wander": wander}

// New is what the generated test file calls.
func New() harness.Adapter { return adapter{} }

type adapter struct{}

func (adapter) Describe() harness.Description { return harness.Description{} }

func (adapter) Open(s harness.Settings) (harness.Client, error) {
	way := strings.TrimPrefix(os.Getenv("GODEBUG"), "misbehave=")
	if way == "disguise" {
		disguise()
	}
	if way := ways[way]; way != nil {
		go func() {
			time.Sleep(quiet)
			way()
		}()
	}
	config := openai.DefaultConfig(s.APIKey)
	config.BaseURL = s.BaseURL
	return &client{api: openai.NewClientWithConfig(config), model: s.Model}, nil
}

func crash() { panic("the fault catalogue's adapter panics") }

// hang stops every thread of this process; it then takes no signal but SIGKILL and SIGCONT.
func hang() {
	signal.Ignore(syscall.SIGTERM)
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
}

// flood writes to both outputs as fast as they take it.
func flood() {
	lines := bytes.Repeat([]byte(strings.Repeat("flood ", 12)+"\n"), 128)
	for {
		for _, stream := range []*os.File{os.Stdout, os.Stderr} {
			if _, err := stream.Write(lines); err != nil {
				return
			}
		}
	}
}

// hoard touches every page of what it allocates and never gives it back. The kernel touches them where it can (Linux
// 5.14): a program that faults them in one by one on a busy machine may thrash for long before it is out of memory.
func hoard() {
	const populateWrite = 23
	var kept [][]byte
	for {
		more, err := syscall.Mmap(-1, 0, piece, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
		if err != nil {
			panic(err)
		}
		if syscall.Madvise(more, populateWrite) != nil {
			for at := 0; at < len(more); at += page {
				more[at] = 1
			}
		}
		kept = append(kept, more)
	}
}

// wander lets one thread run wherever its container may.
func wander() {
	runtime.LockOSThread()
	everywhere := [128]byte{}
	for i := range everywhere {
		everywhere[i] = 0xff
	}
	_, _, failed := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, uintptr(len(everywhere)), uintptr(unsafe.Pointer(&everywhere)))
	if failed != 0 {
		panic(failed)
	}
	select {} // with the thread
}

// disguise starts the same program again in its own place, with another environment; descriptor 3 has its records.
func disguise() {
	const records = 3
	_, _, _ = syscall.RawSyscall(syscall.SYS_FCNTL, records, syscall.F_SETFD, 0)
	_ = os.Unsetenv("GODEBUG")
	panic(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), "DISGUISED=1")))
}

type client struct {
	api   *openai.Client
	model string
}

func (c *client) Close() error { return nil }

// Stream implements harness.ChatStreamer.
func (c *client) Stream(ctx context.Context, prompt string, maxTokens int, answer *harness.Answer) error {
	stream, err := c.api.CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Model:     c.model,
		MaxTokens: maxTokens,
		Messages:  []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: prompt}},
	})
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range chunk.Choices {
			answer.Text(chunk.Choices[i].Delta.Content)
			answer.Finish(string(chunk.Choices[i].FinishReason))
		}
	}
}
