// Package config reads REPRO_AGENT, the agent's only configuration.
package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"sealbench.org/agent/internal/cpulist"
)

// Variable is the environment variable that holds the configuration. The child never sees it.
const Variable = "REPRO_AGENT"

// HostVariable is the engine's gift: it is the container's id, so no two programs would get one environment.
const HostVariable = "HOSTNAME"

const schema = "repro.agent/1"

// Bounds of numbers; a typing error must not become a launch that samples a million times a second.
const (
	maxSampleHz = 100
	maxSeconds  = 7 * 24 * 3600
)

// Config is a checked configuration.
type Config struct {
	Role           string
	WorkloadCPUs   []int
	AgentCPUs      []int
	SampleHz       float64 // 0: only at phase marks and window ends
	Window         time.Duration
	Journal        string // empty: none
	Socket         string // empty: none
	Ready          string // empty, http://HOST:PORT/PATH or tcp:HOST:PORT
	ReadyTimeout   time.Duration
	ReleaseTimeout time.Duration
	StopAfter      time.Duration // 0: never
	Expect         map[string]string
}

type wire struct {
	Schema                string            `json:"schema"`
	Role                  string            `json:"role"`
	WorkloadCPUs          string            `json:"workload_cpus"`
	AgentCPUs             string            `json:"agent_cpus"`
	SampleHz              float64           `json:"sample_hz"`
	WindowSeconds         float64           `json:"window_seconds"`
	Journal               string            `json:"journal"`
	Socket                string            `json:"socket"`
	Ready                 string            `json:"ready"`
	ReadyTimeoutSeconds   float64           `json:"ready_timeout_seconds"`
	ReleaseTimeoutSeconds float64           `json:"release_timeout_seconds"`
	StopAfterSeconds      float64           `json:"stop_after_seconds"`
	Expect                map[string]string `json:"expect"`
}

// Parse checks the text of REPRO_AGENT. knownRows are the row ids that `expect` may name: an
// expectation that nobody compares would be a promise without a proof.
func Parse(text string, knownRows []string) (Config, error) {
	if text == "" {
		return Config{}, fmt.Errorf("%s is not set; it must hold a JSON object with schema %q", Variable, schema)
	}
	raw := wire{SampleHz: 1, WindowSeconds: 10, ReadyTimeoutSeconds: 10, ReleaseTimeoutSeconds: 5}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&raw); err != nil {
		return Config{}, fmt.Errorf("%s: %w", Variable, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("%s: text after the JSON object", Variable)
	}
	config, err := raw.check(knownRows)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", Variable, err)
	}
	return config, nil
}

func (raw wire) check(knownRows []string) (Config, error) {
	if raw.Schema != schema {
		return Config{}, fmt.Errorf("schema is %q, this agent reads %q", raw.Schema, schema)
	}
	if raw.Role != "sdk" && raw.Role != "backend" {
		return Config{}, fmt.Errorf("role is %q, must be \"sdk\" or \"backend\"", raw.Role)
	}
	workload, err := cpulist.Parse(raw.WorkloadCPUs)
	if err != nil {
		return Config{}, fmt.Errorf("workload_cpus: %w", err)
	}
	agent, err := cpulist.Parse(raw.AgentCPUs)
	if err != nil {
		return Config{}, fmt.Errorf("agent_cpus: %w", err)
	}
	if err := raw.checkNumbers(); err != nil {
		return Config{}, err
	}
	if err := checkReady(raw.Ready); err != nil {
		return Config{}, err
	}
	for id := range raw.Expect {
		if !slices.Contains(knownRows, id) {
			return Config{}, fmt.Errorf("expect: the agent has no row %q", id)
		}
	}
	return Config{
		Role: raw.Role, WorkloadCPUs: workload, AgentCPUs: agent, SampleHz: raw.SampleHz,
		Window: seconds(raw.WindowSeconds), Journal: raw.Journal, Socket: raw.Socket, Ready: raw.Ready,
		ReadyTimeout: seconds(raw.ReadyTimeoutSeconds), ReleaseTimeout: seconds(raw.ReleaseTimeoutSeconds),
		StopAfter: seconds(raw.StopAfterSeconds), Expect: raw.Expect,
	}, nil
}

func (raw wire) checkNumbers() error {
	for _, n := range []struct {
		key       string
		value     float64
		low, high float64
	}{
		{"sample_hz", raw.SampleHz, 0, maxSampleHz},
		{"window_seconds", raw.WindowSeconds, 0.1, maxSeconds},
		{"ready_timeout_seconds", raw.ReadyTimeoutSeconds, 0, maxSeconds},
		{"release_timeout_seconds", raw.ReleaseTimeoutSeconds, 0, maxSeconds},
		{"stop_after_seconds", raw.StopAfterSeconds, 0, maxSeconds},
	} {
		if n.value < n.low || n.value > n.high {
			return fmt.Errorf("%s is %v, must be from %v to %v", n.key, n.value, n.low, n.high)
		}
	}
	return nil
}

func checkReady(probe string) error {
	if probe == "" {
		return nil
	}
	if address, ok := strings.CutPrefix(probe, "tcp:"); ok && strings.Contains(address, ":") {
		return nil
	}
	if target, err := url.Parse(probe); err == nil && target.Scheme == "http" && target.Port() != "" {
		return nil
	}
	return fmt.Errorf("ready is %q, must be empty, http://HOST:PORT/PATH or tcp:HOST:PORT", probe)
}

func seconds(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }
