// Command agent is PID 1 of every container of a launch: it proves the container's limits, starts the program on its
// CPUs, samples, and records what the program says. See docs/agent.md.
package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"sealbench.org/agent/internal/agent"
	"sealbench.org/agent/internal/clock"
)

// The plan's GOMAXPROCS, GOGC and GOMEMLIMIT are meant for the program, which gets the same environment; the agent
// sets its own. One P keeps idle threads asleep; the small heap keeps RSS under 15 MiB.
const (
	ownProcs         = 1
	ownGCPercent     = 50
	memoryLimitBytes = 12 << 20
)

func main() {
	baseline := clock.OwnCPU()
	runtime.GOMAXPROCS(ownProcs)
	debug.SetGCPercent(ownGCPercent)
	debug.SetMemoryLimit(memoryLimitBytes)
	os.Exit(agent.Run(os.Args[1:], os.Environ(), baseline))
}
