package agent

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sealbench.org/agent/internal/clock"
	"sealbench.org/agent/internal/cpulist"
	"sealbench.org/agent/internal/kernelfs"
	"sealbench.org/agent/internal/supervisor"
)

// program is what the tests' agents start.
func program(name string) {
	records := os.NewFile(3, "records")
	phase := func(name string, ns int64) {
		fmt.Fprintf(records, "{\"k\":\"phase\",\"name\":%q,\"ns\":%d}\n", name, ns)
	}
	until := func(ns int64) { time.Sleep(time.Duration(ns - clock.Monotonic())) }
	switch name {
	case "environment":
		if os.Getenv("REPRO_AGENT") == "" && os.Getenv("HOSTNAME") == "" && os.Getenv("REPRO_FD") == "3" && affinity() == "0" {
			os.Exit(7)
		}
		os.Exit(8)
	case "sleep":
		time.Sleep(10 * time.Minute)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(10 * time.Minute)
	case "signal":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals)
		signal.Reset(syscall.SIGURG) // Go's own
		fmt.Fprintln(records, `{"k":"phase","name":"warmup","ns":1}`)
		fmt.Fprintln(records, `{"k":"waiting"}`)
		os.Exit(int((<-signals).(syscall.Signal)))
	case "measure":
		t0 := clock.Monotonic() + second/10
		phase("measure", t0)
		until(t0 + second*12/10)
		phase("drain", t0+second*12/10)
		time.Sleep(100 * time.Millisecond)
		phase("done", clock.Monotonic())
		time.Sleep(50 * time.Millisecond)
	case "reset":
		t0 := clock.Monotonic()
		phase("measure", t0)
		until(t0 + second*3)
		if err := supervisor.PinSelf(kernelfs.Root("/"), []int{0, 1}); err != nil {
			os.Exit(9)
		}
		until(t0 + second*5)
		phase("drain", t0+second*5)
		time.Sleep(100 * time.Millisecond)
	}
}

func affinity() string {
	var set unix.CPUSet
	_ = unix.SchedGetaffinity(0, &set)
	var cpus []int
	for cpu := range cpulist.MaxCPUs {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpulist.Format(cpus)
}
