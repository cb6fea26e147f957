package config

import (
	"strings"
	"testing"
	"time"
)

var rows = []string{"pids.limit"}

func TestDefaultsAndValues(t *testing.T) {
	config, err := Parse(`{"schema":"repro.agent/1","role":"sdk","workload_cpus":"0","agent_cpus":"1","expect":{"pids.limit":"128"},"stop_after_seconds":1.5}`, rows)
	if err != nil {
		t.Fatal(err)
	}
	if config.Window != 10*time.Second || config.SampleHz != 1 || config.ReleaseTimeout != 5*time.Second ||
		config.StopAfter != 1500*time.Millisecond || config.Expect["pids.limit"] != "128" {
		t.Errorf("got %+v", config)
	}
}

func TestErrorsNameWhatIsWrong(t *testing.T) {
	const head = `{"schema":"repro.agent/1","role":"sdk","workload_cpus":"0","agent_cpus":"1"`
	for text, want := range map[string]string{
		"":                                      "not set",
		"nonsense":                              "invalid character",
		"{}":                                    "schema",
		head + `,"bogus":1}`:                    `"bogus"`,
		head + `} {}`:                           "after the JSON object",
		head + `,"sample_hz":-1}`:               "sample_hz",
		head + `,"window_seconds":0}`:           "window_seconds",
		head + `,"expect":{"log.driver":"x"}}`:  `no row "log.driver"`,
		head + `,"ready":"https://x"}`:          "ready",
		`{"schema":"repro.agent/1","role":"x"}`: "role",
		`{"schema":"repro.agent/1","role":"sdk","workload_cpus":""}`:                  "workload_cpus",
		`{"schema":"repro.agent/1","role":"sdk","workload_cpus":"0","agent_cpus":""}`: "agent_cpus",
	} {
		if _, err := Parse(text, rows); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want a text with %q", text, err, want)
		}
	}
}
