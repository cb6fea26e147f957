package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	envBackend    = "REPRO_BACKEND"
	envFD         = "REPRO_FD"
	schemaBackend = "repro.backend/1"

	pacingPaced   = "paced"
	pacingUnpaced = "unpaced"

	faultHTTP503    = "http503"
	faultTruncate   = "truncate"
	faultCorrupt    = "corrupt"
	faultReset      = "reset"
	faultNeverReady = "never_ready"
	faultExitAfter  = "exit_after"
)

// config is REPRO_BACKEND.
type config struct {
	Schema            string  `json:"schema"`
	Listen            string  `json:"listen"`
	Pacing            string  `json:"pacing"`
	FirstTokenSeconds float64 `json:"first_token_seconds"`
	TokenSeconds      float64 `json:"token_seconds"`
	Seed              uint64  `json:"seed"`
	Dimensions        int     `json:"dimensions"`
	Fault             string  `json:"fault"`
	// Images is how many images a chat request of the model "stub" must have; 0: not checked.
	Images int `json:"images"`
}

// fault is what the stub does wrong on purpose: with a probability per request, or once after some seconds.
type fault struct {
	kind  string
	value float64
}

// parseConfig reads REPRO_BACKEND strictly; empty means an unpaced backend on the usual address.
func parseConfig(text string) (config, fault, error) {
	c := config{Schema: schemaBackend, Listen: "127.0.0.1:8080", Pacing: pacingUnpaced, Seed: 1, Dimensions: 768}
	if text != "" {
		decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&c); err != nil {
			return c, fault{}, err
		}
	}
	if err := c.check(); err != nil {
		return c, fault{}, err
	}
	f, err := parseFault(c.Fault)
	return c, f, err
}

func (c config) check() error {
	if c.Schema != schemaBackend {
		return fmt.Errorf("schema is %q, this program reads %q", c.Schema, schemaBackend)
	}
	if _, err := net.ResolveTCPAddr("tcp", c.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if c.Pacing != pacingPaced && c.Pacing != pacingUnpaced {
		return fmt.Errorf("pacing %q is neither %q nor %q", c.Pacing, pacingPaced, pacingUnpaced)
	}
	if c.FirstTokenSeconds < 0 || c.TokenSeconds < 0 {
		return fmt.Errorf("first_token_seconds or token_seconds is negative")
	}
	if c.Dimensions < stampPieces || c.Dimensions > maxDimensions {
		return fmt.Errorf("dimensions is %d, allowed: %d to %d", c.Dimensions, stampPieces, maxDimensions)
	}
	if c.Images < 0 {
		return fmt.Errorf("images is negative")
	}
	return nil
}

func parseFault(text string) (fault, error) {
	kind, number, _ := strings.Cut(text, ":")
	switch kind {
	case "", faultNeverReady:
		if number != "" || text == ":" {
			return fault{}, fmt.Errorf("fault %q takes no number", text)
		}
		return fault{kind: kind}, nil
	case faultHTTP503, faultTruncate, faultCorrupt, faultReset, faultExitAfter:
		value, err := strconv.ParseFloat(number, 64)
		if err != nil || !(value >= 0) || kind != faultExitAfter && value > 1 {
			return fault{}, fmt.Errorf("fault %q: %q is not a probability (or, for exit_after, seconds)", text, number)
		}
		return fault{kind, value}, nil
	}
	return fault{}, fmt.Errorf("fault %q is not known", text)
}

func (c config) paced() bool { return c.Pacing == pacingPaced }

func nanoseconds(seconds float64) int64 { return int64(seconds * float64(time.Second)) }
