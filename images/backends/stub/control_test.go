package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestStatsCountConnectionsAndRequestsOfOthersOnly(t *testing.T) {
	server, s := start(t, func(*config) {})
	client := func() *http.Client { return &http.Client{Transport: &http.Transport{}} }
	asker, sdk := client(), client()
	get := func(c *http.Client, path string) {
		t.Helper()
		response, err := c.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		var ignored any
		_ = json.NewDecoder(response.Body).Decode(&ignored)
		response.Body.Close()
	}
	get(asker, "/healthz")
	get(asker, "/stub/stats")
	if found := s.control.statistics(); found != (statistics{}) {
		t.Errorf("the asker counts itself: %+v", found)
	}
	get(sdk, "/v1/models")
	get(sdk, "/v1/models/none")
	if found := s.control.statistics(); found.Requests != 2 || found.ConnectionsOpened != 1 || found.ConnectionsOpen != 1 {
		t.Errorf("two requests on one connection: %+v", found)
	}
	get(asker, "/v1/models")
	if found := s.control.statistics(); found.Requests != 3 || found.ConnectionsOpened != 2 || found.ConnectionsOpen != 2 {
		t.Errorf("a request on the asker's connection: %+v", found)
	}
	response, err := asker.Post(server.URL+"/stub/reset", "", nil)
	if err != nil || response.StatusCode != http.StatusNoContent {
		t.Fatalf("%v %v", response, err)
	}
	if found := s.control.statistics(); found.Requests != 0 || found.ConnectionsOpened != 0 || found.ConnectionsOpen != 2 {
		t.Errorf("after a reset: %+v", found)
	}
	sdk.CloseIdleConnections()
	asker.CloseIdleConnections()
	eventually(t, func() bool { return s.control.statistics() == statistics{} })
}

// eventually waits for what another goroutine does.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came true")
		}
	}
}

func TestAnswersWithoutAnEndStopWhenTheClientGoes(t *testing.T) {
	server, s := start(t, func(*config) {})
	for _, model := range []string{"stub+endless", "stub+stall=3"} {
		for _, streamed := range []string{"true", "false"} {
			ctx, cancel := context.WithCancel(t.Context())
			body := strings.NewReader(`{"model":"` + model + `","stream":` + streamed + `,"messages":[{"content":"a"}]}`)
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/v1/chat/completions", body)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				response, err := http.DefaultClient.Do(request)
				if err == nil {
					_, err = response.Body.Read(make([]byte, 1))
					defer response.Body.Close()
					<-ctx.Done()
				}
				done <- err
			}()
			eventually(t, func() bool { return s.control.statistics().InFlight == 1 })
			time.Sleep(20 * time.Millisecond)
			if s.control.statistics().InFlight != 1 {
				t.Errorf("%s ended by itself", model)
			}
			cancel()
			<-done
			eventually(t, func() bool { return s.control.statistics().InFlight == 0 })
		}
	}
}

func TestTheLastRequestIsDescribed(t *testing.T) {
	server, s := start(t, func(*config) {})
	long := strings.Repeat("ä", 3000)
	post(t, server, "/v1/chat/completions", `{"model":"stub","max_tokens":3,"messages":[{"content":"`+long+`"},{"content":"b"}]}`)
	want := lastRequest{Path: "/v1/chat/completions", Model: "stub", Messages: 2, MaxTokens: 3, Prompt: strings.Repeat("ä", 2000)}
	if last := s.control.statistics().Last; last == nil || *last != want {
		t.Errorf("%+v", last)
	}
	post(t, server, "/v1/embeddings", `{"model":"stub","input":["a","b"],"encoding_format":"base64"}`)
	want = lastRequest{Path: "/v1/embeddings", Model: "stub", Messages: 2, EncodingFormat: "base64", Prompt: "a\nb"}
	if last := s.control.statistics().Last; last == nil || *last != want {
		t.Errorf("%+v", last)
	}
}
