package harness

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A process of its own: crypto/x509 reads its roots once.
func TestTheStubsAuthorityIsTrusted(t *testing.T) {
	if os.Getenv("HARNESS_TEST_TRUST") == "" {
		again := exec.Command(os.Args[0], "-test.run=^TestTheStubsAuthorityIsTrusted$", "-test.v")
		again.Env = append(os.Environ(), "HARNESS_TEST_TRUST=1", "SSL_CERT_DIR="+t.TempDir())
		if text, err := again.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return
	}
	secret := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	defer secret.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stub/ca.pem" {
			_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: secret.Certificate().Raw})
		}
	}))
	defer plain.Close()
	w := chatWorkload(secret.URL)
	w.TLS, w.ControlURL = true, plain.URL
	if _, err := newSession(w, fake{good}, Identity{}, ""); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second one must not read the pipe again
		response, err := new(http.Client).Get(secret.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
}

func TestWhatIsNoCertificateIsRefused(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("hello"))
	}))
	defer plain.Close()
	w := chatWorkload("https://127.0.0.1:1")
	w.TLS, w.ControlURL = true, plain.URL
	if _, err := newSession(w, fake{good}, Identity{}, ""); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("error %v", err)
	}
	if _, err := newControl("http://127.0.0.1:1").stats(context.Background()); err == nil {
		t.Error("a stub that is not there has statistics")
	}
}
