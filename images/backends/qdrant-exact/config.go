package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

const (
	envBackend    = "REPRO_BACKEND"
	envFD         = "REPRO_FD"
	schemaBackend = "repro.backend/1"

	maxMessageMiB = 1024
)

// config is REPRO_BACKEND. What every backend is told and this one has no use for is accepted with its neutral value.
type config struct {
	Schema        string `json:"schema"`
	Listen        string `json:"listen"`
	Seed          uint64 `json:"seed"`   // nothing here is drawn
	Pacing        string `json:"pacing"` // a search takes its time: only "unpaced"
	Fault         string `json:"fault"`  // none: only ""
	MaxMessageMiB int    `json:"max_message_mib"`
}

// parseConfig reads REPRO_BACKEND strictly; empty means the usual address.
func parseConfig(text string) (config, error) {
	c := config{Schema: schemaBackend, Listen: "127.0.0.1:6334", Pacing: "unpaced", MaxMessageMiB: 64}
	if text != "" {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&c); err != nil {
			return c, err
		}
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			return c, errors.New("text after the object")
		}
	}
	return c, c.check()
}

func (c config) check() error {
	if c.Schema != schemaBackend {
		return fmt.Errorf("schema is %q, this program reads %q", c.Schema, schemaBackend)
	}
	if _, err := net.ResolveTCPAddr("tcp", c.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if c.Pacing != "unpaced" {
		return fmt.Errorf("pacing %q: this backend answers at once, it has only \"unpaced\"", c.Pacing)
	}
	if c.Fault != "" {
		return fmt.Errorf("fault %q: this backend has none", c.Fault)
	}
	if c.MaxMessageMiB < 1 || c.MaxMessageMiB > maxMessageMiB {
		return fmt.Errorf("max_message_mib is %d, allowed: 1 to %d", c.MaxMessageMiB, maxMessageMiB)
	}
	return nil
}
