package readback

import (
	"fmt"
	"slices"
	"strings"

	"sealbench.org/agent/internal/kernelfs"
)

// mountMode is "ro" or "rw" of the mount that a path lies on. Without a mount of its own, /proc/sys is as writable as /proc.
func (r *Reader) mountMode(path string) (string, error) {
	mounts, err := r.mounts()
	if err != nil {
		return "", err
	}
	mount, ok := kernelfs.MountOf(mounts, path)
	if !ok {
		return "", fmt.Errorf("mountinfo has no mount above %s", path)
	}
	if slices.Contains(mount.Options, "ro") {
		return "ro", nil
	}
	return "rw", nil
}

// writableMounts leaves out what every container has: /proc (whose own row judges /proc/sys), /dev and the groups' tree.
func (r *Reader) writableMounts() (string, error) {
	mounts, err := r.mounts()
	if err != nil {
		return "", err
	}
	var points []string
	for _, mount := range mounts {
		if !slices.Contains(mount.Options, "rw") || kernelfs.Below(mount.Point, "/proc") ||
			kernelfs.Below(mount.Point, "/dev") || kernelfs.Below(mount.Point, "/sys/fs/cgroup") {
			continue
		}
		points = append(points, mount.Point)
	}
	slices.Sort(points)
	return strings.Join(slices.Compact(points), ","), nil
}
