package kernelfs

import (
	"slices"
	"strings"
)

// Mount is one line of mountinfo.
type Mount struct {
	Root    string   // the part of the file system that is mounted
	Point   string   // where
	Options []string // per mount, not of the file system
	Type    string
	Super   []string // options of the file system
}

// Mounts are the agent's mounts in the order they were made.
func (r Root) Mounts() ([]Mount, error) {
	text, err := r.Text("proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var mounts []Mount
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		// Between field 6 and the dash stands any number of optional fields.
		dash := slices.Index(fields, "-")
		if dash < 6 || len(fields) < dash+4 {
			continue
		}
		mounts = append(mounts, Mount{Root: unescape(fields[3]), Point: unescape(fields[4]), Options: strings.Split(fields[5], ","),
			Type: fields[dash+1], Super: strings.Split(fields[dash+3], ",")})
	}
	return mounts, nil
}

// MountOf is the mount that a path lies on: the longest mount point above it, and of several at one point the last made.
func MountOf(mounts []Mount, path string) (Mount, bool) {
	var best Mount
	found := false
	for _, mount := range mounts {
		if Below(path, mount.Point) && (!found || len(mount.Point) >= len(best.Point)) {
			best, found = mount, true
		}
	}
	return best, found
}

// Below says whether path is folder or lies in it.
func Below(path, folder string) bool {
	return path == folder || folder == "/" || strings.HasPrefix(path, folder+"/")
}

var escapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// unescape undoes the kernel's octal escapes of blanks, tabs, newlines and backslashes.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	return escapes.Replace(text)
}
