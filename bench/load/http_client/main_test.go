package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"sealbench.org/harness"
)

const token = "w000000000000000001 "

func clientOf(t *testing.T, kind, url string) harness.ChatStreamer {
	t.Helper()
	t.Setenv(clientVariable, kind)
	client, err := adapter{}.Open(harness.Settings{BaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client.(harness.ChatStreamer)
}

func TestBothClientsKeepTheirConnection(t *testing.T) {
	for _, kind := range []string{clientPlain, clientStandard} {
		var opened atomic.Int64
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, token)
		}))
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				opened.Add(1)
			}
		}
		server.Start()
		client := clientOf(t, kind, server.URL)
		for range 10 {
			if err := client.Stream(context.Background(), "", 1, &harness.Answer{}); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
		}
		if opened.Load() != 1 {
			t.Errorf("%s opened %d connections", kind, opened.Load())
		}
		server.Close()
	}
}

func TestBothClientsTellAFailure(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "tired", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	for _, kind := range []string{clientPlain, clientStandard} {
		err := clientOf(t, kind, server.URL).Stream(context.Background(), "", 1, &harness.Answer{})
		if err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestAnUnknownClientIsRefused(t *testing.T) {
	t.Setenv(clientVariable, "curl")
	if _, err := (adapter{}).Open(harness.Settings{}); err == nil || !strings.Contains(err.Error(), clientVariable) {
		t.Errorf("%v", err)
	}
}
