package probe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestHTTPIsTriedUntil200(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := Wait(ctx, server.URL+"/healthz"); err != nil || calls.Load() != 3 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
	if err := Wait(ctx, "tcp:"+strings.TrimPrefix(server.URL, "http://")); err != nil {
		t.Error(err)
	}
}

func TestTheLastErrorIsTold(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	// Where the time is over in the middle of a try, on a slow machine in the first one, that is the last error.
	var err error
	for patience := 100 * time.Millisecond; patience < time.Minute; patience *= 3 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err = Wait(ctx, server.URL+"/")
		cancel()
		if err != nil && strings.Contains(err.Error(), "404") {
			return
		}
	}
	t.Errorf("got %v", err)
}
