package harness

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"reflect"
	"strings"
	"syscall"
)

// Outcome is how a request ended; the numbers are part of the record format.
type Outcome uint8

// The closed set of outcomes.
const (
	OK Outcome = iota
	Transport
	HTTPStatus
	JSONParse
	TruncatedStream
	WrongAnswer
	Timeout
	Other
	outcomes
)

var errTimeout = errors.New("no complete answer within request_timeout_seconds")

// classify says what kind of failure err is, and the HTTP status if it carries one. It asks the error's types first;
// only for SDKs that flatten their errors to text does it read the text.
func classify(err error) (Outcome, int) {
	if errors.Is(err, errTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return Timeout, 0
	}
	if status := statusOf(err); status != 0 {
		return HTTPStatus, status
	}
	if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
		return Timeout, 0
	}
	if isParse(err) {
		return JSONParse, 0
	}
	if isTransport(err) {
		return Transport, 0
	}
	// A bare one comes from a body that stopped early; inside a url.Error (above) there was no response at all.
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return TruncatedStream, 0
	}
	if errors.Is(err, io.EOF) {
		return Transport, 0
	}
	return classifyText(err.Error()), 0
}

func isParse(err error) bool {
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return true
	}
	_, ok := errors.AsType[base64.CorruptInputError](err)
	return ok
}

func isTransport(err error) bool {
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	_, ok := errors.AsType[syscall.Errno](err)
	return ok || errors.Is(err, net.ErrClosed)
}

func classifyText(text string) Outcome {
	text = strings.ToLower(text)
	for _, rule := range []struct {
		outcome Outcome
		words   []string
	}{
		{Timeout, []string{"deadline exceeded", "timeout"}},
		{HTTPStatus, []string{"status code: 4", "status code: 5", "status code 4", "status code 5", "http 4", "http 5", "service unavailable"}},
		{JSONParse, []string{"invalid character", "cannot unmarshal", "unexpected end of json"}},
		{TruncatedStream, []string{"unexpected eof", "stream ended"}},
		{Transport, []string{"connection reset", "connection refused", "broken pipe", "eof", "network error"}},
	} {
		for _, word := range rule.words {
			if strings.Contains(text, word) {
				return rule.outcome
			}
		}
	}
	return Other
}

// statusOf is the first HTTP status of a failure that any error in the chain shows, by method or by field; 0 if none.
// SDKs have their own error types, which the harness may not import.
func statusOf(err error) int {
	if err == nil {
		return 0
	}
	if status := ownStatus(err); status >= 300 && status < 600 {
		return status
	}
	switch wrapped := err.(type) {
	case interface{ Unwrap() error }:
		return statusOf(wrapped.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range wrapped.Unwrap() {
			if status := statusOf(one); status != 0 {
				return status
			}
		}
	}
	return 0
}

func ownStatus(err error) int {
	switch shown := err.(type) {
	case interface{ StatusCode() int }:
		return shown.StatusCode()
	case interface{ HTTPStatusCode() int }:
		return shown.HTTPStatusCode()
	}
	value := reflect.ValueOf(err)
	for value.Kind() == reflect.Pointer && !value.IsNil() {
		value = value.Elem()
	}
	if value.Kind() != reflect.Struct {
		return 0
	}
	for _, name := range []string{"HTTPStatusCode", "StatusCode", "Status", "Code"} {
		known, ok := value.Type().FieldByName(name)
		if !ok {
			continue
		}
		// FieldByName of the value would panic at an embedded nil pointer on the way.
		field, err := value.FieldByIndexErr(known.Index)
		if err == nil && field.CanInt() && field.Int() != 0 {
			return int(field.Int())
		}
	}
	return 0
}
