// Package supervisor starts the program on its CPUs, reaps what ends and passes signals on.
package supervisor

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"sealbench.org/agent/internal/cpulist"
	"sealbench.org/agent/internal/kernelfs"
)

// pinRounds bounds the repetition: a thread that starts while the list is read is caught in the next round, and
// threads started by a pinned thread are pinned.
const pinRounds = 4

// PinSelf sets the affinity of every thread of the agent.
func PinSelf(root kernelfs.Root, cpus []int) error {
	mask := cpulist.Mask(cpus)
	done := map[int]bool{}
	for range pinRounds {
		threads, err := root.Threads("self")
		if err != nil {
			return err
		}
		fresh := false
		for _, thread := range threads {
			if done[thread] {
				continue
			}
			fresh = true
			if err := unix.SchedSetaffinity(thread, mask); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("set the agent's affinity to %s: %w", cpulist.Format(cpus), err)
			}
			done[thread] = true
		}
		if !fresh {
			return nil
		}
	}
	return nil
}
