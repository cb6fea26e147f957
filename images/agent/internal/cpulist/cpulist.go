// Package cpulist reads and writes CPU and node lists in the kernel's format, such as "0-3,8".
package cpulist

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxCPUs is the width of unix.CPUSet.
const MaxCPUs = 1024

// Parse returns the sorted, distinct numbers of a list. An empty list is an error: no process can run on no CPU.
func Parse(text string) ([]int, error) {
	var cpus []int
	for _, part := range strings.Split(text, ",") {
		low, high, isRange := strings.Cut(part, "-")
		first, err := number(low)
		if err != nil {
			return nil, fmt.Errorf("CPU list %q: %w", text, err)
		}
		last := first
		if isRange {
			if last, err = number(high); err != nil {
				return nil, fmt.Errorf("CPU list %q: %w", text, err)
			}
		}
		if last < first {
			return nil, fmt.Errorf("CPU list %q: range %q runs backwards", text, part)
		}
		for cpu := first; cpu <= last; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus), nil
}

// Format writes sorted, distinct numbers the way the kernel does.
func Format(cpus []int) string {
	var parts []string
	for i := 0; i < len(cpus); {
		j := i
		for j+1 < len(cpus) && cpus[j+1] == cpus[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, strconv.Itoa(cpus[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", cpus[i], cpus[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// Mask is the list as the kernel's affinity call takes it.
func Mask(cpus []int) *unix.CPUSet {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	return &set
}

func number(text string) (int, error) {
	// ParseUint, because Atoi takes "+1" and "-1".
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n >= MaxCPUs {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", text, MaxCPUs-1)
	}
	return int(n), nil
}
