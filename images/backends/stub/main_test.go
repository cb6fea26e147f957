package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"
)

// open starts both ports as main does.
func open(t *testing.T) (*stub, []door) {
	t.Helper()
	c, f, err := parseConfig(`{"listen":"127.0.0.1:0"}`)
	if err != nil {
		t.Fatal(err)
	}
	r, err := openReport("")
	if err != nil {
		t.Fatal(err)
	}
	s := newStub(c, f, r)
	doors, err := s.openDoors()
	for tries := 0; err != nil && tries < 20; tries++ { // the port above a free one may be taken
		doors, err = s.openDoors()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range doors {
		go func() { _ = each.serve() }()
	}
	t.Cleanup(func() { shut(doors) })
	return s, doors
}

func TestHTTP2InTheClearAndOverTLS(t *testing.T) {
	s, doors := open(t)
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(s.caPEM) {
		t.Fatal("no certificate")
	}
	clear, sealed := new(http.Protocols), new(http.Protocols)
	clear.SetUnencryptedHTTP2(true)
	sealed.SetHTTP2(true)
	for i, transport := range []*http.Transport{{Protocols: clear}, {Protocols: sealed, TLSClientConfig: &tls.Config{RootCAs: trusted}}} {
		url := []string{"http://", "https://"}[i] + doors[i].listener.Addr().String()
		client := &http.Client{Transport: transport}
		for range 3 {
			response, err := client.Post(url+"/v1/chat/completions", "application/json", strings.NewReader(askChat))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || response.ProtoMajor != 2 || !strings.HasSuffix(string(body), "data: [DONE]\n\n") {
				t.Errorf("%s: %s, %v, %s", url, response.Proto, err, body)
			}
		}
		if found := s.control.statistics(); found.Requests != 3*(i+1) || found.ConnectionsOpened != i+1 {
			t.Errorf("%s: %+v", url, found)
		}
	}
}
