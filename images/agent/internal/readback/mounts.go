package readback

import (
	"fmt"
	"slices"
	"strconv"
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

// engineFiles are bound into every container by the engine itself; that they are read-only is the row of writable mounts.
var engineFiles = []string{"/etc/hostname", "/etc/hosts", "/run/.containerenv"}

// asked are the mounts that somebody asked for, by their point: not the root, not the kernel's, not the engine's own. Of
// several at one point the last one counts.
func (r *Reader) asked() (map[string]kernelfs.Mount, error) {
	mounts, err := r.mounts()
	if err != nil {
		return nil, err
	}
	asked := map[string]kernelfs.Mount{}
	for _, mount := range mounts {
		if mount.Point == "/" || slices.Contains(engineFiles, mount.Point) || kernelfs.Below(mount.Point, "/proc") ||
			kernelfs.Below(mount.Point, "/dev") || kernelfs.Below(mount.Point, "/sys") {
			continue
		}
		asked[mount.Point] = mount
	}
	return asked, nil
}

// ownTmpfs tells a tmpfs of the container's own from a bind out of one of the host's: that shows a part of it.
func ownTmpfs(mount kernelfs.Mount) bool { return mount.Type == "tmpfs" && mount.Root == "/" }

func (r *Reader) binds() (string, error) {
	asked, err := r.asked()
	if err != nil {
		return "", err
	}
	var binds []string
	for point, mount := range asked {
		switch {
		case ownTmpfs(mount):
		case slices.Contains(mount.Options, "ro"):
			binds = append(binds, point+":ro")
		default:
			binds = append(binds, point+":rw")
		}
	}
	slices.Sort(binds)
	return strings.Join(binds, ","), nil
}

func (r *Reader) tmpfs() (string, error) {
	asked, err := r.asked()
	if err != nil {
		return "", err
	}
	var found []string
	for point, mount := range asked {
		if ownTmpfs(mount) {
			found = append(found, point+":"+tmpfsBytes(mount))
		}
	}
	slices.Sort(found)
	return strings.Join(found, ","), nil
}

// sharedMemory is the size of /dev/shm.
func (r *Reader) sharedMemory() (string, error) {
	mounts, err := r.mounts()
	if err != nil {
		return "", err
	}
	if mount, ok := kernelfs.MountOf(mounts, "/dev/shm"); ok && mount.Point == "/dev/shm" {
		return tmpfsBytes(mount), nil
	}
	return "none", nil
}

// tmpfsBytes is a tmpfs's size, which the kernel shows in KiB, and not at all when nobody set one.
func tmpfsBytes(mount kernelfs.Mount) string {
	for _, option := range mount.Super {
		if text, ok := strings.CutPrefix(option, "size="); ok {
			if kib, err := strconv.ParseInt(strings.TrimSuffix(text, "k"), 10, 64); err == nil {
				return strconv.FormatInt(kib*1024, 10)
			}
			return text
		}
	}
	return "unlimited"
}
