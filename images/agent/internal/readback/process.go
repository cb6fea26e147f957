package readback

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"sealbench.org/agent/internal/config"
	"sealbench.org/agent/internal/supervisor"
)

// environment is the names only: values may be secrets.
func (r *Reader) environment() (string, error) {
	var names []string
	for _, variable := range r.Environment {
		name, _, _ := strings.Cut(variable, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ","), nil
}

// notCompared are the variables outside the digest: the agent's settings have a row of their own, the engine's gift is
// the container's id, and the descriptor is the agent's gift to the program.
var notCompared = []string{config.Variable, config.HostVariable, supervisor.RecordsVariable}

// environmentValues is a digest, so that no value is ever written down.
func (r *Reader) environmentValues() (string, error) {
	return digest(supervisor.Environment(r.Environment, notCompared...)), nil
}

// workloadEnvironment is what the program itself was started with, whatever started it.
func (r *Reader) workloadEnvironment() (string, error) {
	variables, err := r.childEnvironment()
	if err != nil {
		return "", err
	}
	return digest(supervisor.Environment(variables, notCompared...)), nil
}

// agentSettings is the digest of REPRO_AGENT, which holds what the agent expects: only the host can judge it.
func (r *Reader) agentSettings() (string, error) {
	value, _ := variable(r.Environment, config.Variable)
	return digest([]string{value}), nil
}

// gomaxprocs is what Go's runtime in the program was told, not what it made of it: that is in the harness's records.
func (r *Reader) gomaxprocs() (string, error) {
	variables, err := r.Environment, error(nil)
	if r.ChildPID != 0 {
		variables, err = r.childEnvironment()
	}
	if err != nil {
		return "", err
	}
	value, ok := variable(variables, "GOMAXPROCS")
	if !ok {
		return "unset", nil
	}
	return value, nil
}

func (r *Reader) childEnvironment() ([]string, error) {
	if r.ChildPID == 0 {
		return nil, errNoChild
	}
	text, err := r.childText(r.ChildPID, "environ")
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(text, "\x00"), "\x00"), nil
}

func variable(all []string, name string) (string, bool) {
	for _, one := range all {
		if value, ok := strings.CutPrefix(one, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// digest is that of the sorted entries, with a zero byte between them.
func digest(entries []string) string {
	entries = slices.Clone(entries)
	slices.Sort(entries)
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(strings.Join(entries, "\x00"))))
}

// limit is soft:hard. Go raises the agent's own soft limit of open files to the hard one before main, so a plan asks
// for both alike.
func (r *Reader) limit(name string) (string, error) {
	text, err := r.Root.Text("proc/self/limits")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if fields := strings.Fields(rest); len(fields) >= 2 {
				return fields[0] + ":" + fields[1], nil
			}
		}
	}
	return "", fmt.Errorf("limits has no %q: %w", name, fs.ErrNotExist)
}
