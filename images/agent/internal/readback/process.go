package readback

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// environment is the names only: values may be secrets.
func (r *Reader) environment() (string, error) {
	var names []string
	for _, variable := range r.Environment {
		name, _, _ := strings.Cut(variable, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ","), nil
}

// limit is soft:hard. Go raises the agent's own soft limit of open files to the hard one before main, so a plan asks
// for both alike.
func (r *Reader) limit(name string) (string, error) {
	text, err := r.Root.Text("proc/self/limits")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if fields := strings.Fields(rest); len(fields) >= 2 {
				return fields[0] + ":" + fields[1], nil
			}
		}
	}
	return "", fmt.Errorf("limits has no %q: %w", name, fs.ErrNotExist)
}

// namespaces are inode numbers, which the host compares with its own.
func (r *Reader) namespaces() (string, error) {
	var parts []string
	for _, kind := range []string{"ipc", "mnt", "net", "pid", "user", "uts"} {
		link, err := os.Readlink(r.Root.Path("proc/self/ns/" + kind))
		if err != nil {
			return "", err
		}
		_, inode, _ := strings.Cut(strings.TrimSuffix(link, "]"), "[")
		parts = append(parts, kind+"="+inode)
	}
	return strings.Join(parts, ","), nil
}
