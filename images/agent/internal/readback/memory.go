package readback

import (
	"errors"
	"slices"
	"strings"
)

func (r *Reader) memsAllowed() (string, error) {
	if r.ChildPID == 0 {
		return "", errNoChild
	}
	return r.statusField("Mems_allowed_list:")
}

// memoryPolicy is the set of policies over all mappings of the child's tree. Only the workload's own numa_maps proves
// something: numactl's exit code does not, and the agent's own file shows the agent's policy.
func (r *Reader) memoryPolicy() (string, error) {
	if r.ChildPID == 0 {
		return "", errNoChild
	}
	pids, err := r.tree()
	if err != nil {
		return "", err
	}
	var policies []string
	for _, pid := range pids {
		text, err := r.childText(pid, "numa_maps")
		if errors.Is(err, errNoChild) {
			continue
		}
		if err != nil {
			return "", err
		}
		policies = appendPolicies(policies, text)
	}
	if len(policies) == 0 {
		return "", errNoChild
	}
	slices.Sort(policies)
	return strings.Join(slices.Compact(policies), ","), nil
}

// appendPolicies takes the second field of each line; lines of untouched mappings end right after it.
func appendPolicies(policies []string, numaMaps string) []string {
	for line := range strings.Lines(numaMaps) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && !slices.Contains(policies, fields[1]) {
			policies = append(policies, strings.Clone(fields[1]))
		}
	}
	return policies
}
