package cgroup

import (
	"fmt"
	"io/fs"
	"strings"

	"sealbench.org/agent/internal/kernelfs"
)

type v2Group struct {
	root   kernelfs.Root
	folder string
}

func (g *v2Group) Version() string { return "v2" }

func (g *v2Group) text(name string) (string, error) { return g.root.Text(g.folder + "/" + name) }

func (g *v2Group) CPUs() (string, error) { return g.text("cpuset.cpus.effective") }
func (g *v2Group) Mems() (string, error) { return g.text("cpuset.mems.effective") }

func (g *v2Group) CPUQuota() (string, error) {
	text, err := g.text("cpu.max")
	if err != nil {
		return "", err
	}
	quota, period, ok := strings.Cut(text, " ")
	if !ok {
		return "", fmt.Errorf("cpu.max holds %q", text)
	}
	if quota == "max" {
		return "none", nil
	}
	return quota + "/" + period, nil
}

// v2DefaultWeight is the kernel's own (cgroup-v2.rst, "cpu.weight").
const v2DefaultWeight = "100"

func (g *v2Group) CPUWeight() (string, error) {
	weight, err := g.text("cpu.weight")
	return orDefault(weight, v2DefaultWeight), err
}

func (g *v2Group) MemoryLimit() (string, error) { return g.text("memory.max") }
func (g *v2Group) MemoryHigh() (string, error)  { return g.text("memory.high") }
func (g *v2Group) SwapLimit() (string, error)   { return g.text("memory.swap.max") }

// Swappiness of a group does not exist in version 2.
func (g *v2Group) Swappiness() (string, error) { return "", lacking("memory.swappiness") }

func (g *v2Group) PidsLimit() (string, error) { return g.text("pids.max") }
func (g *v2Group) OOMGroup() (string, error)  { return g.text("memory.oom.group") }

// OOMKillDisable does not exist in version 2.
func (g *v2Group) OOMKillDisable() (string, error) { return "", lacking("oom_kill_disable") }

// DeviceRules are a program in version 2, which no file shows.
func (g *v2Group) DeviceRules() ([]string, error) { return nil, lacking("devices.list") }

func (g *v2Group) OOMKills() (int64, error) {
	text, err := g.text("memory.events")
	if err != nil {
		return 0, err
	}
	kills, ok := kernelfs.FieldNumber([]byte(text), "oom_kill ")
	if !ok {
		return 0, fmt.Errorf("memory.events has no oom_kill: %w", fs.ErrNotExist)
	}
	return kills, nil
}

func (g *v2Group) Usage() *Usage {
	open := func(name string) *kernelfs.Kept { return openKept(g.root, g.folder, name) }
	return &Usage{memory: open("memory.current"), swap: open("memory.swap.current"), stat: open("cpu.stat"), pids: open("pids.current")}
}
