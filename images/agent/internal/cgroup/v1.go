package cgroup

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"sealbench.org/agent/internal/kernelfs"
)

// v1Unlimited is what the kernel shows for no memory limit: the largest page-aligned number, whatever the page size.
const v1Unlimited = int64(1) << 62

type v1Group struct {
	root    kernelfs.Root
	folders map[string]string // controller to folder
}

func (g *v1Group) Version() string { return "v1" }

func (g *v1Group) text(controller, name string) (string, error) {
	folder, ok := g.folders[controller]
	if !ok {
		return "", fmt.Errorf("controller %s is not mounted: %w", controller, fs.ErrNotExist)
	}
	return g.root.Text(folder + "/" + name)
}

func (g *v1Group) number(controller, name string) (int64, error) {
	text, err := g.text(controller, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

func (g *v1Group) CPUs() (string, error) { return g.text("cpuset", "cpuset.cpus") }
func (g *v1Group) Mems() (string, error) { return g.text("cpuset", "cpuset.mems") }

func (g *v1Group) CPUQuota() (string, error) {
	quota, err := g.number("cpu", "cpu.cfs_quota_us")
	if err != nil {
		return "", err
	}
	if quota < 0 {
		return "none", nil
	}
	period, err := g.text("cpu", "cpu.cfs_period_us")
	return strconv.FormatInt(quota, 10) + "/" + period, err
}

// v1DefaultShares is the kernel's own (sched-design-CFS).
const v1DefaultShares = "1024"

func (g *v1Group) CPUWeight() (string, error) {
	shares, err := g.text("cpu", "cpu.shares")
	return orDefault(shares, v1DefaultShares), err
}

// MemoryHigh does not exist in version 1: its soft limit slows nobody down.
func (g *v1Group) MemoryHigh() (string, error) { return "", lacking("memory.high") }

func (g *v1Group) MemoryLimit() (string, error) {
	limit, err := g.number("memory", "memory.limit_in_bytes")
	if limit >= v1Unlimited {
		return "max", err
	}
	return strconv.FormatInt(limit, 10), err
}

// SwapLimit is the limit of memory and swap together less the one of memory; without swap accounting there is no file.
func (g *v1Group) SwapLimit() (string, error) {
	both, err := g.number("memory", "memory.memsw.limit_in_bytes")
	if err != nil {
		return "", err
	}
	memory, err := g.number("memory", "memory.limit_in_bytes")
	if both >= v1Unlimited {
		return "max", err
	}
	return strconv.FormatInt(both-memory, 10), err
}

func (g *v1Group) Swappiness() (string, error) { return g.text("memory", "memory.swappiness") }
func (g *v1Group) PidsLimit() (string, error)  { return g.text("pids", "pids.max") }

func (g *v1Group) OOMKillDisable() (string, error) {
	text, err := g.text("memory", "memory.oom_control")
	if err != nil {
		return "", err
	}
	disabled, ok := kernelfs.FieldNumber([]byte(text), "oom_kill_disable ")
	if !ok {
		return "", lacking("oom_kill_disable")
	}
	return strconv.FormatBool(disabled != 0), nil
}

// OOMGroup does not exist in version 1.
func (g *v1Group) OOMGroup() (string, error) { return "", lacking("memory.oom.group") }

func (g *v1Group) DeviceRules() ([]string, error) {
	text, err := g.text("devices", "devices.list")
	if err != nil {
		return nil, err
	}
	return strings.Split(text, "\n"), nil
}

// OOMKills needs Linux 4.13.
func (g *v1Group) OOMKills() (int64, error) {
	text, err := g.text("memory", "memory.oom_control")
	if err != nil {
		return 0, err
	}
	kills, ok := kernelfs.FieldNumber([]byte(text), "oom_kill ")
	if !ok {
		return 0, fmt.Errorf("memory.oom_control has no oom_kill: %w", fs.ErrNotExist)
	}
	return kills, nil
}

func (g *v1Group) Usage() *Usage {
	open := func(controller, name string) *kernelfs.Kept { return openKept(g.root, g.folders[controller], name) }
	return &Usage{v1: true, memory: open("memory", "memory.usage_in_bytes"), swap: open("memory", "memory.memsw.usage_in_bytes"),
		cpu: open("cpuacct", "cpuacct.usage"), stat: open("cpu", "cpu.stat"), pids: open("pids", "pids.current")}
}
