package harness

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
)

type byField struct{ HTTPStatusCode int }

func (byField) Error() string { return "by field" }

type byMethod struct{}

func (*byMethod) Error() string   { return "by method" }
func (*byMethod) StatusCode() int { return 429 }

type zeroStatus struct {
	StatusCode int
	cause      error
}

func (z *zeroStatus) Error() string { return "wraps" }
func (z *zeroStatus) Unwrap() error { return z.cause }

type inner struct{ StatusCode int }

type nilInside struct{ *inner }

func (nilInside) Error() string { return "an embedded nil pointer" }

func jsonError(text string, into any) error { return json.Unmarshal([]byte(text), into) }

func TestClassify(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	noAnswer := &url.Error{Op: "Post", URL: "http://127.0.0.1/", Err: io.EOF}
	for _, c := range []struct {
		name    string
		err     error
		outcome Outcome
		status  int
	}{
		{"status by field", byField{503}, HTTPStatus, 503},
		{"status by method, through a pointer", &byMethod{}, HTTPStatus, 429},
		{"status deep in the chain", fmt.Errorf("a: %w", fmt.Errorf("b: %w", byField{404})), HTTPStatus, 404},
		{"status in a join", errors.Join(errors.New("x"), byField{500}), HTTPStatus, 500},
		{"outer status zero, inner one real", &zeroStatus{0, byField{502}}, HTTPStatus, 502},
		{"status wins over the JSON error of its body", &zeroStatus{503, jsonError("<html>", new(int))}, HTTPStatus, 503},
		{"a status of success is none", &zeroStatus{200, jsonError("{", new(int))}, JSONParse, 0},
		{"embedded nil pointer", nilInside{}, Other, 0},
		{"JSON syntax", jsonError("{]", new(int)), JSONParse, 0},
		{"JSON type", jsonError(`"a"`, new(int)), JSONParse, 0},
		{"base64", fmt.Errorf("x: %w", base64.CorruptInputError(3)), JSONParse, 0},
		{"reset", reset, Transport, 0},
		{"reset inside a url.Error", &url.Error{Op: "Post", Err: reset}, Transport, 0},
		{"no answer at all", noAnswer, Transport, 0},
		{"refused", fmt.Errorf("x: %w", syscall.ECONNREFUSED), Transport, 0},
		{"body ended early", fmt.Errorf("x: %w", io.ErrUnexpectedEOF), TruncatedStream, 0},
		{"deadline", &url.Error{Op: "Post", Err: context.DeadlineExceeded}, Timeout, 0},
		{"the watchdog's cause", fmt.Errorf("x: %w", errTimeout), Timeout, 0},
		{"net timeout", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, Timeout, 0},
		{"flattened status", errors.New("error, status code: 503, body"), HTTPStatus, 0},
		{"go-ai's flattened status", errors.New("failed to start stream: openai provider error (0):  - LHTTP 503: {}"), HTTPStatus, 0},
		{"langchaingo's flattened reset", errors.New("network error: failed to reach API server"), Transport, 0},
		{"flattened JSON", errors.New("invalid character '<' looking for beginning of value"), JSONParse, 0},
		{"flattened early end", errors.New("stream: unexpected EOF"), TruncatedStream, 0},
		{"flattened reset", errors.New("read: connection reset by peer"), Transport, 0},
		{"anything else", errors.New("the model is tired"), Other, 0},
	} {
		if outcome, status := classify(c.err); outcome != c.outcome || status != c.status {
			t.Errorf("%s: outcome %d, status %d; want %d, %d", c.name, outcome, status, c.outcome, c.status)
		}
	}
}

func TestAnswersAreJudged(t *testing.T) {
	chat := chatWorkload("x")
	stream := func(tokens int, finish bool, extra string) *Answer {
		a := &Answer{}
		for range tokens {
			a.Text(stampToken(1))
		}
		a.Text(extra)
		if finish {
			a.Finish("stop")
		}
		return a
	}
	embed, special := embedWorkload("x"), embedWorkload("x")
	special.SpecialTokens = 1
	vector := func(size int, prompt int) *Answer {
		a := &Answer{}
		a.Vector32(stampVector(size))
		a.Usage(prompt, 0)
		return a
	}
	zero := &Answer{}
	zero.Vector32(make([]float32, 768))
	infinite := &Answer{}
	infinite.Vector64(append(make([]float64, 767), math.Inf(1)))
	unstamped := &Answer{}
	unstamped.Vector32([]float32{0.3, -1, 2, 3})
	unstamped.vector = 768
	for _, c := range []struct {
		name string
		w    *Workload
		a    *Answer
		want Outcome
	}{
		{"right", chat, stream(128, true, ""), OK},
		{"short, no finish reason", chat, stream(64, false, ""), TruncatedStream},
		{"all tokens, no finish reason", chat, stream(128, false, ""), TruncatedStream},
		{"short, but finished", chat, stream(127, true, ""), WrongAnswer},
		{"too long", chat, stream(129, true, ""), WrongAnswer},
		{"a token that is not the stub's", chat, stream(127, true, "hello"), WrongAnswer},
		{"right embedding", embed, vector(768, 512), OK},
		{"embedding without usage", embed, vector(768, 0), OK},
		{"another dimension", embed, vector(384, 512), WrongAnswer},
		{"nothing", embed, &Answer{}, WrongAnswer},
		{"another token count", embed, vector(768, 511), WrongAnswer},
		{"the special tokens counted", special, vector(768, 512), OK},
		{"the special tokens not counted", special, vector(768, 511), OK},
		{"neither", special, vector(768, 510), WrongAnswer},
		{"no write time", embed, unstamped, WrongAnswer},
		{"all zero", embed, zero, WrongAnswer},
		{"infinite", embed, infinite, WrongAnswer},
	} {
		if got, text := newJudge(c.w, nil).fault(0, c.a); got != c.want {
			t.Errorf("%s: %d (%s), want %d", c.name, got, text, c.want)
		}
	}
}

func TestStampsAreReadBack(t *testing.T) {
	const ns = int64(0x0001_2345_6789_abcd)
	if got, ok := parseStamp(stampToken(ns)); !ok || got != ns {
		t.Errorf("token: %d %v", got, ok)
	}
	pieces := [4]float64{float64(0x0001) / 65536, float64(0x2345) / 65536, float64(0x6789) / 65536, float64(0xabcd) / 65536}
	if got, ok := joinPieces(pieces); !ok || got != ns {
		t.Errorf("vector: %d %v", got, ok)
	}
	var a Answer
	a.Text(stampToken(1) + stampToken(2)) // an SDK that merges frames
	if a.words != 2 || len(a.overheads) != 2 || a.bytes != 40 {
		t.Errorf("merged frames: %+v", a)
	}
}
