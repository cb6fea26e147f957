package readback

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// usualDevices are what every container has (OCI runtime specification, "Default Devices"; console only with a terminal).
var usualDevices = []string{"/dev/console", "/dev/full", "/dev/null", "/dev/ptmx", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"}

// ownDeviceFolders are file systems of their own that every container has.
var ownDeviceFolders = []string{"/dev/mqueue", "/dev/pts", "/dev/shm"}

// usualRules are what a version 1 group may do in every container (runc's allowed devices): make nodes of any kind,
// which takes a capability, and open these. 10:200 is /dev/net/tun, which older runtimes allow and never make.
var usualRules = []string{"b *:* m", "c *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:1 rwm",
	"c 5:2 rwm", "c 10:200 rwm", "c 136:* rwm"}

// devices is "none", or what the container has beyond the usual: nodes by name, and rules of the group by their text.
func (r *Reader) devices() (string, error) {
	found, err := r.deviceNodes("/dev")
	if err != nil {
		return "", err
	}
	rules, err := r.Group.DeviceRules()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, rule := range rules {
		if rule = strings.TrimSpace(rule); rule != "" && !slices.Contains(usualRules, rule) {
			found = append(found, rule)
		}
	}
	if len(found) == 0 {
		return "none", nil
	}
	slices.Sort(found)
	return strings.Join(found, ","), nil
}

// deviceNodes are the nodes, pipes and sockets below a folder. The kind comes with the listing: nothing is opened.
func (r *Reader) deviceNodes(folder string) ([]string, error) {
	entries, err := os.ReadDir(r.Root.Path(folder))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, entry := range entries {
		name := folder + "/" + entry.Name()
		switch {
		case entry.IsDir() && !slices.Contains(ownDeviceFolders, name):
			below, err := r.deviceNodes(name)
			if err != nil {
				return nil, err
			}
			found = append(found, below...)
		case entry.Type()&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket) != 0 && !slices.Contains(usualDevices, name):
			found = append(found, name)
		}
	}
	return found, nil
}
