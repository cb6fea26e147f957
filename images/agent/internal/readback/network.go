package readback

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

const loopback = "lo"

// network is "loopback-only" when lo is the only interface and no route uses another one.
func (r *Reader) network() (string, error) {
	devices, err := r.Root.Text("proc/net/dev")
	if err != nil {
		return "", err
	}
	var interfaces []string
	for line := range strings.Lines(devices) {
		// Two lines of headings have no colon after the name.
		if name, _, ok := strings.Cut(line, ":"); ok {
			interfaces = append(interfaces, strings.TrimSpace(name))
		}
	}
	routes, err := r.foreignRoutes()
	if err != nil {
		return "", err
	}
	if !routes && slices.Equal(interfaces, []string{loopback}) {
		return "loopback-only", nil
	}
	slices.Sort(interfaces)
	if routes {
		interfaces = append(interfaces, "routes")
	}
	return strings.Join(interfaces, ","), nil
}

// foreignRoutes looks for routes over anything but lo. A kernel without IPv6 has no second file.
func (r *Reader) foreignRoutes() (bool, error) {
	v4, err := r.Root.Text("proc/net/route")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for line := range strings.Lines(v4) {
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[0] != "Iface" && fields[0] != loopback {
			return true, nil
		}
	}
	v6, err := r.Root.Text("proc/net/ipv6_route")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for line := range strings.Lines(v6) {
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[len(fields)-1] != loopback {
			return true, nil
		}
	}
	return false, nil
}

// resolvConf is "empty" or a size: the engine copies the host's resolver in, with its address, even without a network.
func (r *Reader) resolvConf() (string, error) {
	info, err := os.Stat(r.Root.Path("etc/resolv.conf"))
	if err != nil {
		return "", err
	}
	if info.Size() == 0 {
		return "empty", nil
	}
	return strconv.FormatInt(info.Size(), 10) + " bytes", nil
}
