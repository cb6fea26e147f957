// Package cgroup reads the container's own control group, in both versions of the kernel's interface.
package cgroup

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"sealbench.org/agent/internal/kernelfs"
)

// Group is one control group. Values are canonical strings; an error that wraps fs.ErrNotExist
// means that this kernel or version has no such limit.
type Group interface {
	Version() string // "v1" or "v2"
	CPUs() (string, error)
	Mems() (string, error)
	CPUQuota() (string, error)    // "none" or "<quota_us>/<period_us>"
	CPUWeight() (string, error)   // "default" or the number
	MemoryLimit() (string, error) // bytes or "max"
	MemoryHigh() (string, error)  // bytes from which on the group is slowed down, or "max"; version 2
	SwapLimit() (string, error)   // bytes of swap beyond memory, or "max"
	Swappiness() (string, error)
	PidsLimit() (string, error)
	OOMKillDisable() (string, error) // "true" or "false"; version 1
	OOMGroup() (string, error)       // "0" or "1"; version 2
	DeviceRules() ([]string, error)  // what the group may open; version 1 (version 2 has a program that no file shows)
	OOMKills() (int64, error)
	// Usage opens the counters that are read with every sample.
	Usage() *Usage
}

// Find locates the group that the agent is in.
func Find(root kernelfs.Root) (Group, error) {
	mounts, err := root.Mounts()
	if err != nil {
		return nil, err
	}
	paths, err := ownPaths(root)
	if err != nil {
		return nil, err
	}
	v1 := v1Group{root: root, folders: map[string]string{}}
	var v2 *v2Group
	for _, mount := range mounts {
		switch mount.Type {
		case "cgroup":
			for _, controller := range mount.Super {
				if path, ok := paths[controller]; ok && v1.folders[controller] == "" {
					v1.folders[controller] = folder(root, mount, path)
				}
			}
		case "cgroup2":
			if path, ok := paths[""]; ok && v2 == nil {
				v2 = &v2Group{root: root, folder: folder(root, mount, path)}
			}
		}
	}
	// On a hybrid host both are mounted; the version is the one that holds the memory controller.
	if v1.folders["memory"] != "" || v2 == nil && len(v1.folders) > 0 {
		return &v1, nil
	}
	if v2 == nil {
		return nil, fmt.Errorf("no control group is mounted: %w", fs.ErrNotExist)
	}
	return v2, nil
}

// ownPaths maps controllers (v1) and "" (v2) to the path in /proc/self/cgroup.
func ownPaths(root kernelfs.Root) (map[string]string, error) {
	text, err := root.Text("proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for _, controller := range strings.Split(parts[1], ",") {
			paths[controller] = parts[2]
		}
	}
	return paths, nil
}

// folder is where the group's files are. Docker mounts either the group itself, so that the mount's root is the
// group's path, or (host's cgroup namespace, version 2) the whole hierarchy, so that the path lies below the mount.
func folder(root kernelfs.Root, mount kernelfs.Mount, path string) string {
	if path == mount.Root || !kernelfs.Below(path, mount.Root) || slices.Contains(strings.Split(path, "/"), "..") {
		return mount.Point
	}
	inside := strings.TrimSuffix(mount.Point, "/") + "/" + strings.TrimPrefix(strings.TrimPrefix(path, mount.Root), "/")
	if _, err := root.Numbers(inside); err != nil {
		return mount.Point
	}
	return inside
}

// lacking says that this version has no such file.
func lacking(name string) error {
	return fmt.Errorf("%s does not exist in this version: %w", name, fs.ErrNotExist)
}

// orDefault is "default" for the kernel's own value: the two versions count in different units.
func orDefault(value, usual string) string {
	if value == usual {
		return "default"
	}
	return value
}
